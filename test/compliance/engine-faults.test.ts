import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DirectoryStore, type Journals } from '../../journal/index.ts';
import type { Model } from '../../src/judging/index.ts';
import { hang } from '../judging/scripted-ports.ts';
import { FaultyDisk } from '../support/faulty-disk.ts';
import { FaultyStore } from '../support/faulty-store.ts';
import { draft, drafts, DURABLE, errorOf, Lab } from '../support/journal-lab.ts';
import { countBySource, engineOf, type Heard, idle, manySignals, send, signals, verdicts } from './judging-lab.ts';

let lab: Lab;
let engines: Heard[];
beforeEach(() => {
  lab = new Lab();
  engines = [];
});
afterEach(async () => {
  for (const { engine } of engines) await engine.stop();
  await lab.dispose();
});

async function engine(journals: Journals, changed: Parameters<typeof engineOf>[2] = {}): Promise<Heard> {
  const heard = await engineOf(lab, journals, changed);
  engines.push(heard);
  return heard;
}

/** A model that answers nobody before it is let go. */
class SlowModel implements Model {
  readonly driver = 'slow';
  readonly name = 'slow-1';
  asked = 0;
  underWay = 0;
  underWayMax = 0;
  readonly #go = Promise.withResolvers<void>();

  async answer(_prompt: unknown, signal: AbortSignal): Promise<{ riskLevel: 'high'; narrative: string }> {
    this.asked += 1;
    this.underWay += 1;
    this.underWayMax = Math.max(this.underWayMax, this.underWay);
    await Promise.race([this.#go.promise, hang(signal)]).finally(() => {
      this.underWay -= 1;
    });
    return { riskLevel: 'high', narrative: 'Slowly.' };
  }

  release(): void {
    this.#go.resolve();
  }
}

const withModel = (model: Model) => ({ ai: async () => ({ model, embedder: undefined }) });
/** Flagged signals none of which is like another. */
const unalike = (prefix: string, count: number) =>
  signals(
    ...Array.from({ length: count }, (_, i) => ({
      source_id: `${prefix}${i}`,
      anomaly_score: 0.9,
      entity_id: `${prefix}${(i * 2654435761) % 4294967296}`,
      status: `state ${i}`,
    })),
  );

describe('a model that does not answer', () => {
  it('holds up neither the intake nor signals below the threshold', async () => {
    const journals = await lab.open();
    const model = new SlowModel();
    const heard = await engine(journals, withModel(model));
    await send(journals, [...unalike('high', 40), ...manySignals('low', 500)], heard);
    await vi.waitFor(async () => expect(await verdicts(journals)).toHaveLength(500));
    await send(journals, manySignals('later', 500), heard);
    await vi.waitFor(async () => expect(await verdicts(journals)).toHaveLength(1_000));
    expect(model.underWayMax).toBe(8);
    expect(heard.engine.queue('acme')).toMatchObject({ signals: 40, oldestAt: expect.any(String) });
    expect(heard.engine.signalsWaiting).toBe(40);
    model.release();
    await idle(heard);
    expect((await verdicts(journals)).filter(({ driver }) => driver === 'slow')).toHaveLength(40);
  });

  it('leaves what waits beyond ten thousand in the journal, and takes it up afterwards', async () => {
    const journals = await lab.open();
    const model = new SlowModel();
    const heard = await engine(journals, withModel(model));
    for (const prefix of ['high', 'higher']) await send(journals, manySignals(prefix, 6_000, 0.9), heard);
    await vi.waitFor(() => expect(heard.engine.queue('acme').signals).toBeGreaterThan(10_000));
    await send(journals, manySignals('low', 10), heard);
    const { signals: taken, unreadSeqs } = heard.engine.queue('acme');
    expect(taken).toBeLessThanOrEqual(10_000 + 256 + 8);
    expect(unreadSeqs).toBeGreaterThan(1_000);
    model.release();
    await idle(heard, 60_000);
    const all = await verdicts(journals);
    expect(countBySource(all).size).toBe(12_010);
    expect(all).toHaveLength(12_010);
    // All of them are alike.
    expect(model.asked).toBe(1);
  }, 90_000);

  it('is let go of by a stop; after the next start its signals are judged, and none twice', async () => {
    const journals = await lab.open();
    const model = new SlowModel();
    const heard = await engine(journals, withModel(model));
    await send(journals, [...unalike('high', 20), ...manySignals('low', 100)], heard);
    await vi.waitFor(async () => expect(await verdicts(journals)).toHaveLength(100));
    await heard.engine.stop();
    expect(model.underWay).toBe(0);
    expect(await verdicts(journals)).toHaveLength(100);
    const again = await engine(journals);
    await again.engine.resume();
    await idle(again);
    expect(again.judged).toHaveLength(20);
    expect(again.repeated).toHaveLength(100);
    expect([heard.failures, heard.faults, again.failures]).toEqual([[], [], []]);
  });

  it('is asked once about a source, however many signals of it come meanwhile', async () => {
    const journals = await lab.open();
    const model = new SlowModel();
    const heard = await engine(journals, withModel(model));
    const same = [1, 100, 10_000].map((metric_value) => ({ source_id: 's', anomaly_score: 0.9, metric_value }));
    await send(journals, signals(...same.slice(0, 2)), heard);
    await vi.waitFor(() => expect(model.asked).toBe(1));
    await send(journals, signals(...same.slice(2)), heard);
    await vi.waitFor(() => expect(heard.repeated).toEqual(['s', 's']));
    model.release();
    await idle(heard);
    expect([model.asked, (await verdicts(journals)).map(({ metric_value }) => metric_value)]).toEqual([1, [1]]);
  });

  it('is asked once for signals alike, one after another', async () => {
    const journals = await lab.open();
    const model = new SlowModel();
    const heard = await engine(journals, withModel(model));
    await send(journals, manySignals('alike', 30, 0.9), heard);
    await vi.waitFor(() => expect(model.asked).toBe(1));
    model.release();
    await idle(heard);
    const all = await verdicts(journals);
    const [first, ...others] = all;
    expect(first?.tier).toBe('model');
    expect(new Set(others.map(({ tier, cached_from }) => `${tier} ${cached_from}`))).toEqual(
      new Set([`cache ${first?.event.event_id}`]),
    );
    expect(heard.engine.cachedVerdicts('acme')).toBe(1);
  });
});

describe('a disk that fails', () => {
  it('delays verdicts; none is lost, and none is there twice', async () => {
    const disk = new FaultyDisk();
    const journals = await lab.open({ disk });
    const heard = await engine(journals);
    await send(journals, manySignals('a', 300));
    // The signals are durable: the next writes are those of verdicts.
    let failures = 0;
    disk.decide = (call) => (call === 'append' && failures++ < 3 ? 'partial' : undefined);
    heard.engine.wake('acme');
    await idle(heard);
    expect(failures).toBeGreaterThan(3);
    expect(heard.failures.length).toBeGreaterThan(0);
    expect(countBySource(await verdicts(journals)).size).toBe(300);
    expect(await verdicts(journals)).toHaveLength(300);
  });
});

describe('a stop while verdicts are being recorded', () => {
  it('waits for them, and keeps how far they go', async () => {
    const disk = new FaultyDisk();
    const journals = await lab.open({ disk });
    const heard = await engine(journals);
    await send(journals, [...manySignals('low', 5), ...manySignals('high', 1, 0.9)]);
    const reached = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    disk.pause = (call) => {
      if (call !== 'append') return undefined;
      reached.resolve();
      return gate.promise;
    };
    heard.engine.wake('acme');
    await reached.promise;
    let hasStopped = false;
    const stopping = heard.engine.stop().then(() => {
      hasStopped = true;
    });
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(hasStopped).toBe(false);
    gate.resolve();
    await stopping;
    const given = (await verdicts(journals)).map(({ source_id }) => source_id);
    expect(given.slice(0, 5)).toEqual(['low0', 'low1', 'low2', 'low3', 'low4']);
    const again = await engine(journals);
    await again.engine.resume();
    await idle(again);
    // The position stands just before what was not judged yet.
    expect(again.repeated).toEqual([]);
    expect(countBySource(await verdicts(journals)).size).toBe(6);
    expect([heard.failures, heard.faults]).toEqual([[], []]);
  });
});

describe('a store that is away', () => {
  it('and a log that is full for it: verdicts wait, and are recorded once it is back', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store, walBytesMax: 40_000, flushBytes: 8_000 });
    const heard = await engine(journals);
    await send(journals, manySignals('a', 20));
    store.decide = (call) => (call === 'putFile' || call === 'putIfAbsent' ? 'not-applied' : undefined);
    for (let at = 0; ; at++) {
      const filled = await journals.append('acme', drafts(`fill${at}-`, 20), DURABLE).catch((error: unknown) => error);
      if (filled instanceof Error) break;
    }
    heard.engine.wake('acme');
    await vi.waitFor(() => expect(heard.failures).not.toEqual([]));
    expect(heard.failures[0]).toMatchObject({ kind: 'unavailable' });
    expect(heard.judged).toEqual([]);
    store.decide = () => undefined;
    await idle(heard);
    expect(await verdicts(journals)).toHaveLength(20);
  }, 30_000);

  /** A store of which only copies can be read, as one in the network. */
  class RemoteStore extends FaultyStore {
    override pathOf(): undefined {
      return undefined;
    }
  }

  async function committed(count: number, verdictsToo: boolean): Promise<void> {
    const journals = await lab.open();
    const heard = await engine(journals);
    await send(journals, manySignals('a', count), ...(verdictsToo ? [heard] : []));
    if (verdictsToo) {
      await send(journals, signals({ source_id: 'high', anomaly_score: 0.9 }), heard);
      await idle(heard);
      await heard.engine.stop();
      await send(journals, manySignals('b', count));
    }
    await journals.flush();
    await lab.close(journals);
  }

  it('when committed signals are to be read: they are read when it is back, with nobody to wake the engine', async () => {
    await committed(50, false);
    const store = new RemoteStore(new DirectoryStore(lab.storeDir));
    const cold = await lab.open({ store, dataDir: join(lab.dir, 'new'), takeOver: true, cacheBytesMax: 0 });
    // The journal is open when the store goes away, and no file of it is kept.
    (await cold.snapshot('acme')).release();
    store.decide = (call) => (call === 'download' ? 'not-applied' : undefined);
    const away = await engine(cold, { dir: join(lab.dir, 'new', 'compliance') });
    await away.engine.resume();
    await vi.waitFor(() => expect(away.failures.length).toBeGreaterThan(1), 10_000);
    expect(away.judged).toEqual([]);
    store.decide = () => undefined;
    await vi.waitFor(() => expect(away.judged).toHaveLength(50), 15_000);
    expect(away.engine.queue('acme')).toMatchObject({ signals: 0 });
  }, 30_000);

  it('when the index is to be made again: the workspace is opened when it is back, with nobody to wake it', async () => {
    await committed(50, true);
    const store = new RemoteStore(new DirectoryStore(lab.storeDir));
    store.decide = (call) => (call === 'download' ? 'not-applied' : undefined);
    const cold = await lab.open({ store, dataDir: join(lab.dir, 'new'), takeOver: true });
    const away = await engine(cold, { dir: join(lab.dir, 'new', 'compliance') });
    await away.engine.resume();
    expect(away.failures.length).toBe(1);
    store.decide = () => undefined;
    await vi.waitFor(() => expect(away.judged).toHaveLength(50), 15_000);
    expect(away.engine.cachedVerdicts('acme')).toBe(1);
  }, 30_000);
});

describe('a journal that another writer has taken', () => {
  it('is told of once, and nothing more is judged there', async () => {
    const journals = await lab.open();
    const heard = await engine(journals);
    await send(journals, manySignals('a', 2_000));
    await journals.flush();
    const other = await lab.open({ dataDir: join(lab.dir, 'other'), takeOver: true });
    await other.append('acme', [draft({ event_id: 'theirs' })], { ack: 'committed', create: true });
    await send(journals, manySignals('b', 2_000));
    expect(await errorOf(journals.flush())).toMatchObject({ kind: 'fenced' });
    heard.engine.wake('acme');
    await vi.waitFor(() => expect(heard.failures).not.toEqual([]));
    heard.engine.wake('acme');
    await heard.engine.stop();
    expect(heard.failures).toMatchObject([{ kind: 'fenced' }]);
    expect(heard.judged).toEqual([]);
    const theirs = await engine(other, { dir: join(lab.dir, 'other', 'compliance') });
    await theirs.engine.resume();
    await idle(theirs);
    expect(theirs.judged).toHaveLength(2_000);
  }, 30_000);
});

describe('the keys of models', () => {
  it('that cannot be read now: the rules answer, for now, and their verdicts are not reused', async () => {
    const journals = await lab.open();
    let isAway = true;
    const model = new SlowModel();
    model.release();
    const heard = await engine(journals, {
      ai: async () => {
        if (isAway) throw new Error('the store is away');
        return { model, embedder: undefined };
      },
    });
    await send(journals, manySignals('a', 3, 0.9), heard);
    await idle(heard);
    isAway = false;
    await send(journals, manySignals('b', 2, 0.9), heard);
    await idle(heard);
    const all = await verdicts(journals);
    expect(all.map(({ tier, failures }) => [tier, failures?.map(({ cause }) => cause)])).toEqual([
      ['rules', ['unreachable']],
      ['rules', ['unreachable']],
      ['rules', ['unreachable']],
      ['model', undefined],
      ['cache', undefined],
    ]);
    expect(heard.faults).toHaveLength(3);
  });
});
