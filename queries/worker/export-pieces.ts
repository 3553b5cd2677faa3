import type { DuckDBConnection } from '@duckdb/node-api';
import type { SnapshotFiles } from '../../journal/index.ts';
import { rowsOf } from './database.ts';
import { type Slice, slicesOf } from './slices.ts';

/** A slice with the event_hash before its first event, in hex: what that links to. */
export type Piece = Slice & { beforeHash: string };

export async function* piecesOf(
  connection: DuckDBConnection,
  files: SnapshotFiles,
  rowsMax: number,
): AsyncGenerator<Piece> {
  let { beforeHash } = files.start;
  for await (const slice of slicesOf(connection, files, rowsMax)) {
    yield { ...slice, beforeHash };
    const [last] = await rowsOf(
      connection,
      `SELECT lower(hex(event_hash)) AS event_hash FROM (${slice.sql}) WHERE seq = ${slice.lastSeq}`,
    );
    if (typeof last?.event_hash !== 'string') throw new Error(`seq ${slice.lastSeq} is missing from its segment`);
    beforeHash = last.event_hash;
  }
}
