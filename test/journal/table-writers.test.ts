import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryStore, Engine } from '../../journal/index.ts';
import { type Add, DeltaTable } from '../../journal/table/index.ts';
import { FaultyStore } from '../support/faulty-store.ts';
import { Interleaving, type Step } from '../support/interleaving.ts';
import { errorOf, Lab } from '../support/journal-lab.ts';

let lab: Lab;
let engine: Engine;
/** Files have names of their own, as random names are. */
let files = 0;
beforeEach(async () => {
  lab = new Lab();
  engine = await Engine.open({
    path: ':memory:',
    tempDir: lab.dir,
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 1,
    concurrency: 1,
  });
});
afterEach(async () => {
  engine.close();
  await lab.dispose();
});

const storeNow = () => new FaultyStore(new DirectoryStore(lab.storeDir));
const optionsOf = (token?: number, store = storeNow()) => ({
  ...{ store, workspace: 'acme', clock: lab.clock, random: lab.random, engine, token },
  tempDir: join(lab.dir, 'scratch'),
});
const logDir = () => join(lab.storeDir, 'acme', '_delta_log');

async function tableOf(token?: number, store = storeNow()): Promise<DeltaTable> {
  const table = await DeltaTable.open(optionsOf(token, store));
  if (!table) throw new Error('there is no table');
  return table;
}

/** A segment's action; the table itself never looks at the file. */
function addOf(firstSeq: number, lastSeq: number, path: string): Add {
  const stats = `{"numRecords":${lastSeq - firstSeq + 1},"minValues":{"seq":${firstSeq}},"maxValues":{"seq":${lastSeq}},"nullCount":{}}`;
  return { path, partitionValues: {}, size: 10, modificationTime: lab.clock.ms, dataChange: true, stats };
}

/** The next event, by this writer. */
function appendNext(table: DeltaTable, writer: string) {
  const seq = table.lastSeq + 1;
  return table.append(addOf(seq, seq, `data/${writer}/${files++}.parquet`), seq, seq);
}

/** All live files as one, by this writer. */
function mergeAll(table: DeltaTable, writer: string) {
  const removes = table.files().map(({ add }) => add);
  return table.optimize(removes, [
    { ...addOf(0, table.lastSeq, `data/${writer}/${files++}.parquet`), dataChange: false },
  ]);
}

type LogLine = { txn?: { appId: string; version: number }; add?: { path: string } };

/** Who wrote each commit of the log: the token of its txn, or the writer that its file is named after. */
function writersOfCommits(): string[] {
  return readdirSync(logDir())
    .filter((name) => /^\d{20}\.json$/.test(name))
    .sort()
    .map((name) => {
      const lines = readFileSync(join(logDir(), name), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as LogLine);
      const token = lines.find(({ txn }) => txn?.appId === 'indelible-writer')?.txn?.version;
      if (token !== undefined) return `takes over ${token}`;
      return lines.find(({ add }) => add)?.add?.path.split('/')[1] ?? 'nobody';
    });
}

describe('a table that a writer took over', () => {
  it('takes commits of that writer, and none of the one before', async () => {
    const first = await DeltaTable.create(optionsOf(1));
    expect(await appendNext(first, 'w1')).toBe('committed');
    expect(await appendNext(first, 'w1')).toBe('committed');
    const second = await tableOf(2);
    await second.takeOver();
    const before = readdirSync(logDir());
    for (const commit of [
      () => appendNext(first, 'w1'),
      () => mergeAll(first, 'w1'),
      () => first.noteOrder('{}', { instead: undefined, start: first.start }),
      () => first.settle('{}'),
      () =>
        first.removeBelow({ order: '{}', start: { firstSeq: 1, beforeHash: '00'.repeat(32) }, removes: [], adds: [] }),
      () => first.takeOver(),
    ]) {
      expect(await errorOf(commit())).toMatchObject({ kind: 'fenced' });
    }
    expect(readdirSync(logDir())).toEqual(before);
    expect(await appendNext(second, 'w2')).toBe('committed');
    expect(await mergeAll(second, 'w2')).toBe('committed');
    expect(writersOfCommits()).toEqual(['nobody', 'takes over 1', 'w1', 'w1', 'takes over 2', 'w2', 'w2']);
  });

  it('is taken over once, however often it is asked', async () => {
    const table = await DeltaTable.create(optionsOf(3));
    await table.takeOver();
    await (await tableOf(3)).takeOver();
    expect(writersOfCommits()).toEqual(['nobody', 'takes over 3']);
  });

  it('cannot be created again by a lower token', async () => {
    await DeltaTable.create(optionsOf(3));
    expect(await errorOf(DeltaTable.create(optionsOf(2)))).toMatchObject({ kind: 'fenced' });
  });

  it('is still that writer’s after a checkpoint, when the commits before it are gone', async () => {
    const table = await DeltaTable.create(optionsOf(7));
    for (let i = 0; i < 100; i++) await appendNext(table, 'w7');
    expect(await table.checkpoint()).toBe(true);
    for (const name of readdirSync(logDir())) if (name.endsWith('.json')) rmSync(join(logDir(), name));
    expect(await errorOf((await tableOf(6)).takeOver())).toMatchObject({ kind: 'fenced' });
    expect(await appendNext(await tableOf(7), 'w7')).toBe('committed');
  });

  it('does not fence who has no token', async () => {
    await DeltaTable.create(optionsOf(1));
    expect(await appendNext(await tableOf(), 'anybody')).toBe('committed');
  });
});

type Deed = 'takeOver' | 'append' | 'optimize' | 'refresh';
const deed = fc.constantFrom<Deed>('takeOver', 'append', 'append', 'optimize', 'refresh');
const step: fc.Arbitrary<Step> = fc.record({
  pick: fc.nat({ max: 5 }),
  fault: fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom('applied' as const, 'not-applied' as const) },
  ),
});

async function act(table: DeltaTable, writer: string, deed: Deed): Promise<void> {
  if (deed === 'takeOver') await table.takeOver();
  else if (deed === 'append') await appendNext(table, writer);
  else if (deed === 'optimize' && table.lastSeq >= 0) await mergeAll(table, writer);
  else await table.refresh();
}

const isFenced = (error: unknown) => (error as { kind?: unknown }).kind === 'fenced';

/** Does it all in order, what fails without telling once more after a look; ends where it is fenced. */
async function live(store: FaultyStore, token: number, deeds: readonly Deed[]): Promise<void> {
  const retried = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (isFenced(error) || !String(error).includes('injected')) throw error;
      }
    }
  };
  const table = await retried(() => tableOf(token, store));
  try {
    await retried(() => table.takeOver());
    for (const deed of deeds) await retried(() => act(table, `w${token}`, deed));
  } catch (error) {
    if (!isFenced(error)) throw error;
  }
}

it('whatever two writers do at the same time: once the second took over, nothing of the first is committed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(deed, { maxLength: 6 }),
      fc.array(deed, { maxLength: 4 }),
      fc.array(step, { minLength: 20, maxLength: 120 }),
      async (deedsOfFirst, deedsOfSecond, steps) => {
        rmSync(lab.storeDir, { recursive: true, force: true });
        await DeltaTable.create(optionsOf());
        const play = new Interleaving(steps);
        const stores = [storeNow(), storeNow()] as const;
        stores.forEach((store, actor) => {
          play.join(actor, store);
        });
        await play.play([() => live(stores[0], 1, deedsOfFirst), () => live(stores[1], 2, deedsOfSecond)]);
        const writers = writersOfCommits();
        const taken = writers.indexOf('takes over 2');
        expect(taken).toBeGreaterThan(0);
        expect(writers.slice(taken).filter((writer) => writer === 'w1' || writer === 'takes over 1')).toEqual([]);
        // And the table is one that can be read, with every commit in it.
        expect((await tableOf()).version).toBe(writers.length - 1);
      },
    ),
    { numRuns: 60 },
  );
});
