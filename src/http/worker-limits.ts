import { availableParallelism } from 'node:os';
import type { Snapshot } from '../../journal/index.ts';
import type { WorkerLimits } from '../../queries/index.ts';
import { threadsFor } from '../threads.ts';
import type { Services } from './services.ts';

const TEMP_BYTES = 16 * 1024 * 1024 * 1024;

/** Jobs that stream need little, and more buys no speed. */
const STREAM_MEMORY_BYTES = 160 * 1024 * 1024;

/** Of a file whose events are wider than this even when compressed, DuckDB unpacks a large page at a time. */
const WIDE_EVENT_BYTES = 1024;
/** The same of lines of the write-ahead log, which are not compressed. */
const WIDE_LINE_BYTES = 8 * 1024;

/** For an export or a verification: these stream whatever the size of the journal, but not whatever that of an event. */
export function streamLimits(services: Services, snapshot: Snapshot, timeMs: number, stallMs: number): WorkerLimits {
  const limits = workerLimits(services, timeMs, stallMs);
  const isWide = snapshot.files.some(({ sizeBytes, rows }) => sizeBytes > rows * WIDE_EVENT_BYTES);
  // Of all journals together: which of them holds the wide ones is not known.
  const { walBytes, lagEvents } = services.journals;
  if (isWide || walBytes > lagEvents * WIDE_LINE_BYTES) return limits;
  return { ...limits, memoryBytes: Math.min(limits.memoryBytes, STREAM_MEMORY_BYTES) };
}

/** `timeMs` until the first byte of an answer, `stallMs` for a reader that takes nothing. */
export function workerLimits(services: Services, timeMs: number, stallMs: number): WorkerLimits {
  const memoryBytes = services.config.queryMemoryBytes;
  return {
    timeMs,
    stallMs,
    memoryBytes,
    tempBytes: TEMP_BYTES,
    threads: threadsFor(memoryBytes, availableParallelism()),
  };
}
