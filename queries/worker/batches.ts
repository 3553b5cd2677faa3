import type { DuckDBConnection } from '@duckdb/node-api';
import { type ArrowColumn, ArrowEncoder } from './arrow.ts';
import type { Output } from './output.ts';
import type { RowSummary } from './protocol.ts';

/** Chunks of DuckDB's 2,048 rows in one Arrow batch. */
const BATCH_CHUNKS = 8;

/** What a job works with. */
export type JobContext<Meta> = {
  connection: DuckDBConnection;
  /** Names of the job's files in the working directory. */
  paths: readonly string[];
  output: Output;
  /** To be called once, before the first byte. */
  ready(meta: Meta): Promise<void>;
};

/**
 * Rows of a query in its order, in chunks: one array per column.
 * @throws where it gives other than `rows` rows: a stream of DuckDB's that fails just ends
 */
export async function* chunksOf(connection: DuckDBConnection, sql: string, rows: number): AsyncGenerator<unknown[][]> {
  const result = await connection.stream(sql);
  let seen = 0;
  for (;;) {
    const chunk = await result.fetchChunk();
    if (!chunk || chunk.rowCount === 0) break;
    seen += chunk.rowCount;
    yield chunk.getColumns();
  }
  assertRows(seen, rows);
}

/** Every answer is counted twice, by different ways. */
export function assertRows(seen: number, expected: number): RowSummary {
  if (seen !== expected) throw new Error(`the answer has ${seen} rows where ${expected} were counted`);
  return { rows: seen };
}

/** An Arrow IPC stream of chunks, several to a batch. */
export async function writeArrow(
  columns: readonly ArrowColumn[],
  chunks: AsyncIterable<unknown[][]>,
  output: Output,
): Promise<void> {
  const encoder = new ArrowEncoder(columns);
  let batch: unknown[][] = columns.map(() => []);
  let held = 0;
  for await (const values of chunks) {
    for (const [index, column] of values.entries()) batch[index]?.push(...column);
    held += 1;
    if (held < BATCH_CHUNKS) continue;
    await output.bytes(encoder.batch(batch));
    batch = columns.map(() => []);
    held = 0;
  }
  if (held > 0) await output.bytes(encoder.batch(batch));
  await output.bytes(encoder.end());
}
