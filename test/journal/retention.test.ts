import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  compactStore,
  DirectoryStore,
  IndelibleError,
  type JournalEvent,
  type Journals,
  ZERO_HASH,
} from '../../journal/index.ts';
import { FaultyStore, type StoreFault } from '../support/faulty-store.ts';
import {
  COMMITTED,
  chainFault,
  DURABLE,
  draft,
  drafts,
  errorOf,
  Lab,
  readAll,
  strangerHash,
} from '../support/journal-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

const GRACE_MS = 3_600_000;
const MANUAL = { isAutomatic: false, graceMs: GRACE_MS, partRows: 20 };
const OPERATOR = { reason: 'the law says ten years', keyId: 'abc', keyName: 'olga' };
const open = <T>(commit: () => Promise<T>) => commit();
const held = () => Promise.reject(new IndelibleError('conflict', 'hold case-7 stands'));

const remove = (journals: Journals, seq: number, gate = open) =>
  journals.retention.remove('acme', { cut: { seq }, ...OPERATOR }, gate, false);

/** Segments of ten events each, a minute apart. */
async function seal(journals: Journals, segments: number, prefix = 's'): Promise<void> {
  for (let i = 0; i < segments; i++) {
    lab.clock.ms += 60_000;
    await journals.append('acme', drafts(`${prefix}${i}-`, 10), COMMITTED);
  }
}

type Action = { commitInfo?: { operation: string }; metaData?: { configuration: Record<string, string> } };
const logDir = () => join(lab.storeDir, 'acme', '_delta_log');
const actions = () =>
  readdirSync(logDir())
    .filter((name) => name.endsWith('.json'))
    .sort()
    .flatMap((name) => readFileSync(join(logDir(), name), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line) as Action);
const operations = () => actions().flatMap(({ commitInfo }) => commitInfo?.operation ?? []);
const properties = () => actions().findLast(({ metaData }) => metaData)?.metaData?.configuration;

const isOrder = (event: JournalEvent) => event.entity_type === 'indelible.retention';

/** What is there is what was there from seq N on, and what was recorded since. */
async function expectFrom(journals: Journals, firstSeq: number, before: readonly JournalEvent[]): Promise<void> {
  const now = await readAll(journals, 'acme');
  expect(now.filter(({ seq }) => seq < before.length)).toEqual(before.filter(({ seq }) => seq >= firstSeq));
  const whole = [...before, ...now.filter(({ seq }) => seq >= before.length)];
  expect(chainFault(whole)).toBeUndefined();
  const snapshot = await journals.snapshot('acme');
  expect(snapshot.start).toEqual({ firstSeq, beforeHash: before[firstSeq - 1]?.event_hash ?? ZERO_HASH });
  snapshot.release();
  expect(await journals.stats('acme')).toMatchObject({ first_seq: firstSeq, total_events: whole.length - firstSeq });
}

describe('retention', () => {
  it('removes what lies before a position: whole files, and what lies across is written anew', async () => {
    let journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 4);
    const before = await readAll(journals, 'acme');
    const report = await remove(journals, 23);
    const before_hash = before[22]?.event_hash;
    expect(report).toEqual({ first_seq: 23, removed: 23, files_removed: 2, files_rewritten: 1, before_hash });
    await expectFrom(journals, 23, before);
    expect(operations().slice(-4)).toEqual(['SET TBLPROPERTIES', 'WRITE', 'DELETE', 'SET TBLPROPERTIES']);
    expect(properties()).toEqual({
      'delta.appendOnly': 'true',
      'indelible.firstSeq': '23',
      'indelible.beforeHash': before_hash,
    });
    await lab.close(journals);
    journals = await lab.open({ compaction: MANUAL });
    await expectFrom(journals, 23, before);
    await journals.append('acme', drafts('later', 3), COMMITTED);
    await expectFrom(journals, 23, before);
  });

  it('is an event of the journal, committed before anything is removed', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 2);
    const before = await readAll(journals, 'acme');
    await remove(journals, 5);
    const [order, ...more] = (await readAll(journals, 'acme')).filter(isOrder);
    expect(more).toEqual([]);
    expect(order).toMatchObject({ seq: 20, entity_id: 'acme', action: 'delete', actor: 'abc', actor_type: 'key' });
    expect(JSON.parse(order?.old_value ?? '')).toEqual({ first_seq: 0, before_hash: ZERO_HASH });
    expect(JSON.parse(order?.new_value ?? '')).toEqual({ first_seq: 5, before_hash: before[4]?.event_hash });
    expect(JSON.parse(order?.metadata ?? '')).toEqual({ removed: 5, reason: OPERATOR.reason, key_name: 'olga' });
    expect(strangerHash(before[5] as JournalEvent, before[4]?.event_hash ?? '')).toBe(before[5]?.event_hash);
  });

  it('by time keeps what was recorded then and later', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 5);
    const before = await readAll(journals, 'acme');
    const byTime = (time: string, isDryRun: boolean) =>
      journals.retention.remove('acme', { cut: { before: time }, ...OPERATOR }, open, isDryRun);
    const recorded = before[20]?.recorded_at ?? '';
    expect(await byTime('1999-01-01T00:00:00.000000Z', true)).toMatchObject({ first_seq: 0, removed: 0 });
    expect(await byTime(recorded, true)).toMatchObject({ first_seq: 20, files_removed: 2, files_rewritten: 0 });
    expect(await byTime(`${recorded.slice(0, -7)}000001Z`, true)).toMatchObject({ first_seq: 30 });
    expect(await byTime('2999-01-01T00:00:00.000000Z', true)).toMatchObject({ first_seq: 50, removed: 50 });
    await journals.compact('acme');
    expect(await byTime(recorded, false)).toMatchObject({ first_seq: 20, removed: 20 });
    await expectFrom(journals, 20, before);
    expect(await byTime('2999-01-01T00:00:00.000000Z', false)).toMatchObject({ first_seq: 51, removed: 31 });
    expect(await readAll(journals, 'acme')).toHaveLength(1);
  });

  it('a dry run, and one that has nothing to remove, change nothing', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 2);
    const [before, log] = [await readAll(journals, 'acme'), operations()];
    await journals.retention.remove('acme', { cut: { seq: 15 }, ...OPERATOR }, open, true);
    expect(await remove(journals, 0)).toMatchObject({ first_seq: 0, removed: 0, before_hash: ZERO_HASH });
    expect([await readAll(journals, 'acme'), operations()]).toEqual([before, log]);
    await remove(journals, 15);
    const [after, laterLog] = [await readAll(journals, 'acme'), operations()];
    expect(await remove(journals, 15)).toMatchObject({ first_seq: 15, removed: 0, files_removed: 0 });
    expect(await remove(journals, 3)).toMatchObject({ first_seq: 15, removed: 0, files_removed: 0 });
    expect([await readAll(journals, 'acme'), operations()]).toEqual([after, laterLog]);
    expect(await errorOf(remove(journals, 99))).toMatchObject({ kind: 'invalid' });
  });

  it('commits the tail first and takes appends meanwhile', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 2);
    await journals.append('acme', drafts('tail', 7), DURABLE);
    const before = await readAll(journals, 'acme');
    const [report] = await Promise.all([
      remove(journals, 24),
      ...Array.from({ length: 20 }, (_, i) => journals.append('acme', drafts(`meanwhile${i}-`, 2), DURABLE)),
    ]);
    expect(report).toMatchObject({ first_seq: 24, removed: 24 });
    await expectFrom(journals, 24, before);
    expect(await readAll(journals, 'acme')).toHaveLength(3 + 1 + 40);
  });

  it('goes with compaction, checkpoints and cleanup, and an open snapshot sees what it saw', async () => {
    let journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 8);
    await journals.compact('acme');
    const before = await readAll(journals, 'acme');
    const snapshot = await journals.snapshot('acme');
    const report = await remove(journals, 33);
    expect(report.files_rewritten).toBeGreaterThan(2);
    await expectFrom(journals, 33, before);
    const { paths } = await snapshot.hold(snapshot.files);
    const count = `SELECT count(*) AS n FROM read_parquet([${paths.map((path) => `'${path}'`).join()}])`;
    lab.clock.ms += 2 * GRACE_MS;
    expect(await journals.compact('acme')).toMatchObject({ deleted_files: 8 });
    expect(await journals.engine.all(count)).toEqual([{ n: 80n }]);
    snapshot.release();
    expect((await journals.compact('acme')).deleted_files).toBe(snapshot.files.length);
    expect(paths.some((path) => existsSync(path))).toBe(false);
    const version = readdirSync(logDir()).filter((name) => name.endsWith('.json')).length;
    const store = new DirectoryStore(lab.storeDir);
    for (let i = 0; i < 100; i++) await foreignCommit(store, version + i);
    await journals.compact('acme');
    expect(readdirSync(logDir()).some((name) => name.endsWith('.checkpoint.parquet'))).toBe(true);
    await expectFrom(journals, 33, before);
    await lab.close(journals);
    journals = await lab.open({ compaction: MANUAL });
    await expectFrom(journals, 33, before);
    expect(await remove(journals, 77)).toMatchObject({ removed: 44 });
    await expectFrom(journals, 77, before);
  });

  it('keeps the ids of what it removed taken for ever', async () => {
    let journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 3);
    await remove(journals, 12);
    await remove(journals, 25);
    const again = async () => {
      for (const [id, seq] of [
        ['s0-3', 3],
        ['s1-9', 19],
      ] as const) {
        const error = await errorOf(journals.append('acme', [draft({ event_id: id })], DURABLE));
        expect(error).toMatchObject({ kind: 'conflict' });
        expect(error.message).toContain(`recorded as seq ${seq} and removed by retention`);
        expect(await journals.find('acme', id)).toBeUndefined();
      }
      const kept = draft({ event_id: 's2-7', entity_id: 'entity-0', new_value: '7' });
      expect(await journals.append('acme', [kept], DURABLE)).toMatchObject({ count: 0, duplicates: 1 });
    };
    await again();
    await lab.close(journals);
    journals = await lab.open({ compaction: MANUAL });
    await again();
    lab.clock.ms += 2 * GRACE_MS;
    await journals.compact('acme');
    await again();
  });
});

describe('a hold', () => {
  it('forbids it', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 2);
    const [before, log] = [await readAll(journals, 'acme'), operations()];
    expect(await errorOf(remove(journals, 5, held))).toMatchObject({ kind: 'conflict', message: 'hold case-7 stands' });
    expect([await readAll(journals, 'acme'), operations()]).toEqual([before, log]);
  });

  it.each([1, 2, 3])('made while it is under way stops it before the commit (asked %d times)', async (asks) => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 2);
    const before = await readAll(journals, 'acme');
    let asked = 0;
    const gate = <T>(commit: () => Promise<T>) => {
      asked += 1;
      return asked < asks ? commit() : held();
    };
    expect(await errorOf(remove(journals, 5, gate))).toMatchObject({ kind: 'conflict' });
    await expectFrom(journals, 0, before);
    const recorded = (await readAll(journals, 'acme')).filter(isOrder).map(({ action }) => action);
    expect(recorded).toEqual([[], ['cancel'], ['delete', 'cancel']][asks - 1]);
    expect(properties()).toEqual({ 'delta.appendOnly': 'true' });
    await remove(journals, 5);
    await expectFrom(journals, 5, before);
  });
});

/** A foreign commit of another application, which adds nothing. */
const foreignCommit = (store: DirectoryStore, version: number) => {
  const lines = [
    { commitInfo: { timestamp: 1, operation: 'WRITE', operationParameters: {}, txnId: `foreign-${version}` } },
    { txn: { appId: 'nightly-report', version, lastUpdated: 1 } },
  ];
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  return store.putIfAbsent(`acme/_delta_log/${String(version).padStart(20, '0')}.json`, Buffer.from(text));
};

describe('beside others', () => {
  it('goes on after a commit of another application, at every commit of its own', async () => {
    const directory = new DirectoryStore(lab.storeDir);
    const store = new FaultyStore(directory);
    const journals = await lab.open({ store, compaction: MANUAL });
    await seal(journals, 3);
    const before = await readAll(journals, 'acme');
    const put = store.putIfAbsent.bind(store);
    let commits = 0;
    store.putIfAbsent = async (key, bytes) => {
      const version = /_delta_log\/0*(\d+)\.json$/.exec(key)?.[1];
      commits += 1;
      if (version && commits % 2 === 1) await foreignCommit(directory, Number(version));
      return put(key, bytes);
    };
    expect(await remove(journals, 12)).toMatchObject({ removed: 12, files_rewritten: 1 });
    expect(commits).toBeGreaterThan(6);
    await expectFrom(journals, 12, before);
    expect(properties()).toMatchObject({ 'delta.appendOnly': 'true', 'indelible.firstSeq': '12' });
  });

  it('plans anew where another process compacts in between, and that one gives up where it is later', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 9);
    const before = await readAll(journals, 'acme');
    let asked = 0;
    const gate = async <T>(commit: () => Promise<T>) => {
      asked += 1;
      // The third time it is the commit itself.
      if (asked === 3) {
        await compactStore({
          store: new DirectoryStore(lab.storeDir),
          workspace: 'acme',
          clock: lab.clock,
          random: lab.random,
          tempDir: join(lab.dir, 'other'),
          memoryLimitBytes: 2 ** 28,
          threads: 1,
          cacheBytesMax: 0,
          graceMs: 3_600_000,
          observer: {},
          signal: new AbortController().signal,
        });
      }
      return commit();
    };
    expect(await remove(journals, 25, gate)).toMatchObject({ removed: 25 });
    expect(asked).toBe(4);
    expect(operations()).toContain('OPTIMIZE');
    await expectFrom(journals, 25, before);
  });

  it('removes nothing where a file is not what the log says', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 2);
    const add = actions().find((action) => 'add' in action) as unknown as { add: { path: string } };
    const path = join(lab.storeDir, 'acme', add.add.path);
    await journals.engine.all(`COPY (FROM read_parquet('${path}') WHERE seq <> 3) TO '${path}.new' (FORMAT parquet)`);
    renameSync(`${path}.new`, path);
    expect(await errorOf(remove(journals, 15))).toMatchObject({ kind: 'corrupt' });
    expect((await journals.stats('acme')).first_seq).toBe(0);
  });
});

describe('cut short', () => {
  const run = async (form: StoreFault, isRestarted: boolean, gate = open) => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    let journals = await lab.open({ store, compaction: MANUAL });
    await seal(journals, 8);
    await journals.compact('acme');
    let firstSeq = 0;
    let calls = 0;
    for (let at = 0; ; at++) {
      await seal(journals, 1, `r${at}-`);
      const before = await readAll(journals, 'acme');
      const first = store.calls.length;
      store.decide = (_, index) => (index === first + at ? form : undefined);
      const error = await remove(journals, firstSeq + 7).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      store.decide = () => undefined;
      calls = store.calls.length - first;
      if (isRestarted) {
        await lab.close(journals);
        journals = await lab.open({ store, compaction: MANUAL });
        await readAll(journals, 'acme');
      }
      await journals.retention.resume('acme', gate).catch(() => {});
      const { first_seq } = await journals.stats('acme');
      expect([firstSeq, firstSeq + 7]).toContain(first_seq);
      if (error === undefined) expect(first_seq).toBe(firstSeq + 7);
      firstSeq = first_seq;
      expect(properties()?.['delta.appendOnly']).toBe('true');
      expect(properties()).not.toHaveProperty('indelible.retention');
      const now = await readAll(journals, 'acme');
      expect(now[0]?.seq).toBe(firstSeq);
      expect(now.filter(({ seq }) => seq < before.length + (before[0]?.seq ?? 0))).toEqual(
        before.filter(({ seq }) => seq >= firstSeq),
      );
      const orders = now.filter(isOrder);
      expect(new Set(orders.map(({ event_id }) => event_id)).size).toBe(orders.length);
      if (error === undefined) break;
    }
    expect(calls).toBeGreaterThan(12);
  };

  it('by a store that is away and a stop, it ends, and the next start finishes it', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    let journals = await lab.open({ store, compaction: MANUAL });
    await seal(journals, 2);
    const before = await readAll(journals, 'acme');
    // The order is noted; from its event on nothing is taken.
    store.decide = (call, _, key) => (call === 'putFile' && key.includes('/data/') ? 'not-applied' : undefined);
    expect(await errorOf(remove(journals, 13))).toMatchObject({ kind: 'unavailable' });
    const second = errorOf(remove(journals, 13));
    await lab.close(journals);
    expect(await second).toMatchObject({ kind: 'unavailable' });
    store.decide = () => undefined;
    journals = await lab.open({ store, compaction: MANUAL });
    expect(await remove(journals, 13)).toMatchObject({ first_seq: 13, removed: 13, files_removed: 1 });
    await expectFrom(journals, 13, before);
    expect((await readAll(journals, 'acme')).filter(isOrder)).toHaveLength(1);
  });

  it.each(['not-applied', 'applied'] as StoreFault[])(
    'at every call of the store in turn (%s), it is finished or it has not begun',
    (form) => run(form, false),
  );

  it.each(['not-applied', 'applied'] as StoreFault[])('the same across a restart (%s)', (form) => run(form, true));
});
