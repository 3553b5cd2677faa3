import type { Engine } from '../duckdb/index.ts';
import type { Clock, ObjectStore, Random } from '../ports.ts';
import type { TableLayout } from './layout.ts';

export type TableOptions = {
  store: ObjectStore;
  workspace: string;
  /** Default: the journal itself. */
  layout?: TableLayout;
  clock: Clock;
  random: Random;
  /** Reads and writes checkpoints. */
  engine: Engine;
  /** For files that may be lost. */
  tempDir: string;
  /** Of this writer, where writers of one journal follow one another: see `DeltaTable.takeOver`. Default: no table is fenced. */
  token?: number | undefined;
};
