import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { GENESIS, type IndelibleError, type SnapshotFiles } from '../../../journal/index.ts';
import { runSql } from '../../../queries/sql.ts';
import { WorkerPool } from '../../../queries/worker/index.ts';
import { isAlive, LIMITS, textOf, until, useHarness } from './harness.ts';

const EMPTY: SnapshotFiles = {
  workspace: 'acme',
  start: GENESIS,
  committedSeq: -1,
  durableSeq: -1,
  segments: [],
  tail: [],
};
/** Runs far beyond every limit of these tests. */
const ENDLESS = 'SELECT count(*) FROM range(1000000000000) a, range(1000000000000) b';
/** An answer of 60 MB. */
const LARGE = "SELECT range, repeat('x', 1000) AS text FROM range(60000)";

const harness = useHarness();

const ask = (sql: string, more: { signal?: AbortSignal; limits?: Partial<typeof LIMITS>; pool?: WorkerPool } = {}) =>
  runSql(more.pool ?? harness.pool, EMPTY, {
    sql,
    format: 'ndjson',
    rowsMax: 1_000_000,
    limits: { ...LIMITS, ...more.limits },
    ...(more.signal ? { signal: more.signal } : {}),
  });

const failure = async (promise: Promise<unknown>): Promise<IndelibleError> =>
  promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: IndelibleError) => error,
  );

describe('a worker', () => {
  it('leaves nothing behind', async () => {
    const tempDir = join(harness.dir, 'once');
    const own = await WorkerPool.open({ tempDir, concurrency: 1, waitingMax: 0, jobsPerWorkerMax: 1 });
    const first = await ask('SELECT 42 AS answer', { pool: own });
    const { pids } = own;
    expect(await textOf(first)).toBe('{"answer":42}\n');
    expect(await first.done).toEqual({ rows: 1 });
    await until(() => pids.every((pid) => !isAlive(pid)));
    await until(() => readdirSync(tempDir).filter((name) => name.startsWith('worker-')).length === 1);
    await own.close();
  });

  it('is killed at its time limit, and says so', async () => {
    const error = await failure(ask(ENDLESS, { limits: { timeMs: 700 } }));
    expect(error.kind).toBe('timeout');
    await until(() => harness.pool.processes <= 1);
  });

  it('is killed when it outgrows its memory, even inside one value', async () => {
    const error = await failure(ask("SELECT repeat('x', 2000000000) AS text"));
    expect(error.kind).toBe('too-large');
    expect(error.message).toContain('192 MiB');
  });

  it('is killed when the caller gives up, before the answer and in the middle of it', async () => {
    const early = new AbortController();
    const waiting = failure(ask(ENDLESS, { signal: early.signal }));
    setTimeout(() => early.abort(), 300);
    expect((await waiting).kind).toBe('unavailable');

    const late = new AbortController();
    const run = await ask(LARGE, { signal: late.signal });
    const reader = run.body.getReader();
    expect((await reader.read()).done).toBe(false);
    late.abort();
    expect((await failure(reader.closed)).kind).toBe('unavailable');
    expect((await failure(run.done)).kind).toBe('unavailable');
    const cancelled = await ask(LARGE);
    await cancelled.body.cancel();
    await until(() => harness.pool.processes <= 1);
  });

  it('makes the body fail when it dies with the answer half sent', async () => {
    const before = new Set(harness.pool.pids);
    const run = await ask(LARGE);
    const pid = harness.pool.pids.find((candidate) => before.has(candidate)) as number;
    process.kill(pid, 'SIGKILL');
    const error = await failure(textOf(run));
    expect(error.kind).toBe('unavailable');
    expect(error.message).toMatch(/ended before its answer was complete/);
  });

  it('waits for a slow reader without a growing pile, and is killed when nobody reads', async () => {
    const run = await ask(LARGE, { limits: { stallMs: 500 } });
    const before = process.memoryUsage().rss;
    const error = await failure(run.done);
    expect(error.kind).toBe('timeout');
    expect(error.message).toContain('nobody read');
    // The answer has 60 MB; the pipe and a few reads of it are all that may be held.
    expect(process.memoryUsage().rss - before).toBeLessThan(30 * 1024 * 1024);
  });

  it('has nothing of the service in its environment', async () => {
    process.env.INDELIBLE_OPERATOR_KEY = 'secret-for-a-test';
    const own = await WorkerPool.open({ tempDir: join(harness.dir, 'environment'), concurrency: 1, waitingMax: 0 });
    try {
      await textOf(await ask('SELECT 1', { pool: own }));
      await until(() => own.pids.length > 0);
      const { readFileSync } = await import('node:fs');
      const names = readFileSync(`/proc/${own.pids[0]}/environ`, 'utf8')
        .split('\0')
        .map((entry) => entry.split('=')[0]);
      expect(names).toContain('TZ');
      expect(names.filter((name) => /INDELIBLE|AWS|GEMINI|KEY|TOKEN|SECRET/.test(name ?? ''))).toEqual([]);
    } finally {
      delete process.env.INDELIBLE_OPERATOR_KEY;
      await own.close();
    }
  });
});

describe('the pool', () => {
  it('lets some wait, refuses the rest, and gives places on', async () => {
    const own = await WorkerPool.open({ tempDir: join(harness.dir, 'busy'), concurrency: 1, waitingMax: 1 });
    const first = new AbortController();
    const running = failure(ask(ENDLESS, { pool: own, signal: first.signal }));
    const second = ask('SELECT 2 AS n', { pool: own });
    const refused = await failure(ask('SELECT 3', { pool: own }));
    expect(refused.kind).toBe('busy');
    expect(refused.retryAfterS).toBeGreaterThan(0);
    first.abort();
    expect((await running).kind).toBe('unavailable');
    expect(await textOf(await second)).toBe('{"n":2}\n');
    await own.close();
  });

  it('does not start what was given up while it waited', async () => {
    const own = await WorkerPool.open({ tempDir: join(harness.dir, 'given-up'), concurrency: 1, waitingMax: 2 });
    const first = new AbortController();
    const running = failure(ask(ENDLESS, { pool: own, signal: first.signal }));
    const second = new AbortController();
    const waiting = failure(ask('SELECT 2', { pool: own, signal: second.signal }));
    second.abort();
    expect((await waiting).kind).toBe('unavailable');
    const third = ask('SELECT 3 AS n', { pool: own });
    first.abort();
    await running;
    expect(await textOf(await third)).toBe('{"n":3}\n');
    await own.close();
  });

  it('ends everything when it closes', async () => {
    const tempDir = join(harness.dir, 'closing');
    const own = await WorkerPool.open({ tempDir, concurrency: 1, waitingMax: 1 });
    const run = await ask(LARGE, { pool: own });
    const waiting = failure(ask('SELECT 1', { pool: own }));
    const reading = failure(textOf(run));
    const { pids } = own;
    await own.close();
    expect((await waiting).kind).toBe('unavailable');
    expect((await reading).kind).toBe('unavailable');
    expect(pids.filter(isAlive)).toEqual([]);
    expect(readdirSync(tempDir).filter((name) => name.startsWith('worker-'))).toEqual([]);
    expect((await failure(ask('SELECT 1', { pool: own }))).kind).toBe('unavailable');
  });

  it('takes its workers along when its process is killed, and its successor cleans up', async () => {
    const tempDir = join(harness.dir, 'orphans');
    mkdirSync(tempDir);
    const script = join(harness.dir, 'owner.mts');
    const module = pathToFileURL(join(import.meta.dirname, '../../../queries/worker/index.ts')).href;
    writeFileSync(
      script,
      `import { WorkerPool } from ${JSON.stringify(module)};
       const pool = await WorkerPool.open({ tempDir: ${JSON.stringify(tempDir)}, concurrency: 1, waitingMax: 1 });
       const timer = setInterval(() => { if (pool.pids.length > 0) { console.log(pool.pids[0]); clearInterval(timer); setInterval(() => {}, 1000); } }, 20);`,
    );
    const owner = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(owner.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    expect(isAlive(pid)).toBe(true);
    owner.kill('SIGKILL');
    await until(() => !isAlive(pid));
    mkdirSync(join(tempDir, `worker-${owner.pid}-left`), { recursive: true });
    const successor = await WorkerPool.open({ tempDir, concurrency: 1, waitingMax: 1 });
    expect(readdirSync(tempDir).filter((name) => name.startsWith(`worker-${owner.pid}-`))).toEqual([]);
    await successor.close();
  });
});
