/**
 * What one thread of DuckDB may need while it reads the write-ahead log: two buffers for the longest line, and the rows
 * it makes of them. Measured with 270 MB of WAL: 2 threads need 300 MiB, 3 need 400, 4 more than 512, 16 more than 700.
 */
const THREAD_BYTES = 160 * 1024 * 1024;

/** Threads that fit the memory: with more of them a seal or a question fails however little it asks. */
export function threadsFor(memoryBytes: number, cores: number): number {
  return Math.max(1, Math.min(cores, Math.floor(memoryBytes / THREAD_BYTES)));
}
