import type { Row } from '../duckdb/index.ts';
import { EVENT_COLUMNS, type JournalEvent } from '../event.ts';
import { utcTextSql } from './canonical-sql.ts';

/** Select list of an event as eventOfRow reads it: times as text with microseconds, the hash as lower-case hex. */
export const EVENT_SELECT = EVENT_COLUMNS.map((name) => {
  if (name === 'event_hash') return `lower(hex(${name})) AS ${name}`;
  return name === 'occurred_at' || name === 'recorded_at' ? `${utcTextSql(name)} AS ${name}` : name;
}).join(', ');

/** An event from a row of EVENT_SELECT. */
export function eventOfRow(row: Row): JournalEvent {
  return { ...(row as unknown as JournalEvent), seq: Number(row.seq) };
}
