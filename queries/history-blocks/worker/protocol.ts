import type { Source } from '../format.ts';

/** One segment to make history blocks of. */
export type BuildJob = {
  /** The segment, a local path. */
  segmentPath: string;
  /** A file that does not exist. */
  outPath: string;
  source: Source;
};

/** Bytes of the new file. */
export type FromBuildProcess = { bytes: number } | { error: string };
