import type { Clock, Engine, Journals, ObjectStore, Random, ReadOnlyStore, SegmentCache } from '../../journal/index.ts';

/** What tables of projections are read and written with. */
export type Storage = {
  store: ObjectStore;
  cache: SegmentCache;
  clock: Clock;
  random: Random;
  engine: Engine;
  /** For files that may be lost. */
  tempDir: string;
};

/** Of journals that are written, or of a store that is only read. */
export function storageOf({ storage, engine, tempDir }: Journals | ReadOnlyStore): Storage {
  return { ...storage, engine, tempDir };
}
