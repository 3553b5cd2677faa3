import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { GENESIS, type IndelibleError, type SnapshotFiles } from '../../../journal/index.ts';
import { runSql, type SqlRequest } from '../../../queries/sql.ts';
import { WorkerPool, type WorkerPoolOptions } from '../../../queries/worker/index.ts';
import { PROCESS_BYTES, type SqlJob } from '../../../queries/worker/protocol.ts';
import { isAlive, LIMITS, textOf, until, useHarness } from './harness.ts';
import { makeJournal } from './journal-data.ts';

const harness = useHarness();
const MAIN = join(import.meta.dirname, '../../../queries/worker/main.ts');
const ENDLESS = 'SELECT count(*) FROM range(1000000000000) a, range(1000000000000) b';
const SMALL = { ...LIMITS, memoryBytes: 64 * 1024 * 1024 };
/** Needs more than SMALL, and spills. */
const DISTINCT = "SELECT count(*) AS n FROM (SELECT DISTINCT repeat('x', 100) || range AS t FROM range(1000000))";
const EMPTY: SnapshotFiles = {
  workspace: 'acme',
  start: GENESIS,
  committedSeq: -1,
  durableSeq: -1,
  segments: [],
  tail: [],
};
let whole: SnapshotFiles;

beforeAll(async () => {
  whole = await makeJournal(harness.connection, join(harness.dir, 'whole'), { events: 400, tail: 100, segments: 3 });
});

type Question = Partial<SqlRequest> & { files?: SnapshotFiles };
type Asker = { pool: WorkerPool; ask(sql: string, more?: Question): Promise<string>; dirs(): string[] };
let pools = 0;

/** A pool with one place: its oldest process is the one that serves, or has served. */
async function withPool(options: Partial<WorkerPoolOptions>, work: (asker: Asker) => Promise<void>): Promise<void> {
  pools += 1;
  const tempDir = join(harness.dir, `pool-${pools}`);
  const pool = await WorkerPool.open({ tempDir, concurrency: 1, waitingMax: 8, ...options });
  const ask = async (sql: string, { files = EMPTY, ...more }: Question = {}) =>
    textOf(await runSql(pool, files, { sql, format: 'ndjson', rowsMax: 1_000_000, limits: LIMITS, ...more }));
  const dirs = () => readdirSync(tempDir).filter((name) => name.startsWith('worker-'));
  try {
    await work({ pool, ask, dirs });
  } finally {
    await pool.close();
  }
  expect(pool.processes).toBe(0);
  expect(dirs()).toEqual([]);
}

const failure = (promise: Promise<unknown>): Promise<IndelibleError> =>
  promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: IndelibleError) => error,
  );

describe('a worker that has answered a query', () => {
  it('answers the next of its workspace, also after a text that was wrong', async () => {
    await withPool({}, async ({ pool, ask }) => {
      expect(await ask('SELECT 1 AS n')).toBe('{"n":1}\n');
      const [pid] = pool.pids;
      for (const sql of ['SELEC', 'SELECT nosuch', "SELECT 'x'::INTEGER", 'SELECT 1; SELECT 2', 'DROP VIEW journal'])
        expect((await failure(ask(sql))).kind).toBe('invalid');
      expect((await failure(ask('SELECT ?'))).errors[0]?.pointer).toBe('/params');
      expect(await ask('SELECT count(*) AS n FROM journal')).toBe('{"n":0}\n');
      expect(pool.pids[0]).toBe(pid);
    });
  });

  it('gives every answer its own bytes, whatever came before', async () => {
    const question = fc.record({
      rows: fc.integer({ min: 0, max: 3000 }),
      width: fc.integer({ min: 0, max: 300 }),
      wrong: fc.boolean(),
    });
    await withPool({ jobsPerWorkerMax: 1000 }, async ({ pool, ask }) => {
      await ask('SELECT 1');
      const [pid] = pool.pids;
      await fc.assert(
        fc.asyncProperty(fc.array(question, { maxLength: 5 }), async (questions) => {
          for (const { rows, width, wrong } of questions) {
            if (wrong) await failure(ask('SELECT nosuch'));
            const line = `{"x":"${'x'.repeat(width)}"}\n`;
            expect(await ask(`SELECT repeat('x', ${width}) AS x FROM range(${rows})`)).toBe(line.repeat(rows));
          }
        }),
        { numRuns: 30 },
      );
      expect(pool.pids[0]).toBe(pid);
    });
  });

  it('keeps its place until the last byte is read', async () => {
    await withPool({}, async ({ pool, ask }) => {
      await ask('SELECT 1');
      const [pid] = pool.pids;
      // More than is read ahead, little enough for the worker to be done with it before anybody reads.
      const line = `{"x":"${'x'.repeat(100)}"}\n`;
      const rows = 2_800;
      const sql = `SELECT repeat('x', 100) AS x FROM range(${rows})`;
      const run = await runSql(pool, EMPTY, { sql, format: 'ndjson', rowsMax: rows, limits: LIMITS });
      const written = () => Number(/^wchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1]);
      await until(() => written() > rows * line.length);
      const next = ask('SELECT 2 AS n');
      expect(await textOf(run)).toBe(line.repeat(rows));
      expect(await next).toBe('{"n":2}\n');
      expect(pool.pids[0]).toBe(pid);
    });
  });

  it.each<[string, string, () => Question, string]>([
    ['its time was up', ENDLESS, () => ({ limits: { ...LIMITS, timeMs: 300 } }), 'timeout'],
    ['it outgrew its memory', "SELECT repeat('x', 2000000000)", () => ({}), 'too-large'],
    [
      'DuckDB ran out of memory and disk',
      DISTINCT,
      () => ({ limits: { ...SMALL, tempBytes: 1024 * 1024 } }),
      'too-large',
    ],
    ['the caller gave up', ENDLESS, () => ({ signal: AbortSignal.timeout(300) }), 'unavailable'],
  ])('is not used again once %s', async (_name, sql, more, kind) => {
    await withPool({}, async ({ pool, ask }) => {
      const asked = more();
      await ask('SELECT 1', { limits: { ...LIMITS, ...asked.limits, timeMs: LIMITS.timeMs } });
      const [pid] = pool.pids as [number];
      expect((await failure(ask(sql, asked))).kind).toBe(kind);
      await until(() => !isAlive(pid));
      expect(await ask('SELECT 2 AS n')).toBe('{"n":2}\n');
    });
  });

  it('is not harmed by who gives up an answer that is complete', async () => {
    await withPool({}, async ({ pool, ask }) => {
      const abort = new AbortController();
      const request = { sql: 'SELECT 1 AS n', format: 'ndjson' as const, rowsMax: 9, limits: LIMITS };
      const run = await runSql(pool, EMPTY, { ...request, signal: abort.signal });
      await run.done;
      const [pid] = pool.pids;
      const next = ask('SELECT 2 AS n');
      abort.abort();
      await run.body.cancel();
      expect(await next).toBe('{"n":2}\n');
      expect(pool.pids[0]).toBe(pid);
    });
  });

  it('ends when nobody asks, when it has served enough, and gives its place to others', async () => {
    await withPool({ idleMs: 50 }, async ({ pool, ask }) => {
      await ask('SELECT 1');
      const [pid] = pool.pids as [number];
      await until(() => !isAlive(pid) && pool.processes === 1);
    });
    await withPool({ jobsPerWorkerMax: 2 }, async ({ pool, ask, dirs }) => {
      await ask('SELECT 1');
      const [pid] = pool.pids as [number];
      await ask('SELECT 2');
      await until(() => !isAlive(pid));
      await until(() => dirs().length === 1 && pool.processes === 1);
    });
  });

  it('is missed by nobody when it dies while it waits', async () => {
    await withPool({}, async ({ pool, ask }) => {
      await ask('SELECT 1');
      const [pid] = pool.pids as [number];
      process.kill(pid, 'SIGKILL');
      await until(() => !pool.pids.includes(pid));
      expect(await ask('SELECT 2 AS n')).toBe('{"n":2}\n');
    });
  });

  it('gives its memory and its disk back, or ends', async () => {
    await withPool({}, async ({ pool, ask }) => {
      const limits = SMALL;
      expect(await ask(DISTINCT, { limits })).toBe('{"n":1000000}\n');
      for (const pid of pool.pids) {
        const status = readFileSync(`/proc/${pid}/status`, 'latin1');
        expect(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024).toBeLessThanOrEqual(PROCESS_BYTES);
        const spill = `/proc/${pid}/cwd/spill`;
        await until(() => !readdirSync(join(spill, '..')).includes('spill') || readdirSync(spill).length === 0);
      }
      expect(await ask('SELECT 1 AS n', { limits })).toBe('{"n":1}\n');
    });
  });
});

describe('two workspaces', () => {
  it('never share a process, nor do two ranks of callers or other limits', async () => {
    await withPool({}, async ({ pool, ask }) => {
      const seen = new Set<number>();
      const more = [
        {},
        { files: { ...EMPTY, workspace: 'rival' } },
        { trust: 'operator' },
        { limits: { ...LIMITS, memoryBytes: LIMITS.memoryBytes / 2 } },
        {},
      ];
      for (const one of more) {
        await ask('SELECT 1', one);
        const [pid] = pool.pids as [number];
        expect(seen.has(pid)).toBe(false);
        seen.add(pid);
        // The place is one: whoever comes next ends who is idle.
        expect(pool.processes).toBeLessThanOrEqual(3);
      }
      await until(() => pool.processes === 2);
    });
  });

  it('are refused by the process itself', async () => {
    const dir = join(harness.dir, 'alone');
    mkdirSync(dir);
    const child = fork(MAIN, [], {
      cwd: dir,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    const told: { type: string; failure?: { kind: string; message: string } }[] = [];
    child.on('message', (message) => told.push(message as (typeof told)[number]));
    const jobOf = (workspace: string): SqlJob => {
      const files = { ...EMPTY, workspace };
      return { kind: 'sql', trust: '', files, views: [], sql: 'SELECT 1', params: [], format: 'json', rowsMax: 1 };
    };
    for (const workspace of ['acme', 'acme', 'rival'])
      child.send({ type: 'job', job: jobOf(workspace), links: [], limits: LIMITS });
    const [, signal] = await once(child, 'exit');
    await until(() => told.some(({ type }) => type === 'failed'));
    expect(signal).toBe('SIGKILL');
    expect(told.filter(({ type }) => type === 'done')).toHaveLength(2);
    expect(told.at(-1)).toMatchObject({ type: 'failed', failure: { kind: 'internal' } });
    expect(told.at(-1)?.failure?.message).toContain('I5');
  });
});

describe('the next query of a worker', () => {
  const COUNT = 'SELECT count(*) AS n, count(DISTINCT seq) AS d, max(seq) AS last FROM journal';
  const answer = (n: number) => `{"n":${n},"d":${n},"last":${n - 1}}\n`;

  it('sees its own snapshot: sealed, grown, shrunk, with files gone', async () => {
    const [a, b, c] = whole.segments;
    const only = (segments: typeof whole.segments, durableSeq: number, tail: string[] = []): SnapshotFiles => {
      const committedSeq = segments.at(-1)?.lastSeq ?? -1;
      return { ...whole, segments, committedSeq, durableSeq, tail };
    };
    if (!a || !b || !c) throw new Error('three segments');
    const moved = { ...b, path: join(harness.dir, 'moved.parquet') };
    copyFileSync(b.path, moved.path);
    await withPool({}, async ({ pool, ask }) => {
      expect(await ask(COUNT, { files: only([a], a.lastSeq) })).toBe(answer(a.rows));
      const [pid] = pool.pids;
      expect(await ask(COUNT, { files: only([a, moved], b.lastSeq) })).toBe(answer(a.rows + b.rows));
      rmSync(moved.path);
      expect(await ask(COUNT, { files: only([a, b], b.lastSeq) })).toBe(answer(a.rows + b.rows));
      for (const durableSeq of [350, 399, 320]) {
        const files = only([a, b, c], durableSeq, whole.tail);
        expect(await ask(COUNT, { files })).toBe(answer(durableSeq + 1));
      }
      expect(await ask(COUNT, { files: only([a, b, c], c.lastSeq) })).toBe(answer(300));
      expect(await ask(COUNT, { files: only([], -1) })).toBe('{"n":0,"d":0,"last":null}\n');
      expect(await ask(COUNT, { files: whole })).toBe(answer(400));
      expect(pool.pids[0]).toBe(pid);
    });
  });

  it('reads another segment of the same place among its files, and a tail written anew under its name', async () => {
    const [a, b] = whole.segments;
    if (!a || !b) throw new Error('two segments');
    const tail = join(harness.dir, 'tail-copy.ndjson');
    const lines = readFileSync(whole.tail[0] as string, 'utf8').split('\n');
    await withPool({}, async ({ ask }) => {
      for (const segment of [a, b, a]) {
        const files = { ...whole, segments: [segment], durableSeq: segment.lastSeq, tail: [] };
        expect(await ask('SELECT min(seq) AS n FROM journal', { files })).toBe(`{"n":${segment.firstSeq}}\n`);
      }
      for (const count of [10, 20, 50]) {
        rmSync(tail, { force: true });
        appendFileSync(`${tail}.new`, `${lines.slice(0, count).join('\n')}\n`);
        renameSync(`${tail}.new`, tail);
        const files = { ...whole, durableSeq: 299 + count, tail: [tail] };
        expect(await ask(COUNT, { files })).toBe(answer(300 + count));
      }
    });
  });

  it('finds nothing of the one before', async () => {
    await withPool({}, async ({ pool, ask }) => {
      const secret = 'correct-horse-battery';
      expect(await ask('SELECT ? AS s, setseed(0.5)', { params: [secret] })).toContain(secret);
      const [pid] = pool.pids;
      const catalog = 'SELECT list(table_name) AS t FROM duckdb_tables()';
      expect(await ask(catalog)).toBe('{"t":["indelible_answer"]}\n');
      await failure(ask('SELECT ?::INTEGER', { params: [secret] }));
      for (const relation of [
        'duckdb_tables()',
        'duckdb_views()',
        'duckdb_columns()',
        'information_schema.tables',
        'pg_catalog.pg_prepared_statements',
        'pg_class',
        'sqlite_master',
        'duckdb_prepared_statements()',
        'duckdb_temporary_files()',
        'duckdb_variables()',
        'duckdb_memory()',
        'duckdb_settings()',
        'duckdb_logs',
        'indelible_answer',
        'temp.indelible_answer',
      ]) {
        const text = await ask(`SELECT * FROM ${relation}`).catch((error: IndelibleError) => error.message);
        expect([relation, text.includes(secret)]).toEqual([relation, false]);
      }
      for (const sql of [
        "SELECT current_setting('temp_directory')",
        "SELECT getvariable('s')",
        'EXECUTE s',
        'PRAGMA last_profiling_output',
      ])
        expect((await failure(ask(sql))).kind).toBe('invalid');
      expect(await ask(catalog)).toBe('{"t":["indelible_answer"]}\n');
      expect(await ask('SELECT random() AS r')).not.toBe(await ask('SELECT random() AS r'));
      expect(pool.pids[0]).toBe(pid);
    });
  });
});
