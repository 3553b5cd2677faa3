import { sqlString } from '../duckdb/index.ts';
import { EVENT_COLUMNS } from '../event.ts';
import { LIMITS } from '../limits.ts';
import type { SnapshotFiles } from '../snapshot.ts';
import { emptySql, JOURNAL_LAYOUT, sqlType } from '../table/index.ts';

/** Columns of a WAL line as DuckDB reads them, the hash as hex; `group`, `prev_hash` and `v` are left aside. */
const WAL_COLUMNS = `{${JOURNAL_LAYOUT.schema.map((field) => `${field.name}: '${field.type === 'binary' ? 'VARCHAR' : sqlType(field)}'`).join(', ')}}`;

const DATA_COLUMNS = EVENT_COLUMNS.filter((name) => name !== 'event_hash').join(', ');

const EMPTY_RELATION = emptySql(JOURNAL_LAYOUT);

export function sqlStrings(texts: readonly string[]): string {
  return `[${texts.map(sqlString).join(', ')}]`;
}

/**
 * SELECT over Parquet segments: exactly the table's columns, and `filename` (the path) where it is asked for. Paths are an
 * explicit list, never a glob.
 */
export function segmentsSql(paths: readonly string[], more?: 'filename'): string {
  if (paths.length === 0) return EMPTY_RELATION;
  const columns = more === undefined ? DATA_COLUMNS : `${DATA_COLUMNS}, ${more}`;
  return `SELECT ${columns}, event_hash FROM read_parquet(${sqlStrings(paths)}, hive_partitioning=false)`;
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
