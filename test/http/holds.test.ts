import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DirectoryStore } from '../../journal/index.ts';
import { Retention } from '../../src/retention.ts';
import { FaultyStore } from '../support/faulty-store.ts';
import { COMMITTED, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

const OLGA = { keyId: 'k', name: 'olga', role: 'operator', workspace: null } as const;
const remove = (retention: Retention, seq: number) =>
  retention.remove('acme', { cut: { seq }, reason: 'ten years', isDryRun: false }, OLGA);

test('a hold is not answered for while a commit that removes is on its way', async () => {
  const store = new FaultyStore(new DirectoryStore(lab.storeDir));
  const journals = await lab.open({ store });
  await journals.append('acme', drafts('a', 20), COMMITTED);
  const retention = await Retention.open(journals, async () => {});
  const [reached, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const put = store.putIfAbsent.bind(store);
  store.putIfAbsent = async (key, bytes) => {
    if (Buffer.from(bytes).includes('"operation":"DELETE"')) {
      reached.resolve();
      await goOn.promise;
    }
    return put(key, bytes);
  };
  const happened: string[] = [];
  const removal = remove(retention, 5);
  await reached.promise;
  const hold = retention.addHold('acme', { name: 'h', reason: 'x' }, OLGA).then(() => happened.push('hold'));
  while (retention.holds('acme').length === 0) await turn();
  for (let turns = 0; turns < 20; turns++) await turn();
  happened.push('the commit goes on');
  goOn.resolve();
  expect(await removal).toMatchObject({ removed: 5 });
  await hold;
  expect(happened).toEqual(['the commit goes on', 'hold']);
  expect(await errorOf(remove(retention, 9))).toMatchObject({ kind: 'conflict' });
  const again = await Retention.open(journals, async () => {});
  expect(again.holds('acme')).toEqual(retention.holds('acme'));
});

test.each([false, true])('a commit whose answer was lost: landed before the hold is %s', async (isLanded) => {
  const store = new FaultyStore(new DirectoryStore(lab.storeDir));
  const journals = await lab.open({ store });
  await journals.append('acme', drafts('a', 20), COMMITTED);
  const retention = await Retention.open(journals, async () => {});
  const put = store.putIfAbsent.bind(store);
  let late: () => Promise<'written' | 'exists'> = () => Promise.reject(new Error('nothing was removed'));
  store.putIfAbsent = (key, bytes) => {
    if (!Buffer.from(bytes).includes('"operation":"DELETE"')) return put(key, bytes);
    late = () => put(key, bytes);
    return Promise.reject(new Error('timed out'));
  };
  await expect(remove(retention, 5)).rejects.toThrow('timed out');
  if (isLanded) expect(await late()).toBe('written');
  await retention.addHold('acme', { name: 'h', reason: 'x' }, OLGA);
  expect(await late()).toBe('exists');
  expect(await journals.stats('acme')).toMatchObject({ first_seq: isLanded ? 5 : 0 });
  const orders = (await readAll(journals, 'acme')).filter(({ entity_type }) => entity_type === 'indelible.retention');
  expect(orders.map(({ action }) => action)).toEqual(isLanded ? ['delete'] : ['delete', 'cancel']);
  await retention.releaseHold('acme', 'h', OLGA);
  await retention.resume('acme');
  expect(await journals.stats('acme')).toMatchObject({ first_seq: isLanded ? 5 : 0 });
});

test('projections have what is committed before any of it is removed, or nothing is', async () => {
  const journals = await lab.open({});
  await journals.append('acme', drafts('a', 20), COMMITTED);
  const firstSeqs: number[] = [];
  let isAway = true;
  const retention = await Retention.open(journals, async (workspace) => {
    if (isAway) throw new Error('the fold failed');
    firstSeqs.push((await journals.stats(workspace)).first_seq);
  });
  await expect(remove(retention, 5)).rejects.toThrow('the fold failed');
  expect(await journals.stats('acme')).toMatchObject({ first_seq: 0 });
  isAway = false;
  expect(await remove(retention, 5)).toMatchObject({ removed: 5 });
  expect(firstSeqs.length).toBeGreaterThan(0);
  expect(new Set(firstSeqs)).toEqual(new Set([0]));
});
