import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Add,
  copyRows,
  type HoldableFile,
  isOutOfMemory,
  type Snapshot,
  segmentsSql,
  type TableLayout,
  uploadSegment,
  uuidV4,
  withHeld,
} from '../../journal/index.ts';
import { newRowsSql, type Projection } from '../definition.ts';
import { rowsRelation } from './content.ts';
import type { Storage } from './storage.ts';

/** Committed events with fromSeq ≤ seq ≤ toSeq, all of them in the snapshot's files. */
export type FoldRange = { snapshot: Snapshot; fromSeq: number; toSeq: number };

/** Where rows go: a table, or a version that is none yet. */
export type FoldTarget = { layout: TableLayout; key(path: string): string };

/** A file that no commit names yet. */
export type Written = { add: Add; rows: number };

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
): Promise<Written | undefined> {
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
): Promise<Written | undefined> {
  const dir = join(storage.tempDir, 'projections');
  const localPath = join(dir, `${uuidV4(storage.random)}.parquet`);
  const columns = target.layout.schema.map(({ name }) => name).join(', ');
  const sql = `SELECT ${columns} FROM (${selectSql})${isSorted ? '' : ' ORDER BY seq'}`;
  await mkdir(dir, { recursive: true });
  try {
    const written = await storage.engine.session((run) => copyRows(run, sql, localPath, target.layout));
    if (written.rows === 0) return undefined;
    return { add: await uploadSegment(storage, target, { ...written, localPath }), rows: written.rows };
  } finally {
    await rm(localPath, { force: true });
  }
}

/** Events that one statement folds at first: memory for their rows is bounded by that. */
const STEP_EVENTS = 500_000;
const STEP_EVENTS_MIN = 1_000;

/** Folds from `next()` to `upTo`, step by step; of rows so wide that there is not the memory for a step, in smaller ones. */
export async function inSteps(
  next: () => number,
  upTo: number,
  fold: (fromSeq: number, toSeq: number) => Promise<void>,
): Promise<void> {
  let events = STEP_EVENTS;
  for (;;) {
    const fromSeq = next();
    const toSeq = Math.min(upTo, fromSeq + events - 1);
    if (toSeq < fromSeq) return;
    try {
      await fold(fromSeq, toSeq);
    } catch (error) {
      if (!isOutOfMemory(error) || events <= STEP_EVENTS_MIN) throw error;
      events = Math.max(STEP_EVENTS_MIN, Math.floor(events / 4));
    }
  }
}
