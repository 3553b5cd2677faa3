import { mkdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../duckdb/index.ts';
import { IndelibleError } from '../errors.ts';
import { writeSegments } from '../segment/index.ts';
import type { FromSealer, ToSealer } from './protocol.ts';

/**
 * The process that seals: `node main.ts TEMP_DIR MEMORY_BYTES THREADS`. It takes one job after another over IPC
 * and ends with its parent.
 */

/** Appends and questions come first: sealing takes what they leave of the processors. */
const PRIORITY = 10;

async function main(): Promise<void> {
  const [tempDir = '', memoryBytes = '', threads = ''] = process.argv.slice(2);
  try {
    setPriority(PRIORITY);
  } catch {
    // Where a system does not let it, sealing works at the priority it has.
  }
  const spillDir = join(tempDir, 'duckdb');
  mkdirSync(spillDir, { recursive: true });
  const engine = await Engine.open({
    path: ':memory:',
    tempDir: spillDir,
    memoryLimitBytes: Number(memoryBytes),
    threads: Number(threads),
    concurrency: 1,
  });
  const answer = (message: FromSealer) => process.send?.(message);
  process.on('message', (job: ToSealer) => {
    writeSegments(engine, job.wal, job.plans).then(
      (segments) => answer({ segments }),
      (error: unknown) => {
        const kind = error instanceof IndelibleError ? error.kind : 'unavailable';
        answer({ error: { kind, message: (error as Error).message } });
      },
    );
  });
  process.on('disconnect', () => process.exit(0));
}

// The parent decides when this process ends: a signal to the whole group must not cut a seal short.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
await main();
