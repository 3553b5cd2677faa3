import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Add,
  copyRows,
  type HoldableFile,
  type Snapshot,
  segmentsSql,
  type TableLayout,
  uploadSegment,
  uuidV4,
  withHeld,
  type WrittenFile,
} from '../../journal/index.ts';
import { newRowsSql, type Projection } from '../definition.ts';
import { rowsRelation } from './content.ts';
import type { Storage } from './storage.ts';

/** Committed events with fromSeq ≤ seq ≤ toSeq, all of them in the snapshot's files. */
export type FoldRange = { snapshot: Snapshot; fromSeq: number; toSeq: number };

/** Where rows go: a table, or a version that is none yet. */
export type FoldTarget = { layout: TableLayout; key(path: string): string };

/**
 * Makes and uploads the rows that the events add to those of `known`. Nobody reads the file until a commit names it.
 * undefined: they add none.
 */
export async function foldRange(
  storage: Storage,
  projection: Projection,
  range: FoldRange,
  known: readonly HoldableFile[],
  target: FoldTarget,
): Promise<Add | undefined> {
  const { snapshot, fromSeq, toSeq } = range;
  const files = snapshot.files.filter((file) => file.lastSeq >= fromSeq && file.firstSeq <= toSeq);
  // Sums need not know what there is.
  const needed = projection.combine.kind === 'unique' ? known : [];
  return withHeld(snapshot, files, (eventPaths) =>
    withHeld(storage.cache, needed, (rowPaths) => {
      const events = `(SELECT * FROM (${segmentsSql(eventPaths)}) WHERE seq BETWEEN ${fromSeq} AND ${toSeq})`;
      const rows = newRowsSql(projection, events, rowsRelation(projection, rowPaths));
      return writeRows(storage, rows, target);
    }),
  );
}

/**
 * Uploads what a SELECT with the table's columns by name gives. `isSorted`: it comes in the order of seq, and need not be
 * sorted, which would take memory for all of it. undefined: no rows.
 */
export async function writeRows(
  storage: Storage,
  selectSql: string,
  target: FoldTarget,
  isSorted = false,
): Promise<Add | undefined> {
  const dir = join(storage.tempDir, 'projections');
  const localPath = join(dir, `${uuidV4(storage.random)}.parquet`);
  const columns = target.layout.schema.map(({ name }) => name).join(', ');
  const sql = `SELECT ${columns} FROM (${selectSql})${isSorted ? '' : ' ORDER BY seq'}`;
  await mkdir(dir, { recursive: true });
  try {
    const written: WrittenFile = await storage.engine.session((run) => copyRows(run, sql, localPath, target.layout));
    return written.rows === 0 ? undefined : await uploadSegment(storage, target, { ...written, localPath });
  } finally {
    await rm(localPath, { force: true });
  }
}
