import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Journals } from '../../journal/index.ts';
import { COMMITTED, chainFault, DURABLE, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

type Action = Record<string, Record<string, unknown>>;

const logDir = (workspace: string) => join(lab.storeDir, workspace, '_delta_log');
const versionName = (version: number) => `${String(version).padStart(20, '0')}.json`;

/** Actions of a version of the log; a stranger's commit is built from them. */
function actionsOf(workspace: string, version: number): Action[] {
  const text = readFileSync(join(logDir(workspace), versionName(version)), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Action);
}

/** Commits as another engine would, at the next version. */
function strangerCommits(workspace: string, actions: readonly Action[]): void {
  const version = readdirSync(logDir(workspace)).length;
  const text = actions.map((action) => `${JSON.stringify(action)}\n`).join('');
  writeFileSync(join(logDir(workspace), versionName(version)), text, { flag: 'wx' });
}

const commitInfo: Action = { commitInfo: { timestamp: 1, operation: 'SOMETHING', operationParameters: {} } };
const ids = async (journals: Journals, workspace = 'acme') =>
  (await readAll(journals, workspace)).map((event) => event.event_id);

async function sealed(workspace = 'acme'): Promise<Journals> {
  const journals = await lab.open();
  await journals.append(workspace, drafts('a', 2), DURABLE);
  await journals.flush();
  return journals;
}

/** The add of the only segment so far. */
function firstAdd(workspace = 'acme'): Record<string, unknown> {
  const add = actionsOf(workspace, 1).find((action) => action.add)?.add;
  if (!add) throw new Error('version 1 adds no file');
  return add;
}

describe('a commit of another engine that leaves our events alone is built upon', () => {
  it('new metadata', async () => {
    const journals = await sealed();
    const metaData = actionsOf('acme', 0).find((action) => action.metaData)?.metaData ?? {};
    const configuration = { ...(metaData.configuration as object), 'delta.logRetentionDuration': 'interval 30 days' };
    strangerCommits('acme', [commitInfo, { metaData: { ...metaData, configuration } }]);
    await journals.append('acme', drafts('b', 2), COMMITTED);
    expect(readdirSync(logDir('acme'))).toHaveLength(4);
    expect(await ids(journals)).toEqual(['a0', 'a1', 'b0', 'b1']);
  });

  it('the transaction of another application', async () => {
    const journals = await sealed();
    strangerCommits('acme', [commitInfo, { txn: { appId: 'reports', version: 999 } }]);
    await journals.append('acme', drafts('b', 1), COMMITTED);
    expect(await ids(journals)).toEqual(['a0', 'a1', 'b0']);
  });

  it('the same events in another file', async () => {
    const journals = await sealed();
    const add = firstAdd();
    const copy = 'data/zz/copy.parquet';
    const dir = join(lab.storeDir, 'acme', 'data', 'zz');
    mkdirSync(dir);
    writeFileSync(join(lab.storeDir, 'acme', copy), readFileSync(join(lab.storeDir, 'acme', String(add.path))));
    strangerCommits('acme', [
      commitInfo,
      { remove: { path: add.path, deletionTimestamp: 1, dataChange: false } },
      { add: { ...add, path: copy, dataChange: false } },
    ]);
    await journals.append('acme', drafts('b', 1), COMMITTED);
    const snapshot = await journals.snapshot('acme');
    expect(snapshot.files.map((file) => file.path)).toContain(copy);
    snapshot.release();
    expect(await ids(journals)).toEqual(['a0', 'a1', 'b0']);
  });
});

describe('another writer of the same journal', () => {
  const foreignTxn: Action[] = [commitInfo, { txn: { appId: 'indelible', version: 2 } }];

  async function expectFenced(journals: Journals, actions: readonly Action[], kind: string): Promise<void> {
    await journals.append('acme', drafts('b', 1), DURABLE);
    await journals.append('other', drafts('o', 1), DURABLE);
    strangerCommits('acme', actions);
    expect(await errorOf(journals.flush('acme'))).toMatchObject({ kind });
    // The other workspace of the same file is sealed, and the file is kept for what is not.
    expect(await journals.stats('other')).toMatchObject({ buffered_events: 0 });
    expect(readdirSync(lab.walDir)).toHaveLength(1);
    expect(await errorOf(journals.append('acme', drafts('c', 1), DURABLE))).toMatchObject({ kind });
    expect(await errorOf(journals.append('acme', drafts('c', 1), COMMITTED))).toMatchObject({ kind });
    await journals.append('other', drafts('p', 1), COMMITTED);
    expect(await ids(journals, 'other')).toEqual(['o0', 'p0']);
    // What was acknowledged is still read.
    expect(await ids(journals)).toEqual(['a0', 'a1', 'b0']);
  }

  it('that committed our next position: fenced, the log is kept, other workspaces go on', async () => {
    const journals = await sealed();
    const add = firstAdd();
    const stats = JSON.parse(String(add.stats)) as { minValues: object; maxValues: object };
    const moved = { ...stats, minValues: { ...stats.minValues, seq: 2 }, maxValues: { ...stats.maxValues, seq: 2 } };
    const file = 'data/zz/foreign.parquet';
    mkdirSync(join(lab.storeDir, 'acme', 'data', 'zz'));
    await journals.engine.all(
      `COPY (SELECT * REPLACE (2::BIGINT AS seq, unhex(repeat('ab', 32)) AS event_hash) FROM read_parquet('${lab.storeDir}/acme/${add.path}') LIMIT 1) TO '${lab.storeDir}/acme/${file}' (FORMAT parquet)`,
    );
    const foreignAdd = { add: { ...add, path: file, stats: JSON.stringify({ ...moved, numRecords: 1 }) } };
    await expectFenced(journals, [...foreignTxn, foreignAdd], 'fenced');
  });

  it('that moved our position and stored nothing', async () => {
    await expectFenced(await sealed(), foreignTxn, 'corrupt');
  });

  it('that removed events', async () => {
    const journals = await sealed();
    const remove = { remove: { path: firstAdd().path, deletionTimestamp: 1, dataChange: true } };
    await expectFenced(journals, [commitInfo, remove], 'corrupt');
  });

  it('that added rows of its own', async () => {
    const journals = await sealed();
    const add = { add: { ...firstAdd(), path: 'data/zz/more.parquet' } };
    await expectFenced(journals, [commitInfo, add], 'corrupt');
  });

  it('that added a file without statistics', async () => {
    const journals = await sealed();
    const { stats: _, ...bare } = firstAdd();
    await expectFenced(journals, [commitInfo, { add: { ...bare, path: 'data/zz/more.parquet' } }], 'corrupt');
  });

  it('that raised the protocol', async () => {
    const protocol = { protocol: { minReaderVersion: 3, minWriterVersion: 7, readerFeatures: [], writerFeatures: [] } };
    await expectFenced(await sealed(), [commitInfo, protocol], 'fenced');
  });

  it('wrote no commit at all', async () => {
    const journals = await sealed();
    await journals.append('acme', drafts('b', 1), DURABLE);
    writeFileSync(join(logDir('acme'), versionName(2)), 'not json\n');
    expect(await errorOf(journals.flush('acme'))).toMatchObject({ kind: 'corrupt' });
    expect(await ids(journals)).toEqual(['a0', 'a1', 'b0']);
  });
});

describe('create is not open', () => {
  async function sealedAndClosed(): Promise<void> {
    const journals = await sealed();
    await journals.append('acme', drafts('b', 2), COMMITTED);
    await lab.close(journals);
  }

  it.each([
    ['the first version', 0],
    ['a version in the middle', 1],
  ])('%s of the table log is gone: corrupt', async (_, version) => {
    await sealedAndClosed();
    rmSync(join(logDir('acme'), versionName(version)));
    const journals = await lab.open();
    const error = await errorOf(journals.snapshot('acme'));
    expect(error).toMatchObject({ kind: 'corrupt', message: expect.stringContaining(versionName(version)) });
    expect(await errorOf(journals.append('acme', drafts('c', 1), DURABLE))).toMatchObject({ kind: 'corrupt' });
  });

  it('the whole table log is gone: corrupt, never an empty journal', async () => {
    await sealedAndClosed();
    rmSync(logDir('acme'), { recursive: true });
    const journals = await lab.open();
    expect(await errorOf(journals.snapshot('acme'))).toMatchObject({ kind: 'corrupt' });
    expect(await errorOf(journals.append('acme', drafts('c', 1), DURABLE))).toMatchObject({ kind: 'corrupt' });
  });

  it('a segment is gone: reading fails, and says so', async () => {
    await sealedAndClosed();
    rmSync(join(lab.storeDir, 'acme', String(firstAdd().path)));
    const journals = await lab.open();
    await expect(readAll(journals, 'acme')).rejects.toThrow();
    await expect(journals.append('acme', drafts('a', 1), DURABLE)).rejects.toThrow();
  });

  it('the newest version is gone while the log goes on behind it: refused', async () => {
    const journals = await sealed();
    await journals.append('acme', drafts('b', 2), COMMITTED);
    await journals.append('acme', drafts('c', 1), DURABLE);
    const [name = ''] = readdirSync(lab.walDir);
    const wal = readFileSync(join(lab.walDir, name));
    await lab.close(journals);
    writeFileSync(join(lab.walDir, name), wal);
    rmSync(join(logDir('acme'), versionName(3)));
    rmSync(join(logDir('acme'), versionName(2)));
    expect(await errorOf(lab.open())).toMatchObject({ kind: 'corrupt' });
    expect(readFileSync(join(lab.walDir, name)).equals(wal)).toBe(true);
  });
});

it('a log file that is left after its commit is released, not sealed again', async () => {
  const journals = await sealed();
  await journals.append('acme', drafts('b', 2), DURABLE);
  const [name = ''] = readdirSync(lab.walDir);
  const wal = readFileSync(join(lab.walDir, name));
  await lab.close(journals);
  writeFileSync(join(lab.walDir, name), wal);
  const again = await lab.open();
  await again.flush();
  expect(readdirSync(lab.walDir)).toEqual([]);
  expect(readdirSync(logDir('acme'))).toHaveLength(3);
  expect(chainFault(await readAll(again, 'acme'))).toBeUndefined();
});
