import { type FileHolder, withHeld } from '../cache/index.ts';
import { type Engine, sqlString } from '../duckdb/index.ts';
import { segmentsSql } from '../segment/index.ts';
import type { SegmentFile } from '../snapshot.ts';
import type { TableFile } from '../table/index.ts';

/** Where a journal is cut: at a position, or at the first event recorded at or after a time (canonical form). */
export type Cut = { seq: number } | { before: string };

/**
 * The position of the first event that was recorded at or after the time; the one after `lastSeq` where there is none.
 * recorded_at never runs backwards: the statistics tell of every file but those that hold the time.
 */
export async function firstSeqAt(
  engine: Engine,
  cache: FileHolder,
  files: readonly SegmentFile[],
  time: string,
  lastSeq: number,
): Promise<number> {
  let first = lastSeq + 1;
  for (const file of files) {
    if (file.firstSeq >= first || (file.max.recorded_at ?? time) < time) continue;
    if ((file.min.recorded_at ?? '') >= time) {
      first = file.firstSeq;
      continue;
    }
    const [row] = await withHeld(cache, [file], (paths) =>
      engine.all(
        `SELECT min(seq) AS seq FROM (${segmentsSql(paths)}) WHERE recorded_at >= CAST(${sqlString(time)} AS TIMESTAMPTZ)`,
      ),
    );
    if (row?.seq != null) first = Math.min(first, Number(row.seq));
  }
  return first;
}

/** The files that hold events below a position: nothing else, or later ones too. */
export function filesBelow(files: readonly TableFile[], firstSeq: number): { whole: TableFile[]; cut: TableFile[] } {
  const below = files.filter(({ bounds }) => bounds.firstSeq < firstSeq);
  return {
    whole: below.filter(({ bounds }) => bounds.lastSeq < firstSeq),
    cut: below.filter(({ bounds }) => bounds.lastSeq >= firstSeq),
  };
}
