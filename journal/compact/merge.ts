import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type SegmentCache, withHeld } from '../cache/index.ts';
import { assert, IndelibleError } from '../errors.ts';
import type { Clock, ObjectStore, Random } from '../ports.ts';
import { type Digest, type KeyRange, sameDigest, type WrittenPart } from '../segment/index.ts';
import type { SegmentJobs } from '../segment-process/index.ts';
import { type Add, type DeltaTable, type TableFile, uploadSegment } from '../table/index.ts';
import { uuidV4 } from '../uuid.ts';
import { keyRanges, mayOverlap, partCount, RUN_TAG } from './plan.ts';

export type MergeOptions = {
  store: ObjectStore;
  cache: SegmentCache;
  clock: Clock;
  random: Random;
  jobs: SegmentJobs;
  tempDir: string;
  partRows: number;
  /** Asked between the steps: whether to give up. */
  isStopping(): boolean;
};

/** `overtaken`: another process rewrote one of the files; `stopped`: asked to. Then nothing was changed. */
export type MergeOutcome =
  | { outcome: 'merged'; files: number; bytes: number }
  | { outcome: 'overtaken' }
  | { outcome: 'stopped' };

/** Keys sampled for each part: its size is then off by about 6 %. */
const SAMPLES_A_PART = 256;

/**
 * Makes one run of the inputs: reads them by key ranges, writes and uploads a sorted part for each, proves that the
 * parts hold the same events, and commits. Memory holds one part.
 * @throws corrupt where the parts are not the inputs, or an input is not what the log says: nothing is committed.
 * Where the store fails at the commit its outcome is unknown: the table's next refresh tells.
 */
export async function mergeRuns(
  options: MergeOptions,
  table: DeltaTable,
  inputs: readonly TableFile[],
): Promise<MergeOutcome> {
  const { store } = options;
  const parts: Add[] = [];
  // While a part is on its way to the store the next one is written.
  let uploading: Promise<Add | undefined> = Promise.resolve(undefined);
  const uploaded = async () => {
    const add = await uploading;
    uploading = Promise.resolve(undefined);
    if (add) parts.push(add);
  };
  const discard = async () => {
    await uploaded().catch(() => {});
    for (const { path } of parts) await store.delete(table.key(path)).catch(() => {});
  };
  try {
    const { digest, ranges } = await survey(options, table, inputs);
    let written: Digest = { rows: 0, sum: 0n, xor: 0n };
    const runId = uuidV4(options.random);
    for (const range of ranges) {
      if (options.isStopping()) {
        await discard();
        return { outcome: 'stopped' };
      }
      const part = await writeOne(options, table, inputs, range);
      written = added(written, part.digest);
      await uploaded();
      uploading = uploadOne(options, table, part, runId);
      // Told when it is waited for.
      uploading.catch(() => {});
    }
    await uploaded();
    if (!sameDigest(written, digest)) {
      throw new IndelibleError(
        'corrupt',
        `${table.key('')} compaction gave other events than it read: nothing was changed`,
      );
    }
  } catch (error) {
    await discard();
    throw error;
  }
  const [first, ...rest] = parts;
  assert(first, 'files that are merged hold events');
  // From here on the parts may be part of the journal: whatever happens, they stay until the cleanup looks at them.
  const outcome = await table.optimize(
    inputs.map(({ add }) => add),
    [first, ...rest],
  );
  // Not discarded: our commit may have come and gone, and somebody may still read the parts.
  if (outcome === 'overtaken') return { outcome };
  return { outcome: 'merged', files: parts.length, bytes: parts.reduce((sum, { size }) => sum + size, 0) };
}

async function survey(
  { cache, jobs, partRows }: MergeOptions,
  table: DeltaTable,
  inputs: readonly TableFile[],
): Promise<{ digest: Digest; ranges: KeyRange[] }> {
  const rows = inputs.reduce((sum, { bounds }) => sum + bounds.rows, 0);
  const bytes = inputs.reduce((sum, { add }) => sum + add.size, 0);
  const parts = Math.min(rows, partCount(rows, bytes, partRows));
  // Of a small run every key is looked at.
  const sampleStep = Math.max(1, Math.floor(Math.min(partRows, rows / parts) / SAMPLES_A_PART));
  let digest: Digest = { rows: 0, sum: 0n, xor: 0n };
  const sample = [];
  for (const input of inputs) {
    const found = await withHeld(cache, [table.holdable(input)], (paths) => jobs.survey({ paths, sampleStep }));
    if (found.digest.rows !== input.bounds.rows) {
      const message = `${input.add.path} holds ${found.digest.rows} events, the table log says ${input.bounds.rows}`;
      throw new IndelibleError('corrupt', message);
    }
    digest = added(digest, found.digest);
    for (const key of found.sample) sample.push(key);
  }
  return { digest, ranges: keyRanges(sample, parts) };
}

type LocalPart = WrittenPart & { localPath: string };

async function writeOne(
  { cache, jobs, random, tempDir }: MergeOptions,
  table: DeltaTable,
  inputs: readonly TableFile[],
  range: KeyRange,
): Promise<LocalPart> {
  const files = inputs.filter((input) => mayOverlap(input, range)).map((input) => table.holdable(input));
  const localPath = join(tempDir, `${uuidV4(random)}.parquet`);
  await mkdir(tempDir, { recursive: true });
  try {
    return {
      ...(await withHeld(cache, files, (paths) => jobs.writePart({ paths, range, outPath: localPath }))),
      localPath,
    };
  } catch (error) {
    await rm(localPath, { force: true });
    throw error;
  }
}

/** undefined: nothing lies in the part's range. */
async function uploadOne(
  options: MergeOptions,
  table: DeltaTable,
  part: LocalPart,
  runId: string,
): Promise<Add | undefined> {
  try {
    if (part.rows === 0) return undefined;
    const add = await uploadSegment(options, table, part);
    return { ...add, dataChange: false, tags: { [RUN_TAG]: runId } };
  } finally {
    await rm(part.localPath, { force: true });
  }
}

/** Of disjoint sets of events. */
function added(a: Digest, b: Digest): Digest {
  return { rows: a.rows + b.rows, sum: a.sum + b.sum, xor: a.xor ^ b.xor };
}
