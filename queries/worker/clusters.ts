import { type SnapshotFiles, segmentsSql } from '../../journal/index.ts';

/** Clusters smaller than this go together: a statement costs some milliseconds however few its rows. */
const CLUSTER_ROWS_MIN = 50_000;

/** A part of the snapshot that holds exactly the events firstSeq … lastSeq, by the word of the table log. */
export type Cluster = {
  /** SELECT of a segment's columns. */
  sql: string;
  firstSeq: number;
  lastSeq: number;
};

/**
 * The snapshot's segments in pieces whose ranges of seq do not overlap, ascending: each can be sorted on its own.
 * Freshly sealed segments are such pieces; segments that compaction sorted by entity overlap and make one piece.
 */
export function clustersOf({ segments }: SnapshotFiles): Cluster[] {
  const clusters: { paths: string[]; firstSeq: number; lastSeq: number }[] = [];
  for (const segment of [...segments].sort((a, b) => a.firstSeq - b.firstSeq)) {
    const last = clusters.at(-1);
    const joins = last && (segment.firstSeq <= last.lastSeq || last.lastSeq - last.firstSeq + 1 < CLUSTER_ROWS_MIN);
    if (joins) {
      last.paths.push(segment.path);
      last.lastSeq = Math.max(last.lastSeq, segment.lastSeq);
    } else {
      clusters.push({ paths: [segment.path], firstSeq: segment.firstSeq, lastSeq: segment.lastSeq });
    }
  }
  return clusters.map(({ paths, firstSeq, lastSeq }) => ({ sql: segmentsSql(paths), firstSeq, lastSeq }));
}
