import { compareUtf8, type JournalEvent } from '../../journal/index.ts';
import type { Reader } from './readers.ts';

/** What the SQL of an engine says otherwise than that of others. */
export type Dialect = Pick<Reader, 'micros' | 'hex' | 'text' | 'time'>;
export type Question = { sql: string; answer: (string | null)[][] };

/** 2026-01-02T03:04:05.000006Z as microseconds since 1970. */
export function microsOf(time: string): bigint {
  return BigInt(Date.parse(`${time.slice(0, 19)}Z`)) * 1000n + BigInt(time.slice(20, 26));
}

const COLUMNS = [
  'seq',
  'event_id',
  'occurred_at',
  'recorded_at',
  'workspace_id',
  'entity_type',
  'entity_id',
  'field',
  'action',
  'old_value',
  'new_value',
  'actor',
  'actor_type',
  'source',
  'correlation_id',
  'metadata',
  'event_hash',
] as const;

/** All rows, column by column. */
export function everything(dialect: Dialect, events: readonly JournalEvent[]): Question {
  const columns = COLUMNS.map((column) => {
    if (column === 'seq') return 'CAST(seq AS VARCHAR)';
    if (column === 'event_hash') return dialect.hex(column);
    return column.endsWith('_at') ? dialect.micros(column) : column;
  });
  return {
    sql: `SELECT ${columns.map((column, index) => `${column} AS c${index}`).join(', ')} FROM journal ORDER BY seq`,
    answer: events.map((event) => COLUMNS.map((column) => cell(event, column))),
  };
}

function cell(event: JournalEvent, column: (typeof COLUMNS)[number]): string | null {
  const value = event[column];
  if (value === null) return null;
  return column.endsWith('_at') ? String(microsOf(String(value))) : String(value);
}

/** All that `extremes` asks, and filters by which engines leave files out. */
export function pruned(dialect: Dialect, events: readonly JournalEvent[]): Question[] {
  return [extremes(dialect, events), ...timeFilters(dialect, events), ...idFilters(dialect, events)];
}

/** What engines can answer from statistics alone. */
export function extremes({ micros }: Dialect, events: readonly JournalEvent[]): Question {
  const bounds = ['seq', 'occurred_at', 'recorded_at', 'entity_id', 'actor'].flatMap((column) =>
    ['min', 'max'].map((bound) => `${bound}(${column})`),
  );
  const selected = bounds.map((bound) => {
    if (bound.includes('_at')) return micros(bound);
    return bound.includes('seq') ? `CAST(${bound} AS VARCHAR)` : bound;
  });
  const last = events.at(-1);
  const occurred = sorted(events.map((event) => event.occurred_at));
  const ids = sorted(events.map((event) => event.entity_id));
  const actors = sorted(events.map((event) => event.actor));
  const times = [occurred.at(0), occurred.at(-1), events[0]?.recorded_at, last?.recorded_at];
  return {
    sql: `SELECT CAST(count(*) AS VARCHAR), ${selected.join(', ')} FROM journal`,
    answer: [
      [
        ...[String(events.length), '0', String(last?.seq)],
        ...times.map((time) => String(microsOf(String(time)))),
        ...[ids, actors].flatMap((texts) => [String(texts.at(0)), String(texts.at(-1))]),
      ],
    ],
  };
}

const sorted = (texts: string[]) => texts.toSorted(compareUtf8);
const distinct = (texts: string[]) => [...new Set(texts)];

/** Every time that a caller gave, and the first and last that the journal did: just the bounds of files. */
function timeFilters(dialect: Dialect, events: readonly JournalEvent[]): Question[] {
  const first = events.at(0);
  const last = events.at(-1);
  const asked = {
    occurred_at: distinct(events.filter((_, index) => index % 8 !== 0).map((event) => event.occurred_at)),
    recorded_at: distinct([String(first?.recorded_at), String(last?.recorded_at)]),
  };
  return (['occurred_at', 'recorded_at'] as const).flatMap((column) =>
    asked[column].flatMap((time) => {
      const micros = microsOf(time);
      const times = events.map((event) => microsOf(event[column]));
      return [
        counting(`${column} = ${dialect.time(micros)}`, times.filter((at) => at === micros).length),
        counting(`${column} >= ${dialect.time(micros)}`, times.filter((at) => at >= micros).length),
        counting(`${column} <= ${dialect.time(micros)}`, times.filter((at) => at <= micros).length),
      ];
    }),
  );
}

function idFilters({ text }: Dialect, events: readonly JournalEvent[]): Question[] {
  const ids = events.map((event) => event.entity_id);
  const lastSeq = events.length - 1;
  return [
    ...distinct(ids).map((id) => counting(`entity_id = ${text(id)}`, ids.filter((other) => other === id).length)),
    counting(`seq = ${lastSeq}`, 1),
    counting(`seq > ${lastSeq}`, 0),
    counting('seq < 5', Math.min(5, events.length)),
  ];
}

function counting(condition: string, count: number): Question {
  return { sql: `SELECT CAST(count(*) AS VARCHAR) FROM journal WHERE ${condition}`, answer: [[String(count)]] };
}
