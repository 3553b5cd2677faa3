import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CanonicalString } from '../../journal/drafts/index.ts';
import { canonicalEvent, type JournalEvent, leafHash } from '../../journal/index.ts';
import { checkLine, LineEncoder } from '../../journal/wal/format.ts';
import { strangerHash } from '../support/journal-lab.ts';

/** Text that tells one JSON printer from another: every control character, quotes, escapes, all of Unicode. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }).map((value) => value.toWellFormed()),
  fc.string({ unit: fc.integer({ min: 1, max: 0x1f }).map((code) => String.fromCharCode(code)) }),
  fc.constantFrom(
    '"',
    '\\',
    '\\u000b',
    '\u007f',
    '\u0080',
    '\u2028\u2029',
    '\uFFFF',
    '\u{1F600}\u{10FFFF}',
    '</script>',
  ),
);
const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 });
const nullable = fc.option(text);

const anyEvent: fc.Arbitrary<JournalEvent> = fc.record({
  seq: fc.oneof(fc.nat(), fc.constant(2 ** 32 - 2)),
  event_id: text,
  occurred_at: fc.constantFrom('0001-01-01T00:00:00.000000Z', '9999-12-31T23:59:59.999999Z'),
  recorded_at: fc.constant('2026-11-21T08:00:00.000000Z'),
  workspace_id: fc.constantFrom('acme', '_system', 'a-b_c'),
  entity_type: text,
  entity_id: text,
  field: text,
  action: text,
  old_value: nullable,
  new_value: nullable,
  actor: text,
  actor_type: nullable,
  source: nullable,
  correlation_id: nullable,
  metadata: nullable,
  event_hash: hex,
});

describe('the canonical event', () => {
  it('is what an independent RFC 8785 printer prints', () => {
    fc.assert(
      fc.property(anyEvent, hex, (event, prevHash) => {
        const { event_hash: _, ...members } = event;
        expect(canonicalEvent(event, prevHash)).toBe(canonicalize({ ...members, prev_hash: prevHash, v: 1 }));
      }),
      { numRuns: 500 },
    );
  });

  it('is hashed as an RFC 6962 leaf', () => {
    fc.assert(
      fc.property(anyEvent, hex, (event, prevHash) => {
        const canonical = canonicalEvent(event, prevHash);
        const expected = createHash('sha256').update(Buffer.concat([Buffer.of(0), Buffer.from(canonical)]));
        expect(leafHash(canonical)).toBe(expected.digest('hex'));
        expect(leafHash(canonical)).toBe(strangerHash(event, prevHash));
      }),
    );
  });

  it('has every control character as JCS has it', () => {
    const controls = Array.from({ length: 0x20 }, (_, code) => String.fromCharCode(code))
      .join('')
      .slice(1);
    const event = { ...sample(), new_value: controls };
    expect(canonicalEvent(event, 'f'.repeat(64))).toContain(
      '"\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f\\u0010',
    );
    expect(JSON.parse(canonicalEvent(event, 'f'.repeat(64))).new_value).toBe(controls);
  });

  it('does not mix up what it remembers of texts', () => {
    for (let i = 0; i < 10_000; i++) {
      const event = { ...sample(), actor: `a${i % 6000}"`, field: `f${i}` };
      expect(JSON.parse(canonicalEvent(event, 'f'.repeat(64)))).toMatchObject({
        actor: event.actor,
        field: event.field,
      });
    }
  });

  it('of a known event never changes', () => {
    const canonical = canonicalEvent(sample(), '0'.repeat(64));
    expect(canonical).toBe(
      '{"action":"update","actor":"ann","actor_type":null,"correlation_id":null,"entity_id":"é\\u000b\\"","entity_type":"file",' +
        '"event_id":"e1","field":"*","metadata":null,"new_value":"{\\"a\\":1.10}","occurred_at":"2026-01-02T03:04:05.000000Z",' +
        `"old_value":null,"prev_hash":"${'0'.repeat(64)}","recorded_at":"2026-11-21T08:00:00.000000Z","seq":0,"source":null,"v":1,` +
        '"workspace_id":"acme"}',
    );
    // Computed once with Python's hashlib.
    expect(leafHash(canonical)).toBe('6c1bc01d2d291faee92f103e535576c0c12063edd05025a016d7cd51be5e2ee5');
  });
});

function sample(): JournalEvent {
  return {
    seq: 0,
    event_id: 'e1',
    occurred_at: '2026-01-02T03:04:05.000000Z',
    recorded_at: '2026-11-21T08:00:00.000000Z',
    workspace_id: 'acme',
    entity_type: 'file',
    entity_id: 'é\u000b"',
    field: '*',
    action: 'update',
    old_value: null,
    new_value: '{"a":1.10}',
    actor: 'ann',
    actor_type: null,
    source: null,
    correlation_id: null,
    metadata: null,
    event_hash: '',
  };
}

const walLine = (canonical: string, eventHash: string, group: number) =>
  `{"group":${group},"event_hash":"${eventHash}",${canonical.slice(1)}\n`;

describe('a line of the log', () => {
  it('is read back wherever it lies: chunk boundaries, long lines, any Unicode', () => {
    const encoder = new LineEncoder();
    const event = fc.tuple(anyEvent, fc.constantFrom(0, 0, 0, 1000, 400_000, 1_100_000));
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 12 }), fc.nat(), (events, group) => {
        const staged = events.map(([members, padding]) => {
          const canonical = canonicalEvent({ ...members, metadata: 'é'.repeat(padding) }, 'a'.repeat(64));
          return { canonical, line: encoder.encode(new CanonicalString(canonical), group) };
        });
        // All of them still stand where they were written, after the later ones were.
        for (const { canonical, line } of staged) {
          expect(line.eventHash).toBe(leafHash(canonical));
          const written = line.buffer.toString('utf8', line.start, line.end + 1);
          expect(written).toBe(walLine(canonical, line.eventHash, group));
          expect(checkLine(line.buffer, line.start, line.end)).toEqual({ group, eventHash: line.eventHash });
          expect(line.buffer.toString('utf8', line.start, line.end + 1)).toBe(written);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('is refused in any other form', () => {
    const canonical = canonicalEvent(sample(), '0'.repeat(64));
    const good = walLine(canonical, leafHash(canonical), 12).trimEnd();
    const check = (line: string) => checkLine(Buffer.from(line), 0, Buffer.byteLength(line));
    expect(check(good)).toEqual({ group: 12, eventHash: leafHash(canonical) });
    const hash = leafHash(canonical);
    for (const bad of [
      '',
      '{}',
      good.slice(1),
      ` ${good}`,
      `${good} `,
      good.replace('"group":12', '"group":012'),
      good.replace('"group":12', '"group":-1'),
      good.replace('"group":12', '"group":1.2'),
      good.replace('"group":12', '"group":'),
      good.replace('"group":12', `"group":${'1'.repeat(20)}`),
      good.replace(hash, hash.toUpperCase()),
      good.replace(hash, 'f'.repeat(64)),
      good.replace(hash, hash.slice(1)),
      good.replace('"event_hash"', '"event_hush"'),
      good.replace('"seq":0', '"seq":1'),
      good.slice(0, 100),
    ]) {
      expect(check(bad), bad).toBeUndefined();
    }
  });
});
