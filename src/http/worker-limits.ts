import { availableParallelism } from 'node:os';
import type { WorkerLimits } from '../../queries/index.ts';
import type { Services } from './services.ts';

const TEMP_BYTES = 16 * 1024 * 1024 * 1024;

/** `timeMs` until the first byte of an answer, `stallMs` for a reader that takes nothing. */
export function workerLimits(services: Services, timeMs: number, stallMs: number): WorkerLimits {
  const memoryBytes = services.config.queryMemoryBytes;
  return { timeMs, stallMs, memoryBytes, tempBytes: TEMP_BYTES, threads: availableParallelism() };
}
