import type { DuckDBConnection } from '@duckdb/node-api';
import { type SnapshotFiles, walSql } from '../../journal/index.ts';
import { assertRows } from './context.ts';
import { copyRows } from './database.ts';
import type { WorkerLimits } from './protocol.ts';

const TAIL_PATH = 'tail.parquet';

/** More than the buffers that one thread of DuckDB's NDJSON reader sets aside for the longest possible lines. */
const READER_BYTES = 192 * 1024 * 1024;

/**
 * The job with its tail as one more segment, for jobs that go over it several times. Reading NDJSON with lines of any
 * length takes much memory for each thread (on paper: hardly ever touched), so this step has one thread and its own
 * limit.
 */
export async function withTailInParquet<Job extends { files: SnapshotFiles }>(
  connection: DuckDBConnection,
  job: Job,
  limits: WorkerLimits,
): Promise<Job> {
  const { committedSeq, durableSeq, segments, tail } = job.files;
  const rows = durableSeq - committedSeq;
  if (rows === 0) return { ...job, files: { ...job.files, tail: [] } };
  await connection.run(`SET threads = 1; SET memory_limit = '${Math.max(limits.memoryBytes, READER_BYTES)} B'`);
  const events = `SELECT * FROM (${walSql(tail)}) WHERE seq > ${committedSeq} AND seq <= ${durableSeq}`;
  const copy = `COPY (${events}) TO '${TAIL_PATH}' (FORMAT parquet, ROW_GROUP_SIZE 8192)`;
  assertRows(await copyRows(connection, copy), rows);
  await connection.run(`SET threads = ${limits.threads}; SET memory_limit = '${limits.memoryBytes} B'`);
  const segment = { path: TAIL_PATH, rows, firstSeq: committedSeq + 1, lastSeq: durableSeq };
  return { ...job, files: { ...job.files, committedSeq: durableSeq, segments: [...segments, segment], tail: [] } };
}
