import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryStore, type Journals } from '../../journal/index.ts';
import { FaultyStore, type StoreFault } from '../support/faulty-store.ts';
import { COMMITTED, chainFault, DURABLE, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

const ids = async (journals: Journals, workspace: string) =>
  (await readAll(journals, workspace)).map((event) => event.event_id);

/** Keys of the table log's versions and of the segments that it names, of one workspace. */
async function tableOf(workspace: string): Promise<{ versions: number[]; referenced: string[]; stored: string[] }> {
  const store = new DirectoryStore(lab.storeDir);
  const versions: number[] = [];
  const referenced: string[] = [];
  const stored: string[] = [];
  for await (const { key } of store.list(`${workspace}/`)) {
    if (!key.includes('/_delta_log/')) {
      stored.push(key.slice(workspace.length + 1));
      continue;
    }
    versions.push(Number(key.slice(-25, -5)));
    const text = Buffer.from((await store.get(key)) ?? []).toString();
    for (const line of text.trim().split('\n')) {
      const action = JSON.parse(line) as { add?: { path: string } };
      if (action.add) referenced.push(action.add.path);
    }
  }
  return { versions, referenced, stored };
}

/** Each event once, a log without gaps whose segments all exist, and a write-ahead log that was let go. */
async function expectSealed(journals: Journals, expected: Record<string, string[]>): Promise<void> {
  for (const [workspace, eventIds] of Object.entries(expected)) {
    const events = await readAll(journals, workspace);
    expect(chainFault(events)).toBeUndefined();
    expect(events.map((event) => event.event_id)).toEqual(eventIds);
    expect(await journals.stats(workspace)).toMatchObject({ buffered_events: 0, total_events: eventIds.length });
    const { versions, referenced, stored } = await tableOf(workspace);
    expect(versions).toEqual(versions.map((_, index) => index));
    expect(new Set(referenced).size).toBe(referenced.length);
    for (const path of referenced) expect(stored).toContain(path);
  }
  expect(readdirSync(lab.walDir)).toEqual([]);
}

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

/** What a seal asks of the store: first of a new workspace beside an old one, then of both again. */
async function scenario(store: FaultyStore, journals: Journals): Promise<void> {
  await untilDone(() => journals.append('acme', drafts('a', 3), DURABLE));
  await untilDone(() => journals.append('other', drafts('o', 2), DURABLE));
  await flushUntilDone(journals);
  await untilDone(() => journals.append('acme', drafts('b', 3), DURABLE));
  await untilDone(() => journals.append('acme', drafts('a', 3), DURABLE));
  await untilDone(() => journals.append('third', drafts('t', 1), DURABLE));
  await flushUntilDone(journals);
  store.decide = () => undefined;
}

const flushUntilDone = (journals: Journals) => untilDone(() => journals.flush());

/** Retries what the service calls unavailable, as a client would. */
async function untilDone(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const failed = await work().then(
      () => false,
      (error: unknown) => {
        expect(error).toMatchObject({ kind: 'unavailable', retryAfterS: 5 });
        return true;
      },
    );
    if (!failed) return;
  }
  throw new Error('it does not recover');
}

const EXPECTED = {
  acme: [...names('a', 3), ...names('b', 3)],
  other: names('o', 2),
  third: names('t', 1),
};

describe('sealing while the store fails', () => {
  it('asks the store for nothing it does not need', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store });
    await journals.append('acme', drafts('a', 3), DURABLE);
    await journals.flush();
    const before = store.calls.length;
    await journals.append('acme', drafts('b', 3), DURABLE);
    await journals.flush();
    const writes = store.calls.slice(before).filter(({ call }) => call === 'putFile' || call === 'putIfAbsent');
    expect(writes.map(({ call, key }) => `${call} ${key.replace(/[0-9a-f-]{36}/, '<id>')}`)).toEqual([
      expect.stringMatching(/^putFile acme\/data\/[0-9a-f]{2}\/<id>\.parquet$/),
      'putIfAbsent acme/_delta_log/00000000000000000002.json',
    ]);
    await expectSealed(journals, { acme: [...names('a', 3), ...names('b', 3)] });
  });

  it.each(['not-applied', 'applied'] as StoreFault[])(
    'at every call in turn, %s: each event once after a retry, and after a restart',
    async (fault) => {
      const count = await callsOfScenario();
      expect(count).toBeGreaterThan(20);
      for (let at = 0; at < count; at++) {
        await lab.dispose();
        lab = new Lab();
        const store = new FaultyStore(new DirectoryStore(lab.storeDir));
        const journals = await lab.open({ store });
        const opened = store.calls.length;
        store.decide = (_call, index) => (index === opened + at ? fault : undefined);
        await scenario(store, journals);
        expect(store.calls.length).toBeGreaterThan(opened + at);
        await expectSealed(journals, EXPECTED);
        await lab.close(journals);
        const again = await lab.open();
        expect(await again.append('acme', drafts('b', 3), DURABLE)).toMatchObject({ count: 0, duplicates: 3 });
        await expectSealed(again, EXPECTED);
      }
    },
    120_000,
  );

  it('at random calls, both forms, over and over', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store, sealRetryMs: 1, flushEvents: 4 });
    const expected: string[] = [];
    for (let round = 0; round < 12; round++) {
      store.decide = () => ([undefined, undefined, 'applied', 'not-applied'] as const)[lab.random.below(4)];
      const events = drafts(`r${round}-`, 3);
      await untilDone(() => journals.append('acme', events, DURABLE));
      expected.push(...names(`r${round}-`, 3));
      await journals.flush().catch(() => {});
    }
    store.decide = () => undefined;
    await flushUntilDone(journals);
    await expectSealed(journals, { acme: expected });
  });

  it('the process that dies in between leaves it to the next one', async () => {
    const count = await callsOfScenario();
    for (let at = 1; at < count; at += 3) {
      await lab.dispose();
      lab = new Lab();
      const store = new FaultyStore(new DirectoryStore(lab.storeDir));
      const journals = await lab.open({ store });
      const opened = store.calls.length;
      // From this call on the store is gone for good.
      store.decide = (_call, index) => (index >= opened + at ? 'not-applied' : undefined);
      const acknowledged: string[] = [];
      for (const [workspace, prefix] of [
        ['acme', 'a'],
        ['other', 'o'],
      ] as const) {
        await journals.append(workspace, drafts(prefix, 3), DURABLE).then(
          () => acknowledged.push(workspace),
          (error: unknown) => expect(error).toMatchObject({ kind: 'unavailable' }),
        );
      }
      await journals.flush().catch(() => {});
      await lab.close(journals);
      const again = await lab.open();
      expect(acknowledged.map((workspace) => again.has(workspace))).not.toContain(false);
      expect(await again.append('acme', drafts('a', 3), DURABLE)).toMatchObject({
        duplicates: acknowledged.includes('acme') ? 3 : 0,
      });
      await again.append('other', drafts('o', 3), DURABLE);
      await again.flush();
      await expectSealed(again, { acme: names('a', 3), other: names('o', 3) });
    }
  });

  it('an append that asked for committed waits until the store takes it', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store });
    let failures = 0;
    store.decide = (call) => (call === 'putFile' && failures++ < 3 ? 'not-applied' : undefined);
    const result = await journals.append('acme', drafts('a', 2), COMMITTED);
    expect(result.receipts.map((receipt) => receipt.ack)).toEqual(['committed', 'committed']);
    expect(failures).toBeGreaterThan(3);
    await expectSealed(journals, { acme: names('a', 2) });
  });

  it('refuses appends once the log is full, and takes them again when the store is back', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store, walBytesMax: 20_000, flushBytes: 4_000 });
    store.decide = (call) => (call === 'putFile' ? 'not-applied' : undefined);
    let taken = 0;
    let refused: Error | undefined;
    for (; !refused && taken < 1000; ) {
      await journals.append('acme', drafts(`n${taken}-`, 1), DURABLE).then(
        () => {
          taken += 1;
        },
        (error: Error) => {
          refused = error;
        },
      );
    }
    expect(refused).toMatchObject({ kind: 'unavailable', retryAfterS: 5, message: expect.stringContaining('full') });
    expect(journals.walBytes).toBeGreaterThanOrEqual(20_000);
    expect(await ids(journals, 'acme')).toHaveLength(taken);
    expect(await errorOf(journals.append('acme', drafts('x', 1), DURABLE))).toMatchObject({ kind: 'unavailable' });
    store.decide = () => undefined;
    await flushUntilDone(journals);
    expect(journals.walBytes).toBe(0);
    expect(await journals.append('acme', drafts('x', 1), DURABLE)).toMatchObject({ count: 1, first_seq: taken });
  });
});

/** How many calls the store gets from the scenario where nothing fails. */
async function callsOfScenario(): Promise<number> {
  const measured = new Lab();
  try {
    const store = new FaultyStore(new DirectoryStore(measured.storeDir));
    const journals = await measured.open({ store });
    const opened = store.calls.length;
    await scenario(store, journals);
    return store.calls.length - opened;
  } finally {
    await measured.dispose();
  }
}
