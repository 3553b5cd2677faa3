import type { Clock, Engine, Journals, ObjectStore, Random, SegmentCache } from '../../journal/index.ts';

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

export function storageOf(journals: Journals): Storage {
  return { ...journals.storage, engine: journals.engine, tempDir: journals.tempDir };
}
