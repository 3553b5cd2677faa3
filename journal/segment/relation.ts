import { LIMITS } from '../limits.ts';
import type { SnapshotFiles } from '../snapshot.ts';

/** Columns of a WAL line as DuckDB reads them; `group`, `prev_hash` and `v` are left aside. */
const WAL_COLUMNS = `{seq: 'BIGINT', event_id: 'VARCHAR', occurred_at: 'TIMESTAMPTZ', recorded_at: 'TIMESTAMPTZ', workspace_id: 'VARCHAR', entity_type: 'VARCHAR', entity_id: 'VARCHAR', field: 'VARCHAR', action: 'VARCHAR', old_value: 'VARCHAR', new_value: 'VARCHAR', actor: 'VARCHAR', actor_type: 'VARCHAR', source: 'VARCHAR', correlation_id: 'VARCHAR', metadata: 'VARCHAR', event_hash: 'VARCHAR'}`;

const DATA_COLUMNS =
  'seq, event_id, occurred_at, recorded_at, workspace_id, entity_type, entity_id, field, action, old_value, new_value, actor, actor_type, source, correlation_id, metadata';

const EMPTY_RELATION = `SELECT NULL::BIGINT AS seq, NULL::VARCHAR AS event_id, NULL::TIMESTAMPTZ AS occurred_at, NULL::TIMESTAMPTZ AS recorded_at, NULL::VARCHAR AS workspace_id, NULL::VARCHAR AS entity_type, NULL::VARCHAR AS entity_id, NULL::VARCHAR AS field, NULL::VARCHAR AS action, NULL::VARCHAR AS old_value, NULL::VARCHAR AS new_value, NULL::VARCHAR AS actor, NULL::VARCHAR AS actor_type, NULL::VARCHAR AS source, NULL::VARCHAR AS correlation_id, NULL::VARCHAR AS metadata, NULL::BLOB AS event_hash WHERE false`;

/** A string as an SQL literal. */
export function sqlString(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export function sqlStrings(texts: readonly string[]): string {
  return `[${texts.map(sqlString).join(', ')}]`;
}

/** SELECT over Parquet segments: exactly the table's columns. Paths are an explicit list, never a glob. */
export function segmentsSql(paths: readonly string[]): string {
  if (paths.length === 0) return EMPTY_RELATION;
  return `SELECT ${DATA_COLUMNS}, event_hash FROM read_parquet(${sqlStrings(paths)}, hive_partitioning=false)`;
}

/** DuckDB reads twice this much at a time, on each thread: with less than a megabyte it reads slower. */
const LINE_BUFFER_BYTES = 1024 * 1024;

/**
 * SELECT over files in the format of the write-ahead log, with the columns and types of a segment. DuckDB sets aside
 * buffers for the longest line: who knows it saves memory and time.
 */
export function walSql(paths: readonly string[], lineBytesMax: number = LIMITS.walLineBytesMax): string {
  if (paths.length === 0) return EMPTY_RELATION;
  return `SELECT ${DATA_COLUMNS}, unhex(event_hash) AS event_hash FROM read_json(${sqlStrings(paths)}, format='newline_delimited', columns=${WAL_COLUMNS}, maximum_object_size=${Math.max(lineBytesMax, LINE_BUFFER_BYTES)}, auto_detect=false)`;
}

/** SELECT over a whole snapshot: every event exactly once, in no particular order. */
export function snapshotSql(files: SnapshotFiles): string {
  const committed = segmentsSql(files.segments.map((segment) => segment.path));
  if (files.tail.length === 0) return committed;
  return `${committed} UNION ALL (SELECT * FROM (${walSql(files.tail)}) WHERE seq > ${files.committedSeq} AND seq <= ${files.durableSeq})`;
}
