import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryStore, type Journals } from '../../journal/index.ts';
import { activity, ComplianceEvents, complianceRowOf, ProjectionRunner } from '../../projections/index.ts';
import { FaultyStore, type StoreFault } from '../support/faulty-store.ts';
import { COMMITTED, DURABLE, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';
import { firstOfEach, manualRunner, verdictEvent } from './projection-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

/** The table itself holds each row once, and what a reader sees is what the journal says. */
async function expectExact(journals: Journals, runner: ProjectionRunner): Promise<void> {
  const events = await readAll(journals, 'acme');
  const expected = firstOfEach(
    events.filter(({ entity_type }) => entity_type === 'indelible.verdict').map(complianceRowOf),
  );
  const { rows } = await new ComplianceEvents(runner).page('acme', { limit: 1000 });
  expect(rows.toReversed()).toEqual(expected);
  const counted = (await activity(runner, 'acme', {})).rows;
  expect(counted.reduce((sum, row) => sum + row.events, 0)).toBe(events.length);
  const view = await runner.table('acme', 'compliance_events').view();
  expect(view.files.reduce((sum, file) => sum + file.rows, 0)).toBe(
    expected.filter(({ seq }) => seq <= view.position).length,
  );
  view.release();
}

/** Every projection folded and tidied until it works, twice. */
async function untilFolded(runner: ProjectionRunner): Promise<void> {
  let folded = 0;
  for (let attempt = 0; attempt < 10 && folded < 2; attempt++) {
    await runner.catchUp('acme').then(
      () => {
        folded += 1;
      },
      () => {},
    );
  }
  expect(folded, 'it recovers').toBe(2);
}

const batch = (round: number) => [
  verdictEvent(`s${round}`),
  verdictEvent('s0', {}, `stray-${round}`),
  verdictEvent('unknown', { axiom: { event_id: `u${round}`, seq: round } }),
  ...drafts(`d${round}-`, 2),
];

async function scenario(journals: Journals, runner: ProjectionRunner, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await journals.append('acme', batch(round), COMMITTED);
    await untilFolded(runner);
  }
}

describe('folding while the store fails', () => {
  it.each(['not-applied', 'applied'] as StoreFault[])(
    'at every call in turn, %s: each row once',
    { timeout: 240_000 },
    async (fault) => {
      let calls = 1;
      for (let at = 0; at < calls; at += 1) {
        await lab.dispose();
        lab = new Lab();
        const store = new FaultyStore(new DirectoryStore(lab.storeDir));
        const journals = await lab.open({ store });
        await journals.append('acme', batch(0), COMMITTED);
        const runner = manualRunner(journals);
        const opened = store.calls.length;
        store.decide = (_call, index) => (index === opened + at ? fault : undefined);
        await untilFolded(runner);
        store.decide = () => undefined;
        calls = Math.max(calls, store.calls.length - opened - (at === 0 ? 1 : 0));
        if (at > 60) break;
        await journals.append('acme', batch(1), DURABLE);
        await expectExact(journals, runner);
        await runner.close();
        const again = manualRunner(journals);
        await expectExact(journals, again);
        await again.close();
      }
      expect(calls).toBeGreaterThan(10);
    },
  );

  it('merges small files, at random faults of both forms, and keeps every row', { timeout: 120_000 }, async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store });
    const runner = manualRunner(journals);
    for (let round = 0; round < 20; round++) {
      store.decide = () => undefined;
      await journals.append('acme', batch(round), COMMITTED);
      store.decide = () => ([undefined, undefined, undefined, 'applied', 'not-applied'] as const)[lab.random.below(5)];
      await runner.catchUp('acme').catch(() => {});
    }
    store.decide = () => undefined;
    await untilFolded(runner);
    await expectExact(journals, runner);
    for (const name of ['compliance_events', 'activity_daily']) {
      const view = await runner.table('acme', name).view();
      expect(view.files.length).toBeLessThan(9);
      view.release();
    }
    expect((await runner.rebuild('acme', 'compliance_events', { by: 'ann', force: false })).agreed).toBe(true);
    expect((await runner.rebuild('acme', 'activity_daily', { by: 'ann', force: false })).agreed).toBe(true);
    await runner.close();
  });

  it('a rebuild that fails at any call swaps wholly or not at all', { timeout: 240_000 }, async () => {
    for (const fault of ['not-applied', 'applied'] as const) {
      let isThrough = false;
      for (let at = 0; !isThrough; at++) {
        await lab.dispose();
        lab = new Lab();
        const store = new FaultyStore(new DirectoryStore(lab.storeDir));
        const journals = await lab.open({ store });
        const runner = manualRunner(journals);
        await scenario(journals, runner, 2);
        const before = store.calls.length;
        store.decide = (_call, index) => (index === before + at ? fault : undefined);
        const failed = await runner.rebuild('acme', 'compliance_events', { by: 'ann', force: false }).then(
          () => false,
          () => true,
        );
        isThrough = store.calls.length <= before + at;
        store.decide = () => undefined;
        await journals.append('acme', batch(9), COMMITTED);
        await untilFolded(runner);
        await expectExact(journals, runner);
        const { version } = runner.table('acme', 'compliance_events');
        if (!failed) expect(version).toBe(2);
        await runner.close();
      }
    }
  });

  it('two runners of one store never fold the same events twice', async () => {
    const journals = await lab.open();
    const runners = [manualRunner(journals), manualRunner(journals)] as const;
    for (let round = 0; round < 6; round++) {
      await journals.append('acme', batch(round), COMMITTED);
      await Promise.all(runners.map((runner) => runner.catchUp('acme')));
    }
    for (const runner of runners) await expectExact(journals, runner);
    for (const runner of runners) await runner.close();
  });

  it('a fold that another process overtook, and its own table heard of it, adds nothing twice', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store });
    const [runner, other] = [manualRunner(journals), manualRunner(journals)];
    await scenario(journals, runner, 1);
    await journals.append('acme', batch(1), COMMITTED);
    const putFile = store.putFile.bind(store);
    let overtaken = 0;
    store.putFile = async (key, localPath) => {
      store.putFile = putFile;
      overtaken += 1;
      await other.catchUp('acme');
      await runner.table('acme', 'compliance_events').tidy();
      return putFile(key, localPath);
    };
    await untilFolded(runner);
    expect(overtaken).toBe(1);
    await expectExact(journals, runner);
    for (const each of [runner, other]) await each.close();
  });

  it('a reader is told that the projection is behind while the store is away, and is answered when it is back', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store });
    const runner = manualRunner(journals);
    await scenario(journals, runner, 1);
    await journals.append('acme', batch(1), COMMITTED);
    store.decide = () => 'not-applied';
    const page = () => new ComplianceEvents(runner).page('acme', { limit: 10 });
    expect(await errorOf(page())).toMatchObject({ kind: 'unavailable' });
    store.decide = () => undefined;
    expect((await page()).rows).toHaveLength(4);
    await runner.close();
  });

  it('the automatic runner folds what is committed, tells of failures, and tries again by itself', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store });
    await journals.append('acme', batch(0), COMMITTED);
    let failures = 0;
    const reached = Promise.withResolvers<void>();
    const runner: ProjectionRunner = new ProjectionRunner({
      ...{ journals, isAutomatic: true, graceMs: 3_600_000, retryMs: 1 },
      observer: {
        foldFailed: () => {
          failures += 1;
        },
        folded: ({ projection, events }) => {
          if (projection === 'activity_daily' && events > 0 && runner.table('acme', projection).position >= 9)
            reached.resolve();
        },
      },
    });
    store.decide = (call, _index, key) =>
      call === 'putFile' && key.includes('_projections') && failures < 3 ? 'not-applied' : undefined;
    await journals.append('acme', batch(1), COMMITTED);
    await reached.promise;
    expect(failures).toBeGreaterThan(0);
    await expectExact(journals, runner);
    await runner.close();
  });
});
