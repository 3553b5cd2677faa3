import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { type JournalEvent, ZERO_HASH } from '../../journal/index.ts';

/** What a generated event says; the journal's own part is added by `journalOf`. */
export type EventSpec = Omit<JournalEvent, 'seq' | 'event_id' | 'recorded_at' | 'workspace_id' | 'event_hash'>;

const LONG = 'a-rather-long-prefix-that-passes-32-chars/';

/** Texts that tell UTF-8 order from UTF-16 order, SQL from data, and a truncated bound from a whole one. */
export const HOSTILE_TEXTS = [
  'a',
  'a/b',
  "o'hara'; --",
  '%',
  '\u0001',
  '\u000b\u001f"\\u000b\\',
  '\u007f',
  'é',
  '\uD7FF',
  '\uE000',
  '\uFFFD',
  '\u{10000}',
  '\u{1F600}x',
  '\u{10FFFF}\u{10FFFF}',
  `${LONG}1`,
  `${LONG}\u{1F600}`,
  `${LONG.slice(0, 32)}\u007f`,
  `${LONG.slice(0, 31)}\u{1F600}z`,
  `${LONG.slice(0, 32)}\u{10FFFF}z`,
  LONG.slice(0, 32),
];

const VALUES = [
  'null',
  '""',
  '0',
  '-0',
  '12345678901234567890.5',
  '1e-400',
  '{"a":1e3,"*":[]}',
  '"\\u0001 é \u{1F600}"',
];
const TIMES = [
  '0001-01-01T00:00:00.000000Z',
  '2026-01-02T03:04:05.000000Z',
  '2026-01-02T03:04:05.000001Z',
  '2026-01-02T03:04:05.000999Z',
  '2026-01-02T03:04:05.001000Z',
  '2026-11-21T23:59:59.999999Z',
  '9999-12-31T23:59:59.999999Z',
];

export const hostileText = fc.constantFrom(...HOSTILE_TEXTS);
export const eventTime = fc.constantFrom(...TIMES);
const value = fc.option(fc.constantFrom(...VALUES), { freq: 3 });

export const eventSpec: fc.Arbitrary<EventSpec> = fc.record({
  occurred_at: eventTime,
  entity_type: fc.constantFrom('file', '\uFFFD', '\u{1F600}'),
  entity_id: hostileText,
  field: fc.constantFrom('*', 'status', 'é'),
  action: fc.constantFrom('insert', 'update', 'delete'),
  old_value: value,
  new_value: value,
  actor: fc.constantFrom('ann', 'bob', '\u{10000}'),
  actor_type: fc.option(fc.constant('user')),
  source: fc.option(fc.constantFrom('api', 'git')),
  correlation_id: fc.option(fc.constantFrom('c1', 'c2')),
  metadata: value,
});

/** The specs as the events of one journal. */
export function journalOf(specs: readonly EventSpec[], workspace = 'acme'): JournalEvent[] {
  return specs.map((spec, seq) => ({
    seq,
    event_id: `event-${seq}`,
    recorded_at: `2026-11-21T00:00:00.${String(seq).padStart(6, '0')}Z`,
    workspace_id: workspace,
    event_hash: createHash('sha256').update(`${workspace}/${seq}`).digest('hex'),
    ...spec,
  }));
}

/** Lines in the format of the write-ahead log. The hashes link, but are not those of the content. */
export function walLines(events: readonly JournalEvent[]): string {
  let previous = ZERO_HASH;
  return events
    .map((event) => {
      const line = JSON.stringify({ group: 0, ...event, prev_hash: previous, v: 1 });
      previous = event.event_hash;
      return `${line}\n`;
    })
    .join('');
}

/** An event with everything optional absent. */
export function plainSpec(changes: Partial<EventSpec> = {}): EventSpec {
  return {
    occurred_at: '2026-01-02T03:04:05.000000Z',
    entity_type: 'file',
    entity_id: 'a',
    field: '*',
    action: 'update',
    old_value: null,
    new_value: null,
    actor: 'ann',
    actor_type: null,
    source: null,
    correlation_id: null,
    metadata: null,
    ...changes,
  };
}
