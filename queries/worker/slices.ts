import { rm } from 'node:fs/promises';
import type { DuckDBConnection } from '@duckdb/node-api';
import { type SnapshotFiles, segmentsSql } from '../../journal/index.ts';

/** A part of the snapshot: exactly the events firstSeq … lastSeq, by the word of the table log. */
export type Slice = {
  /** SELECT of a segment's columns, in no order. */
  sql: string;
  firstSeq: number;
  lastSeq: number;
};

type Source = SnapshotFiles['segments'][number];

/** Reading a part of a file's seqs decodes all of the file: no more often than this. */
const PASSES_MAX = 6;
/** Overlapping files with more rows than this are laid out anew by seq before they are read. */
const DIRECT_ROWS_MAX = 400_000;
const STAGED_SLICE_ROWS = 65_536;

/**
 * The snapshot's segments in slices of about `rowsMax` events, by ascending seq: each can be sorted or joined on its
 * own, so that memory does not grow with the journal. Freshly sealed segments follow each other; segments that
 * compaction sorted by entity all overlap, and are first copied to temporary files in the order of seq.
 */
export async function* slicesOf(
  connection: DuckDBConnection,
  { segments }: SnapshotFiles,
  rowsMax: number,
): AsyncGenerator<Slice> {
  for (const cluster of clustersOf(segments, rowsMax)) {
    const isDirect = cluster.length === 1 || rowsOf(cluster) <= DIRECT_ROWS_MAX;
    if (isDirect) {
      yield* cut(cluster, rowsMax);
      continue;
    }
    const staged = await stage(connection, cluster);
    yield* cut(staged, rowsMax, Number.POSITIVE_INFINITY);
    for (const { path } of staged) await rm(path, { force: true });
  }
}

/** Segments whose ranges of seq overlap together, and as many as make a slice: a statement costs some milliseconds. */
export function clustersOf(segments: readonly Source[], rowsMax: number): Source[][] {
  const clusters: Source[][] = [];
  let lastSeq = -1;
  for (const segment of [...segments].sort((a, b) => a.firstSeq - b.firstSeq)) {
    const open = clusters.at(-1);
    if (open && (segment.firstSeq <= lastSeq || rowsOf(open) + segment.rows <= rowsMax)) open.push(segment);
    else clusters.push([segment]);
    lastSeq = Math.max(lastSeq, segment.lastSeq);
  }
  return clusters;
}

function* cut(sources: readonly Source[], rowsMax: number, passesMax = PASSES_MAX): Generator<Slice> {
  const first = Math.min(...sources.map(({ firstSeq }) => firstSeq));
  const last = Math.max(...sources.map(({ lastSeq }) => lastSeq));
  const span = last - first + 1;
  const count = Math.min(passesMax, Math.ceil(span / rowsMax));
  for (let index = 0; index < count; index += 1) {
    const firstSeq = first + Math.floor((span * index) / count);
    const lastSeq = first + Math.floor((span * (index + 1)) / count) - 1;
    const paths = sources
      .filter((source) => source.firstSeq <= lastSeq && source.lastSeq >= firstSeq)
      .map(({ path }) => path);
    // A row outside the range of its own file must not vanish: the slices at the ends are open there.
    const bounds = [index > 0 && `seq >= ${firstSeq}`, index < count - 1 && `seq <= ${lastSeq}`].filter(Boolean);
    const where = bounds.length > 0 ? ` WHERE ${bounds.join(' AND ')}` : '';
    yield { sql: `SELECT * FROM (${segmentsSql(paths)})${where}`, firstSeq, lastSeq };
  }
}

/** Copies of the files in the order of seq, cut small: a range of seq then means a few row groups of each. */
async function stage(connection: DuckDBConnection, cluster: readonly Source[]): Promise<Source[]> {
  const staged: Source[] = [];
  for (const source of cluster) {
    const passes = Math.min(PASSES_MAX, Math.ceil(source.rows / STAGED_SLICE_ROWS));
    const span = source.lastSeq - source.firstSeq + 1;
    for (const { sql, firstSeq, lastSeq } of cut([source], Math.ceil(span / passes))) {
      const path = `staged-${staged.length}.parquet`;
      await connection.run(
        `COPY (${sql} ORDER BY seq) TO '${path}' (FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE 8192)`,
      );
      staged.push({ path, rows: 0, firstSeq, lastSeq });
    }
  }
  return staged;
}

function rowsOf(sources: readonly Source[]): number {
  return sources.reduce((sum, { rows }) => sum + rows, 0);
}
