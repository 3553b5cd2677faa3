import { availableParallelism } from 'node:os';
import type { WorkerLimits } from '../../queries/index.ts';
import { threadsFor } from '../threads.ts';
import type { Services } from './services.ts';

const TEMP_BYTES = 16 * 1024 * 1024 * 1024;

/** Jobs that stream need little, and more buys no speed. */
const STREAM_MEMORY_BYTES = 128 * 1024 * 1024;

/** For an export, a verification, or a file that is converted: these stream whatever their size. */
export function streamLimits(services: Services, timeMs: number, stallMs: number): WorkerLimits {
  const limits = workerLimits(services, timeMs, stallMs);
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
