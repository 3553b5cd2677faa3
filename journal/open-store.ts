import { join } from 'node:path';
import { SegmentCache } from './cache/index.ts';
import { Engine } from './duckdb/index.ts';
import { IndelibleError } from './errors.ts';
import { SYSTEM_WORKSPACE } from './event.ts';
import { listWorkspaces } from './journal-set.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { segmentFiles } from './read-committed.ts';
import type { Snapshot } from './snapshot.ts';
import { JournalSnapshot } from './snapshot-view.ts';
import { DeltaTable } from './table/index.ts';
import { Tail } from './tail.ts';
import { TailFiles } from './tail-files.ts';

/** A store opened to be read: no lock, no write-ahead log, only what is committed. */
export type ReadOnlyStore = {
  readonly engine: Engine;
  /** For what is derived from the journals and kept beside them. */
  readonly storage: { store: ObjectStore; cache: SegmentCache; clock: Clock; random: Random };
  readonly tempDir: string;
  /** Ascending, without the service's own. */
  workspaces(): Promise<string[]>;
  /** @throws not-found. */
  snapshot(workspace: string): Promise<Snapshot>;
  close(): void;
};

/** Workspaces that have a table in the store, ascending, without the service's own. */
export async function storedWorkspaces(store: ObjectStore): Promise<string[]> {
  return (await listWorkspaces(store)).filter((workspace) => workspace !== SYSTEM_WORKSPACE);
}

export async function openStore(options: {
  store: ObjectStore;
  clock: Clock;
  random: Random;
  tempDir: string;
  engineMemoryBytes: number;
  engineThreads: number;
  cacheBytesMax: number;
}): Promise<ReadOnlyStore> {
  const { store, clock, random, tempDir } = options;
  const cache = await SegmentCache.open({
    store,
    dir: join(options.tempDir, 'cache'),
    bytesMax: options.cacheBytesMax,
  });
  const engine = await Engine.open({
    path: ':memory:',
    tempDir,
    memoryLimitBytes: options.engineMemoryBytes,
    threads: options.engineThreads,
    concurrency: 2,
  });
  return {
    engine,
    storage: { store, cache, clock, random },
    tempDir,
    workspaces: () => storedWorkspaces(store),
    async snapshot(workspace) {
      const table = await DeltaTable.open({ store, workspace, clock, random, engine, tempDir });
      if (!table) throw new IndelibleError('not-found', `there is no workspace '${workspace}' in ${store.url}`);
      return new JournalSnapshot({
        workspace,
        start: table.start,
        committedSeq: table.lastSeq,
        durableSeq: table.lastSeq,
        files: segmentFiles(table),
        tail: new Tail(table.lastSeq + 1).view(table.lastSeq + 1, table.lastSeq),
        tailFiles: new TailFiles(options.tempDir, workspace),
        cache,
        onReleased: () => {},
      });
    },
    close: () => engine.close(),
  };
}
