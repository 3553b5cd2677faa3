import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  DirectoryStore,
  IndelibleError,
  type JournalEvent,
  type Journals,
  type RemovalGate,
} from '../../journal/index.ts';
import { SegmentCache } from '../../journal/cache/index.ts';
import { COMPACTION_DEFAULTS, JournalCompaction } from '../../journal/journal-compaction.ts';
import { JournalRetention } from '../../journal/journal-retention.ts';
import { JournalSet } from '../../journal/journal-set.ts';
import { inThisProcess } from '../../journal/segment-process/index.ts';
import { FaultyStore, type StoreFault } from '../support/faulty-store.ts';
import { Interleaving, type Step } from '../support/interleaving.ts';
import { COMMITTED, chainFault, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';

/** Processes of a cluster: one writes the journal, the others follow it, and any of them removes or forbids to. */
let lab: Lab;
let writer: Journals;
let before: JournalEvent[];

async function begin(): Promise<void> {
  lab = new Lab();
  writer = await lab.open();
  for (let i = 0; i < 3; i++) await writer.append('acme', drafts(`s${i}-`, 10), COMMITTED);
  before = await readAll(writer, 'acme');
}
beforeEach(begin);
afterEach(() => lab.dispose());

/** A process that follows: its own look at the store, its own memory of the table. */
class Process {
  readonly store: FaultyStore;
  readonly retention: JournalRetention;

  private constructor(name: string, store: FaultyStore, cache: SegmentCache) {
    this.store = store;
    const { clock, random } = lab;
    const { engine } = writer;
    const tempDir = join(lab.dir, name);
    const set = new JournalSet({ engine, store, cache, clock, random, tempDir, isFollowing: true });
    set.exists('acme');
    const compaction = new JournalCompaction({
      ...{ set, store, cache, clock, random, tempDir },
      jobs: inThisProcess(engine),
      settings: { ...COMPACTION_DEFAULTS, isAutomatic: false },
      observer: {},
    });
    this.retention = new JournalRetention({
      isWriter: false,
      ...{ set, engine, store, cache, clock, random, tempDir, compaction },
      append: (workspace, events) => writer.append(workspace, events, COMMITTED),
      flush: async (workspace) => {
        await writer.flush(workspace);
        await set.refresh(await set.open(workspace, false));
      },
    });
  }

  static async open(name: string): Promise<Process> {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    return new Process(name, store, await SegmentCache.open({ store, dir: join(lab.dir, name), bytesMax: 0 }));
  }
}

/** The holds as `_system` has them: read by everybody as they are at that moment. */
class Holds {
  stands = false;
  readonly gate: RemovalGate = async (commit) => {
    if (this.stands) throw new IndelibleError('conflict', 'a hold stands');
    return commit();
  };
}

const OPERATOR = { reason: 'ten years', keyId: 'k', keyName: 'olga' };
const remove = ({ retention }: Process, holds: Holds, seq: number) =>
  retention.remove('acme', { cut: { seq }, ...OPERATOR }, holds.gate, false);

const isInjected = (error: unknown) => String(error).includes('injected');

/** What resume throws where a hold stands is what it did: the order is withdrawn. Faults: the same again, as callers do. */
async function resume({ retention }: Process, holds: Holds): Promise<void> {
  for (;;) {
    try {
      return await retention.resume('acme', holds.gate);
    } catch (error) {
      if (error instanceof IndelibleError && error.kind === 'conflict') return;
      if (!isInjected(error) && !(error instanceof IndelibleError && error.kind === 'unavailable')) throw error;
    }
  }
}

/** As `Retention.addHold` does: answered when it is recorded, and no order is left that was noted before. */
async function hold(process: Process, holds: Holds): Promise<number> {
  holds.stands = true;
  await resume(process, holds);
  return storedStart();
}

type LogLine = { metaData?: { configuration: Record<string, string> } };

/** What the table log itself says, without anybody's memory. */
function storedProperties(): Record<string, string> {
  const dir = join(lab.storeDir, 'acme', '_delta_log');
  const lines = readdirSync(dir)
    .filter((name) => /^\d{20}\.json$/.test(name))
    .sort()
    .flatMap((name) => readFileSync(join(dir, name), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line) as LogLine);
  return lines.findLast(({ metaData }) => metaData)?.metaData?.configuration ?? {};
}
const storedStart = () => Number(storedProperties()['indelible.firstSeq'] ?? 0);

/** Nothing is under way, every event that should be there is, and what was ordered was done or taken back, never both. */
async function expectSettled(): Promise<void> {
  expect(storedProperties()).toMatchObject({ 'delta.appendOnly': 'true' });
  expect(storedProperties()).not.toHaveProperty('indelible.retention');
  // Of a start of its own: nobody's memory counts.
  await lab.close(writer);
  writer = await lab.open();
  const events = await readAll(writer, 'acme');
  const start = storedStart();
  expect(events[0]?.seq).toBe(start);
  expect(chainFault([...before.slice(0, start), ...events])).toBeUndefined();
  const orders = events.filter(({ entity_type }) => entity_type === 'indelible.retention');
  const withdrawn = new Set(
    orders
      .filter(({ action }) => action === 'cancel')
      .map(({ metadata }) => (JSON.parse(metadata ?? '{}') as { withdrawn: string }).withdrawn),
  );
  for (const { action, event_id, new_value } of orders) {
    if (action !== 'delete') continue;
    const { first_seq } = JSON.parse(new_value ?? '{}') as { first_seq: number };
    expect(withdrawn.has(event_id)).toBe(first_seq > start);
  }
}

describe('a removal of one process and a hold of another', () => {
  let [remover, holder]: Process[] = [];
  let holds: Holds;
  beforeEach(async () => {
    [remover, holder] = [await Process.open('remover'), await Process.open('holder')];
    holds = new Holds();
  });

  it('the hold first: nothing is removed', async () => {
    await hold(holder as Process, holds);
    expect(await errorOf(remove(remover as Process, holds, 15))).toMatchObject({ kind: 'conflict' });
    expect(storedStart()).toBe(0);
    await expectSettled();
  });

  it('the removal first: the hold keeps the rest', async () => {
    expect(await remove(remover as Process, holds, 15)).toMatchObject({ removed: 15 });
    expect(await hold(holder as Process, holds)).toBe(15);
    expect(await errorOf(remove(remover as Process, holds, 20))).toMatchObject({ kind: 'conflict' });
    await expectSettled();
  });

  it.each([
    ['before the put of the commit that removes', false],
    ['while the answer to that put is lost', true],
  ])('the hold made %s', async (_, isLate) => {
    const { store } = remover as Process;
    const put = store.putIfAbsent.bind(store);
    let late = () => Promise.resolve('written' as 'written' | 'exists');
    let answered = -1;
    store.putIfAbsent = async (key, bytes) => {
      if (!Buffer.from(bytes).includes('"operation":"DELETE"')) return put(key, bytes);
      late = () => put(key, bytes);
      if (isLate) throw new Error('timed out');
      answered = await hold(holder as Process, holds);
      return late();
    };
    const error = await errorOf(remove(remover as Process, holds, 15));
    if (isLate) {
      answered = await hold(holder as Process, holds);
      expect(await late()).toBe('exists');
    } else {
      expect(error).toMatchObject({ kind: 'conflict' });
    }
    expect([answered, storedStart()]).toEqual([0, 0]);
    await resume(remover as Process, holds);
    await expectSettled();
  });

  /** Stops the remover before the event of its order is recorded, while a hold is made. */
  async function heldMeanwhile(then: () => void): Promise<Error & { kind?: string }> {
    const { store } = remover as Process;
    const [reached, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const putFile = store.putFile.bind(store);
    store.putFile = async (...args) => {
      store.putFile = putFile;
      reached.resolve();
      await goOn.promise;
      return putFile(...args);
    };
    const removal = errorOf(remove(remover as Process, holds, 15));
    await reached.promise;
    expect(await hold(holder as Process, holds)).toBe(0);
    then();
    goOn.resolve();
    return removal;
  }

  it('an order that was withdrawn is not carried out when the hold is gone', async () => {
    const error = await heldMeanwhile(() => {
      holds.stands = false;
    });
    expect(error).toMatchObject({ kind: 'conflict', message: expect.stringContaining('withdrawn') });
    expect(storedStart()).toBe(0);
    await expectSettled();
    // The next one is another order.
    expect(await remove(await Process.open('third'), holds, 15)).toMatchObject({ removed: 15 });
  });

  it('an order whose event comes after the withdrawal, from a process that ends then, is taken back too', async () => {
    const error = await heldMeanwhile(() => {
      holds.stands = false;
      const { store } = remover as Process;
      store.decide = (_, __, key) => (key.includes('/data/') ? 'not-applied' : undefined);
    });
    expect(String(error)).toContain('injected');
    await expectSettled();
    const orders = (await readAll(writer, 'acme')).filter(({ entity_type }) => entity_type === 'indelible.retention');
    expect(orders.map(({ action }) => action)).toEqual(['cancel', 'delete']);
  });
});

/** Stops a process at its first put of such a commit; `goOn` lets it put what it wanted to. */
function stopAt({ store }: Process, isWanted: (text: string) => boolean): { reached: Promise<void>; goOn(): void } {
  const [reached, goneOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const put = store.putIfAbsent.bind(store);
  store.putIfAbsent = async (key, bytes) => {
    if (isWanted(Buffer.from(bytes).toString())) {
      store.putIfAbsent = put;
      reached.resolve();
      await goneOn.promise;
    }
    return put(key, bytes);
  };
  return { reached: reached.promise, goOn: () => goneOn.resolve() };
}

describe('removals of two processes', () => {
  const notes = (text: string) => text.includes('SET TBLPROPERTIES') && text.includes('indelible.retention');
  const removes = (text: string) => text.includes('"operation":"DELETE"');
  const settles = (text: string) => text.includes('SET TBLPROPERTIES') && !text.includes('indelible.retention');

  it('the end of one does not take away the order of the next', async () => {
    const [first, second, holds] = [await Process.open('first'), await Process.open('second'), new Holds()];
    const settling = stopAt(first, settles);
    const one = remove(first, holds, 5);
    await settling.reached;
    const removing = stopAt(second, removes);
    const two = remove(second, holds, 15);
    await removing.reached;
    settling.goOn();
    expect(await one).toMatchObject({ first_seq: 5, removed: 5 });
    removing.goOn();
    expect(await two).toMatchObject({ first_seq: 15 });
    await expectSettled();
  });

  it('an order does not take the place of another that was noted first', async () => {
    const [first, second, holds] = [await Process.open('first'), await Process.open('second'), new Holds()];
    const noting = stopAt(first, notes);
    const one = errorOf(remove(first, holds, 5));
    await noting.reached;
    const removing = stopAt(second, removes);
    const two = remove(second, holds, 15);
    await removing.reached;
    noting.goOn();
    expect(await one).toMatchObject({ kind: 'unavailable', retryAfterS: 1 });
    removing.goOn();
    expect(await two).toMatchObject({ first_seq: 15, removed: 15 });
    await expectSettled();
  });

  it('the same order carried out by both is done once', async () => {
    const [first, second, holds] = [await Process.open('first'), await Process.open('second'), new Holds()];
    const removing = stopAt(first, removes);
    const one = remove(first, holds, 15);
    await removing.reached;
    await resume(second, holds);
    expect(storedStart()).toBe(15);
    removing.goOn();
    expect(await one).toMatchObject({ first_seq: 15, removed: 15 });
    await expectSettled();
    const orders = (await readAll(writer, 'acme')).filter(({ entity_type }) => entity_type === 'indelible.retention');
    expect(orders).toHaveLength(1);
  });
});

const step: fc.Arbitrary<Step> = fc.record({
  pick: fc.nat({ max: 3 }),
  fault: fc.oneof(
    { weight: 12, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom<StoreFault>('applied', 'not-applied') },
  ),
});
const steps = fc.array(step, { minLength: 40, maxLength: 160 });

/** Two processes at once, their calls of the store in this order, with these faults. */
async function race(order: readonly Step[], acts: readonly ((process: Process) => Promise<void>)[]): Promise<void> {
  const play = new Interleaving(order);
  const processes = [await Process.open('first'), await Process.open('second')];
  processes.forEach(({ store }, actor) => {
    play.join(actor, store, (key) => key.includes('/_delta_log/'));
  });
  await play.play(
    processes.map((process, index) => () => (acts[index] as (process: Process) => Promise<void>)(process)),
  );
}

/** Each run has a store of its own. */
async function again(): Promise<void> {
  await lab.dispose();
  await begin();
}

const isOneOf = (error: unknown, ...kinds: string[]) =>
  isInjected(error) || (error instanceof IndelibleError && kinds.includes(error.kind));

describe('at any interleaving, with lost answers and lost calls', () => {
  it('nothing is removed once a hold is answered for', { timeout: 120_000 }, async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(steps, fc.nat({ max: 40 }), fc.boolean(), async (order, turns, isReleased) => {
        await again();
        const holds = new Holds();
        let answered = -1;
        let outcome = 'removed';
        await race(order, [
          async (process) => {
            await remove(process, holds, 15).catch((error: unknown) => {
              if (!isOneOf(error, 'conflict', 'unavailable')) throw error;
              outcome = isInjected(error) ? 'failed' : 'refused';
            });
          },
          async (process) => {
            for (let turn = 0; turn < turns; turn++) await process.store.get('acme/_delta_log/none').catch(() => {});
            answered = await hold(process, holds);
            // What the hold withdrew stays withdrawn.
            if (isReleased && answered === 0) holds.stands = false;
          },
        ]);
        if (isReleased) expect(storedStart()).toBeGreaterThanOrEqual(answered);
        else expect(storedStart()).toBe(answered);
        if (outcome === 'removed') expect(storedStart()).toBe(15);
        seen.add(`${outcome} ${answered}`);
        await resume(await Process.open('later'), holds);
        if (!isReleased) expect(storedStart()).toBe(answered);
        await expectSettled();
      }),
      { numRuns: 25 },
    );
    // The race went more than one way.
    expect(seen.size).toBeGreaterThan(1);
  });

  it('of two removals each is carried out whole, or says that it was not', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (order) => {
        await again();
        const holds = new Holds();
        const done: number[] = [];
        const removing = (seq: number) => async (process: Process) => {
          await remove(process, holds, seq).then(
            ({ first_seq }) => done.push(first_seq),
            (error: unknown) => {
              if (!isOneOf(error, 'conflict', 'unavailable')) throw error;
            },
          );
        };
        await race(order, [removing(5), removing(15)]);
        await resume(await Process.open('later'), holds);
        expect(storedStart()).toBeGreaterThanOrEqual(Math.max(0, ...done));
        expect([0, 5, 15]).toContain(storedStart());
        await expectSettled();
      }),
      { numRuns: 15 },
    );
  });
});
