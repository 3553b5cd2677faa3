import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryStore, type Journals, openStore, snapshotFiles } from '../../journal/index.ts';
import { type ProjectionRunner, projectionViews, storedViews } from '../../projections/index.ts';
import { runSql, WorkerPool } from '../../queries/index.ts';
import { LIMITS, textOf } from '../queries/worker/harness.ts';
import { COMMITTED, DURABLE, drafts, Lab } from '../support/journal-lab.ts';
import { manualRunner, verdictEvent } from './projection-lab.ts';

let lab: Lab;
let journals: Journals;
let runner: ProjectionRunner;
let pool: WorkerPool;
beforeEach(async () => {
  lab = new Lab();
  journals = await lab.open();
  runner = manualRunner(journals);
  const tempDir = join(lab.dir, 'workers');
  mkdirSync(tempDir);
  pool = await WorkerPool.open({ tempDir, concurrency: 1, waitingMax: 8 });
});
afterEach(async () => {
  await pool.close();
  await runner.close();
  await lab.dispose();
});

/** As the service answers POST /journal/query. */
async function answerOf(sql: string): Promise<{ columns: unknown[]; rows: unknown[][] }> {
  const { views, release } = await projectionViews(runner, 'acme', sql);
  const snapshot = await journals.snapshot('acme');
  try {
    const request = { sql, format: 'json' as const, rowsMax: 1000, limits: LIMITS, views };
    const answer = await runSql(pool, await snapshotFiles(snapshot), request);
    return JSON.parse(await textOf(answer));
  } finally {
    snapshot.release();
    release();
  }
}

const ask = async (sql: string) => (await answerOf(sql)).rows;

const SOURCES = 'SELECT source_id, seq FROM compliance_events ORDER BY seq';
const EVENTS = 'SELECT (SELECT sum(events)::BIGINT FROM activity_daily), (SELECT count(*) FROM journal)';

describe('the views of a query', () => {
  it('are as fresh as the last durable event, whatever the tables hold, with one row a source', async () => {
    await journals.append('acme', [verdictEvent('a'), ...drafts('x', 3)], DURABLE);
    expect(await ask(SOURCES)).toEqual([['a', 0]]);
    expect(await ask(EVENTS)).toEqual([[4, 4]]);
    await journals.flush();
    expect(await ask(SOURCES)).toEqual([['a', 0]]);
    await runner.catchUp('acme');
    await runner.catchUp('acme');
    await journals.append(
      'acme',
      [verdictEvent('a', {}, 'stray'), verdictEvent('b'), verdictEvent('b', {}, 'stray b')],
      COMMITTED,
    );
    await journals.append(
      'acme',
      [verdictEvent('b', {}, 'stray b2'), verdictEvent('unknown'), verdictEvent('c')],
      DURABLE,
    );
    const rows = [
      ['a', 0],
      ['b', 5],
      ['unknown', 8],
      ['c', 9],
    ];
    expect(await ask(SOURCES)).toEqual(rows);
    expect(await ask(EVENTS)).toEqual([[10, 10]]);
    await runner.catchUp('acme');
    expect(await ask(SOURCES)).toEqual(rows);
    expect(await ask(EVENTS)).toEqual([[10, 10]]);
  });

  it('show the columns that are promised, and can be joined with the journal', async () => {
    await journals.append('acme', [verdictEvent('a', { risk_level: 'high' })], COMMITTED);
    await runner.catchUp('acme');
    const { columns } = await answerOf('SELECT * FROM compliance_events LIMIT 0');
    expect(columns.slice(0, 13)).toEqual([
      ...['id', 'source_id', 'domain', 'status'].map((name) => ({ name, type: 'VARCHAR' })),
      ...['metric_value', 'anomaly_score'].map((name) => ({ name, type: 'DOUBLE' })),
      { name: 'routed_to_ai', type: 'BOOLEAN' },
      ...['risk_level', 'driver_used', 'audit_narrative'].map((name) => ({ name, type: 'VARCHAR' })),
      ...['emitted_at', 'created_at'].map((name) => ({ name, type: 'TIMESTAMP WITH TIME ZONE' })),
      { name: 'seq', type: 'BIGINT' },
    ]);
    expect(await ask('SELECT day::VARCHAR, entity_type, action, risk_level, events FROM activity_daily')).toEqual([
      ['2026-11-21', 'indelible.verdict', 'insert', 'high', 1],
    ]);
    const joined = 'SELECT c.risk_level, j.actor FROM compliance_events c JOIN journal j ON j.event_id = c.id';
    expect(await ask(joined)).toEqual([['high', 'indelible']]);
    // A name of the question's own is not the journal that the views read.
    const shadowed = 'WITH journal AS (SELECT 1 AS seq) SELECT count(*) FROM compliance_events, journal';
    await journals.append('acme', [verdictEvent('b')], DURABLE);
    expect(await ask(shadowed)).toEqual([[2]]);
  });

  it('are there for a store that is only read', async () => {
    await journals.append('acme', [verdictEvent('a'), ...drafts('x', 3)], COMMITTED);
    await runner.catchUp('acme');
    await journals.append('acme', [verdictEvent('b')], COMMITTED);
    const { clock, random } = lab;
    const limits = { engineMemoryBytes: 2 ** 28, engineThreads: 1, cacheBytesMax: 2 ** 30 };
    const store = await openStore({
      store: new DirectoryStore(lab.storeDir),
      clock,
      random,
      tempDir: lab.dir,
      ...limits,
    });
    const snapshot = await store.snapshot('acme');
    const askStored = async (sql: string) => {
      const { views, release } = await storedViews(store, 'acme', sql);
      const request = { sql, format: 'json' as const, rowsMax: 1000, limits: LIMITS, views };
      const answer = await runSql(pool, await snapshotFiles(snapshot), request);
      release();
      return JSON.parse(await textOf(answer)).rows;
    };
    expect(await askStored(SOURCES)).toEqual([
      ['a', 0],
      ['b', 4],
    ]);
    expect(await askStored(EVENTS)).toEqual([[5, 5]]);
    snapshot.release();
    store.close();
  });
});
