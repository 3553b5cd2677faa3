import { mkdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../duckdb/index.ts';
import { IndelibleError } from '../errors.ts';
import { inThisProcess, type SegmentJobs } from './jobs.ts';
import type { FromSegmentProcess, ToSegmentProcess } from './protocol.ts';

/**
 * The process that writes segments: `node main.ts TEMP_DIR MEMORY_BYTES THREADS`. It takes one job after another over
 * IPC and ends with its parent.
 */

/** Appends and questions come first: sealing and compaction take what they leave of the processors. */
const PRIORITY = 10;

async function main(): Promise<void> {
  const [tempDir = '', memoryBytes = '', threads = ''] = process.argv.slice(2);
  try {
    setPriority(PRIORITY);
  } catch {
    // Where a system does not let it, the work is done at the priority it has.
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
  const jobs = inThisProcess(engine);
  const answer = (message: FromSegmentProcess) => process.send?.(message);
  process.on('message', (message: ToSegmentProcess) => {
    run(jobs, message).then(
      (result) => answer({ result }),
      (error: unknown) => {
        const kind = error instanceof IndelibleError ? error.kind : 'unavailable';
        answer({ error: { kind, message: (error as Error).message } });
      },
    );
  });
  process.on('disconnect', () => process.exit(0));
}

function run(jobs: SegmentJobs, message: ToSegmentProcess): Promise<unknown> {
  switch (message.job) {
    case 'seal':
      return jobs.seal(...message.args);
    case 'survey':
      return jobs.survey(...message.args);
    case 'writePart':
      return jobs.writePart(...message.args);
  }
}

// The parent decides when this process ends: a signal to the whole group must not cut a seal short.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
await main();
