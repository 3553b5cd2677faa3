import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openS3Store, storedWorkspaces, DirectoryStore } from '../../journal/index.ts';
import { activity, ComplianceEvents } from '../../projections/index.ts';
import { hasS3Server } from '../../scripts/s3-server.mjs';
import { FaultyStore } from '../support/faulty-store.ts';
import { COMMITTED, DURABLE, drafts, Lab, readAll } from '../support/journal-lab.ts';
import { S3Server } from '../support/s3-server.ts';
import { manualRunner, verdictEvent } from './projection-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

const OPTIONS = { by: 'ann', force: false };

it('compaction and cleanup of a journal pass its projections over, and so does the list of workspaces', async () => {
  const journals = await lab.open({ compaction: { isAutomatic: false, graceMs: 1, partRows: 20 } });
  const runner = manualRunner(journals);
  for (let round = 0; round < 10; round++) {
    await journals.append('acme', [verdictEvent(`s${round}`), ...drafts(`d${round}-`, 5)], COMMITTED);
    await runner.catchUp('acme');
  }
  const filesOf = (name: string) =>
    readdirSync(join(lab.storeDir, 'acme', '_projections', name), { recursive: true, encoding: 'utf8' }).sort();
  const before = [filesOf('compliance_events'), filesOf('activity_daily')];
  await journals.compact('acme');
  lab.clock.ms = Date.now() + 3_600_000;
  expect((await journals.compact('acme')).deleted_files).toBeGreaterThan(0);
  expect([filesOf('compliance_events'), filesOf('activity_daily')]).toEqual(before);
  expect(await storedWorkspaces(new DirectoryStore(lab.storeDir))).toEqual(['acme']);
  expect((await runner.rebuild('acme', 'compliance_events', OPTIONS)).agreed).toBe(true);
  await runner.close();
});

it('folds that yield no row cost no commit, and a fold one file and one', async () => {
  const store = new FaultyStore(new DirectoryStore(lab.storeDir));
  const journals = await lab.open({ store });
  const runner = manualRunner(journals);
  const writes = async (work: () => Promise<unknown>) => {
    const before = store.calls.length;
    await work();
    const calls = store.calls
      .slice(before)
      .filter(({ call, key }) => /put/.test(call) && key.includes('compliance_events'));
    return calls.map(({ call, key }) => `${call} ${key.replace(/[0-9a-f]{2}\/[0-9a-f-]{36}/, '<id>')}`);
  };
  const fold = async (events: Parameters<typeof journals.append>[1]) => {
    await journals.append('acme', events, COMMITTED);
    return writes(() => runner.catchUp('acme'));
  };
  const dir = 'acme/_projections/compliance_events/v000001';
  const log = (version: number) => `putIfAbsent ${dir}/_delta_log/${String(version).padStart(20, '0')}.json`;
  expect(await fold(drafts('a', 3))).toEqual([]);
  expect(await fold([verdictEvent('a')])).toEqual([`putFile ${dir}/data/<id>.parquet`, log(0), log(1)]);
  expect(await fold(drafts('b', 3))).toEqual([]);
  expect(runner.table('acme', 'compliance_events').position).toBe(6);
  expect(await fold([verdictEvent('b')])).toEqual([`putFile ${dir}/data/<id>.parquet`, log(2)]);
  await runner.close();
});

// reason: the S3 server could not be built here; on a build machine that fails
describe.skipIf(!hasS3Server())('projections in a bucket', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.start();
  });
  afterAll(() => server.remove());

  it('are folded, rebuilt and read, also from an empty cache', { timeout: 60_000 }, async () => {
    const bucket = await server.makeBucket();
    const limits = { timeoutMs: 10_000, attemptsMax: 2, firstDelayMs: 1 };
    const store = await openS3Store({ bucket, prefix: 'projections', endpoint: server.endpoint, limits });
    let journals = await lab.open({ store });
    let runner = manualRunner(journals);
    for (let round = 0; round < 9; round++) {
      await journals.append('acme', [verdictEvent(`s${round}`), ...drafts(`d${round}-`, 2)], COMMITTED);
      await runner.catchUp('acme');
    }
    expect((await runner.rebuild('acme', 'compliance_events', OPTIONS)).agreed).toBe(true);
    await journals.append('acme', [verdictEvent('last')], DURABLE);
    const { rows } = await new ComplianceEvents(runner).page('acme', { limit: 100 });
    expect(rows).toHaveLength(10);
    await runner.close();
    await lab.close(journals);
    rmSync(join(lab.dataDir, 'cache'), { recursive: true });
    journals = await lab.open({ store });
    runner = manualRunner(journals);
    expect((await new ComplianceEvents(runner).page('acme', { limit: 100 })).rows).toEqual(rows);
    const counted = (await activity(runner, 'acme', {})).rows.reduce((sum, row) => sum + row.events, 0);
    expect(counted).toBe((await readAll(journals, 'acme')).length);
    await runner.close();
  });
});
