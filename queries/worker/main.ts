import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { limitDatabase, openDatabase } from './database.ts';
import { failureOf } from './failure.ts';
import { Output } from './output.ts';
import type { FromWorker, Link, ToWorker } from './protocol.ts';
import { answerSql } from './sql-job.ts';

// A worker process: one job over IPC, the answer's bytes to standard output, then the end. Its working directory is
// its own, and the job's files are links in it: no path of the server is in any SQL, catalog or message.

const die = () => {
  rmSync(process.cwd(), { recursive: true, force: true });
  process.kill(process.pid, 'SIGKILL');
};

// The service is gone: so is the reason to go on.
process.on('disconnect', die);

const connecting = openDatabase();
preferAsVictim();
process.once('message', (message: ToWorker) => serve(message));
await connecting;
await tell({ type: 'warm' });

async function serve(message: ToWorker): Promise<void> {
  try {
    makeLinks(message.links);
    const connection = await connecting;
    const readsTail = message.job.kind === 'sql' && message.job.files.tail.length > 0;
    await limitDatabase(connection, message.limits, readsTail);
    const summary = await perform(connection, message);
    await tell({ type: 'done', summary });
  } catch (error) {
    await tell({ type: 'failed', failure: failureOf(error, process.cwd(), message.links) });
  }
  // Not process.exit: it would wait for DuckDB's threads and run its destructors.
  process.kill(process.pid, 'SIGKILL');
}

async function perform(connection: DuckDBConnection, { job, links, limits }: ToWorker): Promise<unknown> {
  const paths = links.map(({ name }) => name);
  const context = { connection, paths, output: new Output(), ready: (meta: unknown) => tell({ type: 'ready', meta }) };
  if (job.kind === 'sql') return answerSql(job, context);
  // What is not a query can wait for its code, which idle workers then do not hold.
  if (job.kind === 'convert') return (await import('./convert-job.ts')).convertFile(job, context, limits.tempBytes);
  const { withTailInParquet } = await import('./tail.ts');
  if (job.kind === 'export') {
    const { exportEvents } = await import('./export-job.ts');
    return exportEvents(await withTailInParquet(connection, job, limits), context);
  }
  const { verifyEvents } = await import('./verify-job.ts');
  const verification = await verifyEvents(await withTailInParquet(connection, job, limits), context);
  await context.ready(null);
  return verification;
}

/** Resolves when the message has left this process. */
function tell(message: FromWorker): Promise<void> {
  return new Promise((resolve) => process.send?.(message, undefined, undefined, () => resolve()));
}

function makeLinks(links: readonly Link[]): void {
  for (const { name, target } of links) {
    mkdirSync(dirname(name), { recursive: true });
    symlinkSync(target, name);
  }
}

/** Where memory runs out before our own limits notice, the kernel takes the worker and not the service. */
function preferAsVictim(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // Not Linux, or not allowed.
  }
}
