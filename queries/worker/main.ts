import { rmSync, writeFileSync } from 'node:fs';
import { limitDatabase } from './database.ts';
import { failureOf } from './failure.ts';
import { symlinkAll } from './link-files.ts';
import { Output } from './output.ts';
import { type FromWorker, type Job, type SqlJob, scopeOf, staysAfter, type ToWorker } from './protocol.ts';
import { answerSql } from './sql-job.ts';
import { SqlSession } from './sql-session.ts';

// A worker process: a job over IPC, the answer's bytes to standard output, then the end; or after a query the next one
// of the same scope. Its working directory is its own, and the job's files are links in it: no path of the server is in
// any SQL, catalog or message.

const die = () => {
  rmSync(process.cwd(), { recursive: true, force: true });
  process.kill(process.pid, 'SIGKILL');
};

// The service is gone: so is the reason to go on.
process.on('disconnect', die);

const session = new SqlSession();
let scope: string | undefined;
let last: Promise<void> | undefined;
preferAsVictim();
process.on('message', (message: ToWorker) => {
  const first = last === undefined;
  last = (last ?? Promise.resolve()).then(() => serve(message, first));
});
await session.database;
await tell({ type: 'warm' });

async function serve(message: ToWorker, first: boolean): Promise<void> {
  const { job, links } = message;
  try {
    assertScope(message, first);
    if (job.kind === 'sql') {
      await query(job, message);
      return;
    }
    symlinkAll(links);
    const summary = await perform(job, message);
    await tell({ type: 'done', summary });
  } catch (error) {
    const failure = failureOf(error, process.cwd(), links);
    await tell({ type: 'failed', failure });
    if (staysAfter(job, failure)) return;
  }
  // Not process.exit: it would wait for DuckDB's threads and run its destructors.
  process.kill(process.pid, 'SIGKILL');
}

function assertScope({ job, limits }: ToWorker, first: boolean): void {
  const asked = scopeOf(job, limits);
  if (first) scope = asked;
  else if (asked === undefined || asked !== scope) throw new Error('I5: this process serves another workspace');
}

async function query(job: SqlJob, { links, limits }: ToWorker): Promise<void> {
  const connection = await session.connect(job, links, limits);
  const output = new Output();
  try {
    const { tempBytes } = limits;
    const context = { connection, output, tempBytes, ready: (meta: unknown) => tell({ type: 'ready', meta }) };
    const summary = await answerSql(job, context);
    await tell({ type: 'done', summary, answerBytes: output.sentBytes });
  } finally {
    await session.leave(connection);
  }
}

async function perform(job: Exclude<Job, SqlJob>, { limits }: ToWorker): Promise<unknown> {
  const { connection } = await session.database;
  await limitDatabase(connection, limits, false);
  const { tempBytes } = limits;
  const ready = (meta: unknown) => tell({ type: 'ready', meta });
  const context = { connection, output: new Output(), tempBytes, ready };
  // What is not a query can wait for its code, which idle workers then do not hold.
  if (job.kind === 'convert') return (await import('./convert-job.ts')).convertFile(job, context);
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

/** Where memory runs out before our own limits notice, the kernel takes the worker and not the service. */
function preferAsVictim(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // Not Linux, or not allowed.
  }
}
