import { mkdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { buildBlocks, openBuilder } from './build.ts';
import type { BuildJob, FromBuildProcess } from './protocol.ts';

/**
 * The process that builds history blocks: `node main.ts SPILL_DIR MEMORY_BYTES`. It takes one job after another over IPC
 * and ends with its parent.
 */

/** Behind appends and questions, like sealing and compaction: each question waits for DuckDB until the blocks are there. */
const PRIORITY = 10;

async function main(): Promise<void> {
  const [spillDir = '', memoryBytes = ''] = process.argv.slice(2);
  try {
    setPriority(PRIORITY);
  } catch {
    // Where a system does not let it, the work is done at the priority it has.
  }
  mkdirSync(spillDir, { recursive: true });
  const connection = await openBuilder(spillDir, Number(memoryBytes));
  const answer = (message: FromBuildProcess) => process.send?.(message);
  process.on('message', (job: BuildJob) => {
    buildBlocks(connection, job).then(
      (bytes) => answer({ bytes }),
      (error: unknown) => answer({ error: (error as Error).message }),
    );
  });
}

// The service is gone: so is the reason to go on.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// The parent decides when this process ends.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
await main();
