import type { DuckDBConnection } from '@duckdb/node-api';
import type { Output } from './output.ts';
import type { RowSummary } from './protocol.ts';

/** What a job works with. */
export type JobContext<Meta> = {
  connection: DuckDBConnection;
  output: Output;
  /** What may be put on disk. */
  tempBytes: number;
  /** To be called once, before the first byte. */
  ready(meta: Meta): Promise<void>;
};

/**
 * Rows of a query in its order, in chunks: one array per column. Count them: a stream of DuckDB's that fails just
 * ends.
 */
export async function* chunksOf(connection: DuckDBConnection, sql: string): AsyncGenerator<unknown[][]> {
  const result = await connection.stream(sql);
  for (;;) {
    const chunk = await result.fetchChunk();
    if (!chunk || chunk.rowCount === 0) return;
    yield chunk.getColumns();
  }
}

/** Every answer is counted twice, by different ways. */
export function assertRows(seen: number, expected: number): RowSummary {
  if (seen !== expected) throw new Error(`the answer has ${seen} rows where ${expected} were counted`);
  return { rows: seen };
}
