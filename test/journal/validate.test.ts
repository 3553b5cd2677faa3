import { describe, expect, it } from 'vitest';
import { EVENT_FIELDS, IndelibleError, LIMITS, readEvents, scanEvents } from '../../journal/index.ts';

const event = (changes: Record<string, unknown> = {}) => ({
  entity_type: 'invoice',
  entity_id: 'i1',
  action: 'update',
  actor: 'ann',
  ...changes,
});

const one = (changes: Record<string, unknown>) => readEvents(JSON.stringify(event(changes)), 'json', 'acme');

/** One event whose member `name` is this JSON text. */
const withText = (name: string, json: string) =>
  `{"entity_type":"invoice","entity_id":"i1","action":"update","actor":"ann",${JSON.stringify(name)}:${json}}`;

function refusal(work: () => unknown): IndelibleError {
  try {
    work();
  } catch (error) {
    if (error instanceof IndelibleError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** `pointer message` of each fault. */
function faults(text: string, shape: 'json' | 'ndjson' = 'json'): string[] {
  const error = refusal(() => readEvents(text, shape, 'acme'));
  expect(error.kind).toBe('invalid');
  return error.errors.map(({ pointer, message }) => `${pointer} ${message}`);
}

describe('an event', () => {
  it('needs four fields; the rest is absent', () => {
    expect(one({})).toEqual([
      {
        event_id: null,
        occurred_at: null,
        entity_type: 'invoice',
        entity_id: 'i1',
        field: '*',
        action: 'update',
        old_value: null,
        new_value: null,
        actor: 'ann',
        actor_type: null,
        source: null,
        correlation_id: null,
        metadata: null,
      },
    ]);
  });

  it("of a type that marks the service's own events is refused, whichever way it is read", () => {
    const fault = "/entity_type begins with 'indelible.', which marks the service's own events: choose another";
    const text = JSON.stringify(event({ entity_type: 'indelible.verdict' }));
    expect(faults(text)).toEqual([fault]);
    expect(scanEvents(Buffer.from(text), 'acme')).toBeUndefined();
    expect(one({ entity_type: 'indelible' })).toHaveLength(1);
    expect(scanEvents(Buffer.from(JSON.stringify(event({ entity_type: 'indelible' }))), 'acme')).toHaveLength(1);
  });

  it.each(['entity_type', 'entity_id', 'action', 'actor'])('without %s is refused', (name) => {
    const missing = { ...event(), [name]: undefined };
    expect(faults(JSON.stringify(missing))).toEqual([`/${name} is missing`]);
    expect(faults(JSON.stringify(event({ [name]: null })))).toEqual([`/${name} is missing`]);
    expect(faults(JSON.stringify(event({ [name]: '' })))).toEqual([`/${name} is empty`]);
  });

  const texts = Object.entries(EVENT_FIELDS).filter(([, { kind }]) => kind === 'text' || kind === 'id');
  it.each(texts)('%s: of the right type, not empty, not too long, valid Unicode', (name, { charsMax }) => {
    for (const [json, kind] of [
      ['1', 'a number'],
      ['1e400', 'a number'],
      ['-0', 'a number'],
      ['true', 'a boolean'],
      ['[]', 'an array'],
      ['{}', 'an object'],
    ]) {
      expect(faults(withText(name, String(json)))).toEqual([`/${name} must be a string, not ${kind}`]);
    }
    expect(faults(withText(name, '""'))[0]).toMatch(new RegExp(`^/${name} is empty`));
    const longest = 'é'.repeat(charsMax);
    expect(one({ [name]: longest })[0]).toMatchObject({ [name]: longest });
    expect(faults(withText(name, JSON.stringify(`${longest}x`)))).toEqual([
      `/${name} is longer than ${charsMax} characters`,
    ]);
    for (const lone of ['"\\ud800"', '"a\\udc00b"', '"\\udc00\\ud800"']) {
      expect(faults(withText(name, lone))[0]).toMatch(/lone surrogate/);
    }
    expect(faults(withText(name, '"a\\u0000b"'))[0]).toMatch(/NUL|control character/);
    expect(one({ [name]: '\u{1F600}/../"\\' })[0]).toMatchObject({ [name]: '\u{1F600}/../"\\' });
  });

  it('may hold control characters in texts, not in its id', () => {
    const text = '\u0001\t\n\r\u000b\u001f\u007f\u0085';
    expect(one({ entity_id: text, actor: text })[0]).toMatchObject({ entity_id: text, actor: text });
    for (const char of text) expect(faults(JSON.stringify(event({ event_id: `a${char}` })))).toHaveLength(1);
  });

  it('may name its workspace, if it is that of the request', () => {
    expect(one({ workspace_id: 'acme' })).toHaveLength(1);
    expect(one({ workspace_id: null })).toHaveLength(1);
    for (const other of ['"other"', '"ACME"', '"acme "', '12345678901234567890', '["acme"]', '{}', 'true', '""']) {
      expect(faults(withText('workspace_id', other))[0], other).toMatch(/^\/workspace_id is not the workspace/);
    }
  });

  it.each(['seq', 'recorded_at', 'event_hash', 'prev_hash', 'v'])('may not bring %s', (name) => {
    expect(faults(withText(name, '0'))).toEqual([`/${name} is assigned by the journal: leave it out`]);
  });

  it('has no other fields, and names that look like methods are none', () => {
    for (const name of ['Actor', 'entityId', '__proto__', 'constructor', 'toString', 'hasOwnProperty', '']) {
      expect(faults(withText(name, '{"actor":"eve"}'))).toEqual([
        `/${name} is not a field of an event: put it in metadata`,
      ]);
    }
    expect(faults(withText('a/b~c', '1'))[0]).toMatch(/^\/a~1b~0c is not a field/);
    expect(faults(withText('\u{1F600}'.repeat(50), '1'))[0]?.length).toBeLessThan(150);
  });

  it('that names a field twice says what it said last, as JSON.parse has it', () => {
    expect(readEvents(withText('actor', '"eve"'), 'json', 'acme')[0]?.actor).toBe('eve');
  });
});

describe('times', () => {
  const time = (text: string) => one({ timestamp: text })[0]?.occurred_at;
  const timeFault = (json: string) => faults(withText('occurred_at', json)).join();

  it('have two names, which must agree', () => {
    const both = { timestamp: '2026-01-02T03:04:05Z', occurred_at: '2026-01-02T05:04:05.000+02:00' };
    expect(one(both)[0]).toMatchObject({ occurred_at: '2026-01-02T03:04:05.000000Z' });
    expect(faults(JSON.stringify(event({ ...both, timestamp: '2026-01-02T03:04:06Z' })))).toEqual([
      '/timestamp differs from occurred_at: they are two names of one field, send one',
    ]);
    expect(one({ timestamp: null, occurred_at: '2026-01-02T03:04:05Z' })[0]?.occurred_at).toMatch(/^2026/);
  });

  it.each([
    ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05.000000Z'],
    ['2026-01-02t03:04:05.1z', '2026-01-02T03:04:05.100000Z'],
    ['2026-01-02 03:04:05.123456+00:00', '2026-01-02T03:04:05.123456Z'],
    ['2026-01-02T03:04:05.1234560000Z', '2026-01-02T03:04:05.123456Z'],
    ['2026-01-01T00:30:00-00:45', '2026-01-01T01:15:00.000000Z'],
    ['2026-01-01T00:30:00+23:59', '2025-12-31T00:31:00.000000Z'],
    ['2024-02-29T12:00:00.000001Z', '2024-02-29T12:00:00.000001Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000000Z'],
    ['0099-12-31T23:59:59.999999Z', '0099-12-31T23:59:59.999999Z'],
    ['9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'],
  ])('%s is %s', (text, canonical) => expect(time(text)).toBe(canonical));

  it.each([
    ['"2026-01-02T03:04:05"', /RFC 3339 with a zone/],
    ['"2026-01-02"', /RFC 3339/],
    ['"2026-1-2T03:04:05Z"', /RFC 3339/],
    ['" 2026-01-02T03:04:05Z"', /RFC 3339/],
    ['"2026-01-02T03:04:05Z\\n"', /RFC 3339/],
    ['"2026-01-02T03:04:05.Z"', /RFC 3339/],
    ['"20260102T030405Z"', /RFC 3339/],
    ['"+12026-01-02T03:04:05Z"', /RFC 3339/],
    ['"10000-01-01T00:00:00Z"', /RFC 3339/],
    ['"２０２６-01-02T03:04:05Z"', /RFC 3339/],
    ['""', /RFC 3339/],
    ['"2026-02-29T00:00:00Z"', /calendar/],
    ['"2026-13-01T00:00:00Z"', /calendar/],
    ['"2026-00-01T00:00:00Z"', /calendar/],
    ['"2026-01-00T00:00:00Z"', /calendar/],
    ['"2026-01-01T24:00:00Z"', /calendar/],
    ['"2026-01-01T00:60:00Z"', /calendar/],
    ['"2016-12-31T23:59:60Z"', /leap seconds/],
    ['"2026-01-01T00:00:00+24:00"', /zone/],
    ['"2026-01-01T00:00:00+00:60"', /zone/],
    ['"2026-01-01T00:00:00.0000001Z"', /finer than a microsecond/],
    ['"0000-06-01T00:00:00Z"', /0001 to 9999/],
    ['"0001-01-01T00:00:00+00:01"', /0001 to 9999/],
    ['"9999-12-31T23:59:59-00:01"', /0001 to 9999/],
    ['"2026-01-02T03:04:05.000000000000000000000000000000Z"', /too long/],
    ['1767323045', /must be an RFC 3339 string, not a number/],
    ['{}', /must be an RFC 3339 string, not an object/],
  ])('%s is refused', (json, message) => expect(timeFault(json)).toMatch(message));
});

describe('values', () => {
  const value = (json: string) => readEvents(withText('new_value', json), 'json', 'acme')[0]?.new_value;
  const valueFault = (json: string) => faults(withText('new_value', json)).join();

  it('absent is not null', () => {
    expect(value('null')).toBe('null');
    expect(one({})[0]?.new_value).toBeNull();
  });

  it.each([
    '12345678901234567890',
    '-0',
    '-0.0',
    '1.10',
    '1.0',
    '0.0000001',
    '1e-400',
    '1E5',
    '1e+05',
    '100000000000000000000000',
    '0.1000000000000000055511151231257827',
    '9007199254740993',
    '{"a":[1.50,-0,{"b":1e2}],"__proto__":{"c":12345678901234567890}}',
    '"1.10 and 1e400"',
    '{"1.0":"x: 1e5"}',
    '""',
    'false',
    '[]',
  ])('%s is kept to the letter', (json) => {
    expect(value(json)).toBe(json);
    expect(value(` ${json.replaceAll(',', ' ,\n\t')}\r\n`)).toBe(json);
  });

  it.each(['1e400', '-1e400', '[1,{"a":1e309}]'])('%s is beyond a double: refused', (json) => {
    expect(valueFault(json)).toMatch(/\/new_value holds a number beyond the range/);
  });

  it('hold no lone surrogate and no NUL, in texts and in names', () => {
    for (const bad of ['"\\ud800"', '["\\udfff"]', '{"\\ud800":1}', '{"a":{"b":"\\ud83d"}}']) {
      expect(valueFault(bad)).toMatch(/^\/new_value holds a lone surrogate/);
    }
    for (const bad of ['"\\u0000"', '{"a\\u0000":1}']) expect(valueFault(bad)).toMatch(/holds a NUL/);
    expect(value('"\\ud83d\\ude00"')).toBe('"\u{1F600}"');
  });

  it('keep every member, whatever its name', () => {
    const json = '{"__proto__":{"a":1},"constructor":2,"a":{"a":"\\"a\\":"},"":3}';
    expect(value(json)).toBe(json);
    expect(value('{"a":1.10,"__proto__":{"toString":-0}}')).toBe('{"a":1.10,"__proto__":{"toString":-0}}');
    // Members are unordered: a name that is an array index comes first.
    expect(value('{"b":1,"2":2,"1":3}')).toBe('{"1":3,"2":2,"b":1}');
  });

  it(`are nested at most ${LIMITS.valueDepthMax} deep`, () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(value(nested(64))).toBe(nested(64));
    expect(valueFault(nested(65))).toMatch(/nested deeper than 64/);
    expect(valueFault(`{"a":${nested(64)}}`)).toMatch(/nested deeper than 64/);
    const objects = (innermost: string) => `${'{"a":'.repeat(200_000)}${innermost}${'}'.repeat(200_000)}`;
    for (const deep of [nested(200_000), objects('1'), objects('1e5')]) {
      expect(valueFault(deep)).toMatch(/nested/);
      expect(faults(withText('actor', deep)).join()).toMatch(/must be a string|nested/);
      expect(faults(withText('whatever', deep)).join()).toMatch(/not a field|nested/);
    }
  });

  it(`are at most ${LIMITS.valueBytesMax} bytes`, () => {
    const ascii = 'x'.repeat(LIMITS.valueBytesMax - 2);
    expect(value(`"${ascii}"`)).toHaveLength(LIMITS.valueBytesMax);
    expect(valueFault(`"${ascii}x"`)).toMatch(/longer than 1048576 bytes/);
    expect(valueFault(`"${'é'.repeat(LIMITS.valueBytesMax / 2)}"`)).toMatch(/longer than 1048576 bytes/);
  });
});

describe('a body', () => {
  const line = (id: string) => JSON.stringify(event({ event_id: id }));
  const idsOf = (text: string, shape: 'json' | 'ndjson') =>
    readEvents(text, shape, 'acme').map((draft) => draft.event_id);

  it('is one event, an array, or lines', () => {
    expect(idsOf(line('a'), 'json')).toEqual(['a']);
    expect(idsOf(` [${line('a')},\n${line('b')}] `, 'json')).toEqual(['a', 'b']);
    expect(idsOf(`${line('a')}\n${line('b')}`, 'ndjson')).toEqual(['a', 'b']);
    expect(idsOf(`\r\n${line('a')}\r\n \t\n${line('b')}\r\n\n`, 'ndjson')).toEqual(['a', 'b']);
  });

  it('that holds no event is refused', () => {
    for (const text of ['[]', ' []\n']) expect(faults(text)).toEqual([' holds no event: send at least one']);
    for (const text of ['', '\n', ' \r\n\n'])
      expect(faults(text, 'ndjson')).toEqual([' holds no event: send at least one']);
    for (const text of ['1', '1e400', '-0', 'null', '"x"', 'true', '[[]]', '[1e400]', '[null]']) {
      expect(faults(text), text).toEqual([expect.stringMatching(/^(\/0)? is not an event: send a JSON object$/)]);
    }
    for (const text of ['', '{', '[1,]', "{'a':1}", '\ufeff{}', '{"a":01}', 'NaN', '[{}']) {
      expect(faults(text), text).toEqual([expect.stringMatching(/^ is not JSON: /)]);
    }
  });

  it('names the element or the line of each fault', () => {
    const bad = JSON.stringify(event({ entity_id: '' }));
    expect(faults(bad)).toEqual(['/entity_id is empty']);
    expect(faults(`[${line('a')},${bad}]`)).toEqual(['/1/entity_id is empty']);
    expect(faults(`${line('a')}\n\n${bad}\n{\n7`, 'ndjson')).toEqual([
      '/2/entity_id is empty',
      expect.stringMatching(/^\/3 is not JSON/),
      '/4 is not an event: send a JSON object',
    ]);
    expect(faults(JSON.stringify(event({ actor: 1, action: undefined, old: 2 })))).toHaveLength(3);
  });

  it(`lists ${LIMITS.errorsListedMax} faults at most`, () => {
    const many = Array.from({ length: 50 }, () => '{}');
    expect(faults(`[${many}]`)).toHaveLength(LIMITS.errorsListedMax);
    expect(faults(many.join('\n'), 'ndjson')).toHaveLength(LIMITS.errorsListedMax);
    const unknown = Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`x${i}`, 1]));
    expect(faults(JSON.stringify(unknown))).toHaveLength(LIMITS.errorsListedMax);
  });

  it(`holds ${LIMITS.batchEventsMax} events at most, and all of them or none`, () => {
    const lines = Array.from({ length: LIMITS.batchEventsMax }, (_, i) => line(`e${i}`));
    expect(idsOf(`[${lines}]`, 'json')).toHaveLength(10_000);
    expect(idsOf(`${lines.join('\n\n')}\n\n`, 'ndjson')).toHaveLength(10_000);
    for (const [text, shape] of [
      [`[${lines},${line('x')}]`, 'json'],
      [`${lines.join('\n')}\n${line('x')}`, 'ndjson'],
    ] as const) {
      expect(refusal(() => readEvents(text, shape, 'acme'))).toMatchObject({ kind: 'too-large' });
    }
    lines[9_999] = '{}';
    expect(faults(`[${lines}]`)).toHaveLength(4);
  });
});
