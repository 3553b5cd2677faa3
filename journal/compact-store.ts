import { join } from 'node:path';
import { SegmentCache } from './cache/index.ts';
import { type CompactionObserver, type CompactionReport, Compactor } from './compact/index.ts';
import { Engine } from './duckdb/index.ts';
import { IndelibleError } from './errors.ts';
import { COMPACTION_DEFAULTS } from './journal-compaction.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { SegmentProcess } from './segment-process/index.ts';
import { DeltaTable } from './table/index.ts';

/**
 * Compacts a journal of a store, with or without a service that writes to it: the table log decides between the two,
 * and the service reads on in the files it knows for as long as the grace period.
 * @throws not-found; unavailable where the store fails or the signal is aborted; corrupt, fenced
 */
export async function compactStore(options: {
  store: ObjectStore;
  workspace: string;
  clock: Clock;
  random: Random;
  tempDir: string;
  memoryLimitBytes: number;
  threads: number;
  cacheBytesMax: number;
  /** As CompactionSettings. */
  graceMs: number;
  observer: CompactionObserver;
  signal: AbortSignal;
}): Promise<CompactionReport> {
  const { store, workspace, clock, random, tempDir, memoryLimitBytes, threads, signal } = options;
  const cache = await SegmentCache.open({ store, dir: join(tempDir, 'cache'), bytesMax: options.cacheBytesMax });
  const jobs = new SegmentProcess({ tempDir: join(tempDir, 'process'), memoryLimitBytes, threads });
  const engine = await Engine.open({ path: ':memory:', tempDir, memoryLimitBytes, threads, concurrency: 1 });
  const compactor = new Compactor({
    ...{ store, cache, clock, random, jobs, observer: options.observer },
    partRows: COMPACTION_DEFAULTS.partRows,
    graceMs: options.graceMs,
    tempDir: join(tempDir, 'compact'),
  });
  const stop = () => {
    void compactor.close();
    jobs.close();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    const table = await DeltaTable.open({ store, workspace, clock, random, engine, tempDir });
    if (!table) throw new IndelibleError('not-found', `there is no workspace '${workspace}' in ${store.url}`);
    return await compactor.compact({ workspace, table, publish: () => {}, inUse: () => false });
  } finally {
    signal.removeEventListener('abort', stop);
    jobs.close();
    engine.close();
  }
}
