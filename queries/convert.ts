import type { ConvertFormat, WorkerLimits, WorkerPool, WorkerRun } from './worker/index.ts';

export type ConvertRequest = {
  /** A file on this machine, of unknown content. */
  path: string;
  format: ConvertFormat;
  /** For csv: unpacked on disk first, up to `limits.tempBytes`, and checked whole before the first row. */
  gzip?: boolean;
  limits: WorkerLimits;
  signal?: AbortSignal;
};

/**
 * Rows of a CSV or Parquet file as NDJSON objects. CSV: RFC 4180 with a header, every cell a string; an empty cell is
 * null, a quoted empty one "". Parquet: numbers as exact as they stand (long integers and decimals are JSON numbers,
 * so parse them without loss), timestamps RFC 3339 in UTC with microseconds, BLOBs hex.
 * @throws IndelibleError invalid where the file is broken, before the first byte or as the error of the body;
 * timeout, too-large, busy
 */
export async function runConvert(pool: WorkerPool, request: ConvertRequest): Promise<WorkerRun<'convert'>> {
  const { path, format, gzip = false, limits, signal } = request;
  const name = `input.${format}`;
  return pool.run<'convert'>(
    { kind: 'convert', path: name, format, gzip },
    { limits, links: [{ name, target: path }], signal },
  );
}
