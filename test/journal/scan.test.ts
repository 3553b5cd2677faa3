import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DraftList, scanEvents } from '../../journal/drafts/index.ts';
import { type DraftEvent, readEvents, ZERO_HASH } from '../../journal/index.ts';

const WORKSPACE = 'acme';

function read(text: string): DraftEvent[] | undefined {
  try {
    return readEvents(text, 'json', WORKSPACE);
  } catch {
    return undefined;
  }
}

/** What the log would hold of a batch. */
function canonicalTexts(batch: Pick<DraftList, 'length' | 'eventId' | 'canonical'>): string[] {
  return Array.from({ length: batch.length }, (_, index) => {
    const eventId = batch.eventId(index) ?? 'made';
    const recordedAt = '2026-01-02T03:04:05.678000Z';
    const canonical = batch.canonical(index, {
      seq: index,
      eventId,
      recordedAt,
      workspace: WORKSPACE,
      prevHash: ZERO_HASH,
    });
    const target = Buffer.alloc(canonical.bytesMax + 16, 0xff);
    const end = canonical.write(target, 8);
    expect(end - 8).toBeLessThanOrEqual(canonical.bytesMax);
    expect(target.subarray(end).every((byte) => byte === 0xff)).toBe(true);
    return target.toString('utf8', 8, end);
  });
}

/** Whatever the scanner takes means the same to the reader that makes objects. */
function expectAgreement(text: string): boolean {
  const scanned = scanEvents(Buffer.from(text), WORKSPACE);
  if (!scanned) return false;
  const drafts = read(text);
  expect(drafts).toBeDefined();
  expect(Array.from({ length: scanned.length }, (_, index) => scanned.draft(index))).toEqual(drafts);
  const list = new DraftList(drafts as DraftEvent[]);
  expect(canonicalTexts(scanned)).toEqual(canonicalTexts(list));
  for (let index = 0; index < list.length; index++) {
    expect(scanned.eventId(index)).toBe(list.eventId(index));
    expect(scanned.entityId(index)).toBe(list.entityId(index));
  }
  return true;
}

const space = fc.constantFrom('', '', '', ' ', '\n', '\t \r\n');
const word = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'abc019 -_./{}[]:,é😀\u2028\u007f'), maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
);
const quoted = word.map((text) => JSON.stringify(text));
const number = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.stringMatching(/^-?(0|[1-9]\d{0,20})(\.\d{1,20})?([eE][+-]?\d{1,3})?$/),
  fc.constantFrom('-0', '-0.0', '1.10', '0.0000001', '01', '1.', '.5', '+1', '1e400', '12345678901234567890', '-'),
);
const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    quoted,
    number,
    fc.constantFrom(
      'true',
      'false',
      'null',
      'nul',
      '{}',
      '[]',
      '[ ]',
      '{"a":1,"a":2}',
      '{"b":1,"2":2,"1":3}',
      '{"__proto__":{"x":1}}',
    ),
    fc
      .tuple(space, fc.array(tie('value'), { maxLength: 3 }))
      .map(([gap, items]) => `[${gap}${items.join(`${gap},${gap}`)}${gap}]`),
    fc
      .tuple(space, fc.array(fc.tuple(quoted, tie('value')), { maxLength: 3 }))
      .map(
        ([gap, members]) =>
          `{${gap}${members.map(([name, item]) => `${name}${gap}:${gap}${item}`).join(`${gap},${gap}`)}${gap}}`,
      ),
  ),
}));
const time = fc.constantFrom(
  '"2026-01-02T03:04:05Z"',
  '"2026-01-02T03:04:05.5Z"',
  '"2026-02-30T03:04:05Z"',
  '"2026-01-02T03:04:05.123456+02:00"',
  '"2026-01-02"',
  'null',
  '5',
);
const text = fc.oneof(
  { weight: 4, arbitrary: quoted },
  { weight: 1, arbitrary: fc.constantFrom('null', '""', '7', '{}') },
);
const member = fc.oneof(
  fc.tuple(fc.constantFrom('"event_id"', '"actor_type"', '"source"', '"correlation_id"', '"field"'), text),
  fc.tuple(fc.constantFrom('"old_value"', '"new_value"', '"metadata"'), value),
  fc.tuple(fc.constantFrom('"timestamp"', '"occurred_at"'), time),
  fc.tuple(fc.constant('"workspace_id"'), fc.constantFrom('"acme"', '"other"', 'null')),
  fc.tuple(fc.constantFrom('"actor"', '"entity_id"', '"action"'), text),
  fc.constantFrom<[string, string]>(['"seq"', '1'], ['"act\\u006fr"', '"x"'], ['"unknown"', '1']),
);
const event = fc
  .tuple(space, fc.tuple(quoted, quoted, quoted, quoted), fc.array(member, { maxLength: 5 }), fc.nat())
  .map(([gap, [type, id, action, actor], more, at]) => {
    const members = [
      `"entity_type":${type}`,
      `"entity_id"${gap}:${id}`,
      `"action":${gap}${action}`,
      `"actor":${actor}`,
    ];
    members.splice(at % 5, 0, ...more.map(([name, item]) => `${name}${gap}:${gap}${item}`));
    return `{${gap}${members.join(`${gap},${gap}`)}${gap}}`;
  });

describe('the scanner', () => {
  it('takes nothing that the reader refuses, and means the same', () => {
    let taken = 0;
    const body = fc.tuple(space, fc.array(event, { minLength: 1, maxLength: 4 }), fc.boolean());
    fc.assert(
      fc.property(body, ([gap, events, isList]) => {
        const all = isList ? `${gap}[${gap}${events.join(`${gap},${gap}`)}${gap}]${gap}` : `${gap}${events[0]}${gap}`;
        if (expectAgreement(all)) taken += 1;
      }),
      { numRuns: 3000 },
    );
    expect(taken).toBeGreaterThan(300);
  });

  it('takes no text that is damaged', () => {
    const whole = '[{"entity_type":"a","entity_id":"b","action":"c","actor":"d","new_value":{"x":[1,"y",true]}}]';
    expect(expectAgreement(whole)).toBe(true);
    for (let at = 0; at < whole.length; at++) {
      expectAgreement(whole.slice(0, at) + whole.slice(at + 1));
      expectAgreement(whole.slice(0, at));
      for (const byte of ['"', '\\', '{', '}', '[', ']', ',', ':', '0', ' ', '\0', 'é']) {
        expectAgreement(whole.slice(0, at) + byte + whole.slice(at + 1));
        expectAgreement(whole.slice(0, at) + byte + whole.slice(at));
      }
    }
  });

  it('leaves what is not UTF-8 to the reader', () => {
    const bytes = Buffer.from('{"entity_type":"a","entity_id":"b","action":"c","actor":"?"}');
    bytes[bytes.indexOf('?')] = 0xff;
    expect(scanEvents(bytes, WORKSPACE)).toBeUndefined();
  });

  it('takes the events a program sends without making objects, and reads an unusual one among them the other way', () => {
    const sent = {
      entity_type: 'invoice',
      entity_id: 'inv/1',
      action: 'update',
      actor: 'ada',
      new_value: { a: [1, 'x'] },
    };
    const escaped = { ...sent, entity_id: 'line\nbreak', old_value: 'say "hi"' };
    const batch = scanEvents(Buffer.from(JSON.stringify([sent, escaped, sent])), WORKSPACE);
    expect(batch?.length).toBe(3);
    expect(batch?.entityId(1)).toBe('line\nbreak');
    expect(batch?.draft(2).new_value).toBe('{"a":[1,"x"]}');
  });
});
