import type { Row } from '../duckdb/index.ts';
import type { JournalEvent } from '../event.ts';

const timeText = (column: string) => `strftime(${column}, '%Y-%m-%dT%H:%M:%S.%fZ') AS ${column}`;

/** Select list of an event as eventOfRow reads it: times as text with microseconds, the hash as lower-case hex. */
export const EVENT_SELECT = `seq, event_id, ${timeText('occurred_at')}, ${timeText('recorded_at')}, workspace_id, entity_type, entity_id, field, action, old_value, new_value, actor, actor_type, source, correlation_id, metadata, lower(hex(event_hash)) AS event_hash`;

/** An event from a row of EVENT_SELECT. */
export function eventOfRow(row: Row): JournalEvent {
  return { ...(row as unknown as JournalEvent), seq: Number(row.seq) };
}
