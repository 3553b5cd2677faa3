import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type SegmentCache, withHeld } from '../cache/index.ts';
import { IndelibleError } from '../errors.ts';
import type { JournalStart } from '../event.ts';
import type { Clock, ObjectStore, Random } from '../ports.ts';
import { sameDigest } from '../segment/index.ts';
import type { SegmentJobs } from '../segment-process/index.ts';
import { type Add, type DeltaTable, type TableFile, uploadSegment } from '../table/index.ts';
import { uuidV4 } from '../uuid.ts';
import { filesBelow } from './cut.ts';

export type RemovalOptions = {
  store: ObjectStore;
  cache: SegmentCache;
  clock: Clock;
  random: Random;
  jobs: SegmentJobs;
  tempDir: string;
};

/**
 * Runs the commit that removes events, at once, if nothing forbids it now.
 * @throws conflict where a legal hold stands: the commit is not begun.
 */
export type RemovalGate = <T>(commit: () => Promise<T>) => Promise<T>;

export type Removed = { files_removed: number; files_rewritten: number };

/** Compaction by another process may be faster than a rewrite so many times. */
const TRIES_MAX = 5;
const EVERY_KEY = { from: null, to: null };

/** A removal that the table notes, as text, and where the journal begins after it. */
export type NotedRemoval = { order: string; start: JournalStart };

/**
 * Lets the table begin at `start`: files that lie below it go, others that reach below it are replaced by what they
 * hold from it on, proved by count and digest. Seals and compaction commit in between, and another process may carry out
 * the same order, or withdraw it: the table log says which came first.
 * @throws conflict where a hold stands, or the order was withdrawn; corrupt where a rewritten file is not what it replaces: nothing is removed.
 * Where the store fails at the commit its outcome is unknown: the table's next refresh tells, by its start.
 */
export async function removeBelow(
  options: RemovalOptions,
  table: DeltaTable,
  { order, start }: NotedRemoval,
  gate: RemovalGate,
): Promise<Removed> {
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const { whole, cut } = filesBelow(table.files(), start.firstSeq);
    const adds = await rewriteAll(options, table, cut, start.firstSeq);
    const removes = [...whole, ...cut].map(({ add }) => add);
    // From here on the new files may be part of the journal: they stay until the cleanup looks at them.
    await gate(() => table.removeBelow({ order, start, removes, adds }));
    if (table.start.firstSeq >= start.firstSeq) return { files_removed: whole.length, files_rewritten: cut.length };
    if (table.order !== order) throw new IndelibleError('conflict', 'the removal was withdrawn: a legal hold was made');
  }
  throw new IndelibleError('unavailable', 'another process rewrites the journal: try again', { retryAfterS: 60 });
}

async function rewriteAll(
  options: RemovalOptions,
  table: DeltaTable,
  files: readonly TableFile[],
  fromSeq: number,
): Promise<Add[]> {
  const adds: Add[] = [];
  try {
    for (const file of files) adds.push(await rewrite(options, table, file, fromSeq));
    return adds;
  } catch (error) {
    for (const { path } of adds) await options.store.delete(table.key(path)).catch(() => {});
    throw error;
  }
}

async function rewrite(options: RemovalOptions, table: DeltaTable, file: TableFile, fromSeq: number): Promise<Add> {
  const { cache, jobs, random, tempDir } = options;
  const { add } = file;
  const outPath = join(tempDir, `${uuidV4(random)}.parquet`);
  await mkdir(tempDir, { recursive: true });
  try {
    const { read, written } = await withHeld(cache, [table.holdable(file)], async (paths) => ({
      read: (await jobs.survey({ paths, sampleStep: file.bounds.rows, fromSeq })).digest,
      written: await jobs.writePart({ paths, range: EVERY_KEY, outPath, fromSeq }),
    }));
    const { digest } = written;
    if (digest.rows === 0 || !sameDigest(digest, read)) {
      throw new IndelibleError('corrupt', `${table.key(add.path)} was not rewritten as it is: nothing was changed`);
    }
    const uploaded = await uploadSegment(options, table, { ...written, localPath: outPath });
    return { ...uploaded, ...(add.tags ? { tags: add.tags } : {}) };
  } finally {
    await rm(outPath, { force: true });
  }
}
