import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Journals } from '../../journal/index.ts';
import { type DiskCall, type DiskFault, FaultyDisk } from '../support/faulty-disk.ts';
import { chainFault, DURABLE, draft, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';

let lab: Lab;
let disk: FaultyDisk;
beforeEach(() => {
  lab = new Lab();
  disk = new FaultyDisk();
});
afterEach(() => lab.dispose());

const ids = async (journals: Journals, workspace = 'acme') =>
  (await readAll(journals, workspace)).map((event) => event.event_id);

/** Everything acknowledged is there, once, in a chain that holds; now, sealed, and after a restart. */
async function expectWhole(journals: Journals, expected: readonly string[]): Promise<void> {
  expect(await ids(journals)).toEqual(expected);
  await lab.close(journals);
  const again = await lab.open();
  const events = await readAll(again, 'acme');
  expect(chainFault(events)).toBeUndefined();
  expect(events.map((event) => event.event_id)).toEqual(expected);
}

describe('a write that fails', () => {
  const faults: [DiskCall, DiskFault][] = [
    ['create', 'not-applied'],
    ['create', 'applied'],
    ['append', 'not-applied'],
    ['append', 'partial'],
    ['append', 'applied'],
  ];

  it.each(faults)('%s %s at the first group: refused, and the retry is whole', async (call, fault) => {
    const journals = await lab.open({ disk });
    disk.failOnce(call, fault);
    const error = await errorOf(journals.append('acme', drafts('a', 3), DURABLE));
    expect(error).toMatchObject({ kind: 'unavailable', retryAfterS: 5 });
    const result = await journals.append('acme', drafts('a', 3), DURABLE);
    expect(result).toMatchObject({ count: 3, duplicates: 0, first_seq: 0, last_seq: 2 });
    await expectWhole(journals, ['a0', 'a1', 'a2']);
  });

  it.each(faults.slice(2))('%s %s at a later group: the chain goes on from the durable head', async (call, fault) => {
    const journals = await lab.open({ disk });
    const first = await journals.append('acme', drafts('a', 2), DURABLE);
    disk.failOnce(call, fault);
    expect(await errorOf(journals.append('acme', drafts('b', 2), DURABLE))).toMatchObject({ kind: 'unavailable' });
    expect(await journals.find('acme', 'b0')).toBeUndefined();
    const third = await journals.append('acme', drafts('c', 2), DURABLE);
    expect(third).toMatchObject({ count: 2, first_seq: 2 });
    const retried = await journals.append('acme', drafts('b', 2), DURABLE);
    expect(retried).toMatchObject({ count: 2, duplicates: 0, first_seq: 4 });
    const repeated = await journals.append('acme', drafts('a', 2), DURABLE);
    expect(repeated.receipts).toEqual(first.receipts);
    await expectWhole(journals, ['a0', 'a1', 'c0', 'c1', 'b0', 'b1']);
  });

  it('frees the ids of its events for other content', async () => {
    const journals = await lab.open({ disk });
    disk.failOnce('append', 'not-applied');
    await errorOf(journals.append('acme', [draft({ event_id: 'x', new_value: '1' })], DURABLE));
    const result = await journals.append('acme', [draft({ event_id: 'x', new_value: '2' })], DURABLE);
    expect(result).toMatchObject({ count: 1, first_seq: 0 });
  });

  it('takes with it what was assembled behind it, in every workspace', async () => {
    const journals = await lab.open({ disk });
    await journals.append('acme', drafts('a', 1), DURABLE);
    await journals.append('other', drafts('o', 1), DURABLE);
    const held = holdAt('append');
    disk.failOnce('append', 'partial');
    const writing = errorOf(journals.append('acme', drafts('b', 1), DURABLE));
    await held.reached;
    const behind = [errorOf(journals.append('acme', drafts('c', 1), DURABLE))];
    behind.push(errorOf(journals.append('other', drafts('p', 1), DURABLE)));
    await turn();
    held.release();
    expect(await writing).toMatchObject({ kind: 'unavailable' });
    for (const error of await Promise.all(behind)) expect(error).toMatchObject({ kind: 'unavailable' });
    await journals.append('other', drafts('p', 1), DURABLE);
    expect(await ids(journals, 'other')).toEqual(['o0', 'p0']);
    await expectWhole(journals, ['a0']);
  });
});

describe('while a failed write is undone', () => {
  it('a repeat of the failed event is not acknowledged', async () => {
    const journals = await lab.open({ disk });
    await journals.append('acme', drafts('a', 1), DURABLE);
    const held = holdAt('truncate');
    disk.failOnce('append', 'not-applied');
    const failed = errorOf(journals.append('acme', drafts('b', 1), DURABLE));
    await held.reached;
    const repeat = errorOf(journals.append('acme', drafts('b', 1), DURABLE));
    await turn();
    held.release();
    expect(await failed).toMatchObject({ kind: 'unavailable' });
    expect(await repeat).toMatchObject({ kind: 'unavailable' });
    await expectWhole(journals, ['a0']);
  });

  it('a new event is refused too, and can be sent again', async () => {
    const journals = await lab.open({ disk });
    await journals.append('acme', drafts('a', 1), DURABLE);
    const held = holdAt('truncate');
    disk.failOnce('append', 'not-applied');
    const failed = errorOf(journals.append('acme', drafts('b', 1), DURABLE));
    await held.reached;
    const late = errorOf(journals.append('acme', drafts('c', 1), DURABLE));
    await turn();
    held.release();
    expect((await Promise.all([failed, late])).map((error) => error.kind)).toEqual(['unavailable', 'unavailable']);
    expect(await journals.append('acme', drafts('c', 1), DURABLE)).toMatchObject({ first_seq: 1 });
    await expectWhole(journals, ['a0', 'c0']);
  });

  it('a flush seals what was durable before', async () => {
    const journals = await lab.open({ disk });
    await journals.append('acme', drafts('a', 2), DURABLE);
    const held = holdAt('append');
    disk.failOnce('append', 'not-applied');
    const failed = errorOf(journals.append('acme', drafts('b', 1), DURABLE));
    await held.reached;
    const behind = errorOf(journals.append('acme', drafts('c', 1), DURABLE));
    await turn();
    const flushed = journals.flush();
    await turn();
    held.release();
    await Promise.all([failed, behind]);
    expect(await flushed).toEqual({ events: 2 });
    expect(await journals.stats('acme')).toMatchObject({ buffered_events: 0, committed_seq: 1 });
    await expectWhole(journals, ['a0', 'a1']);
  });
});

describe('a sync that fails', () => {
  it.each(['not-applied', 'applied'] as const)('%s: appends stop until a restart, reads go on', async (fault) => {
    const journals = await lab.open({ disk });
    await journals.append('acme', drafts('a', 2), DURABLE);
    disk.failOnce('sync', fault);
    expect(await errorOf(journals.append('acme', drafts('b', 1), DURABLE))).toMatchObject({ kind: 'unavailable' });
    expect(await errorOf(journals.append('acme', drafts('c', 1), DURABLE))).toMatchObject({ retryAfterS: 60 });
    expect(await ids(journals)).toEqual(['a0', 'a1']);
    await lab.close(journals);
    const again = await lab.open();
    await again.append('acme', drafts('b', 1), DURABLE);
    await expectWhole(again, ['a0', 'a1', 'b0']);
  });
});

describe('a cut that fails', () => {
  it.each(['not-applied', 'applied'] as const)('%s: appends stop until a restart', async (fault) => {
    const journals = await lab.open({ disk });
    await journals.append('acme', drafts('a', 2), DURABLE);
    disk.decide = (call) => (call === 'append' ? 'partial' : call === 'truncate' ? fault : undefined);
    expect(await errorOf(journals.append('acme', drafts('b', 5), DURABLE))).toMatchObject({ kind: 'unavailable' });
    disk.decide = () => undefined;
    expect(await errorOf(journals.append('acme', drafts('c', 1), DURABLE))).toMatchObject({ kind: 'unavailable' });
    expect(await ids(journals)).toEqual(['a0', 'a1']);
    await lab.close(journals);
    const again = await lab.open();
    // Whole lines of the failed write may have reached the disk: they were never acknowledged, and may be there.
    const kept = await ids(again);
    expect(kept.slice(0, 2)).toEqual(['a0', 'a1']);
    await again.append('acme', drafts('b', 5), DURABLE);
    const after = await ids(again);
    expect([...after].sort()).toEqual(['a0', 'a1', 'b0', 'b1', 'b2', 'b3', 'b4']);
    await expectWhole(again, after);
  });
});

describe('a close that fails', () => {
  it.each(['not-applied', 'applied'] as const)('%s: what was synced is sealed all the same', async (fault) => {
    const journals = await lab.open({ disk });
    await journals.append('acme', drafts('a', 2), DURABLE);
    disk.failOnce('close', fault);
    expect(await journals.flush()).toEqual({ events: 2 });
    await journals.append('acme', drafts('b', 1), DURABLE);
    expect(await journals.flush()).toEqual({ events: 1 });
    await expectWhole(journals, ['a0', 'a1', 'b0']);
  });

  it('does not keep the next group from its file', async () => {
    const journals = await lab.open({ disk, flushEvents: 2 });
    disk.failOnce('close', 'applied');
    for (const prefix of ['a', 'b', 'c']) await journals.append('acme', drafts(prefix, 2), DURABLE);
    await expectWhole(journals, ['a0', 'a1', 'b0', 'b1', 'c0', 'c1']);
  });
});

describe('group commit', () => {
  it('shares one sync between appends that arrive while another is under way', async () => {
    const journals = await lab.open({ disk });
    await journals.append('acme', drafts('warm', 1), DURABLE);
    const held = holdAt('sync');
    const first = journals.append('acme', drafts('a', 1), DURABLE);
    await held.reached;
    const before = disk.calls.length;
    const behind = Array.from({ length: 20 }, (_, i) => journals.append('acme', drafts(`b${i}-`, 1), DURABLE));
    let acknowledged = 0;
    for (const append of [first, ...behind]) void append.then(() => acknowledged++);
    await turn();
    expect(acknowledged).toBe(0);
    expect((await journals.stats('acme')).durable_seq).toBe(0);
    expect(await journals.find('acme', 'a0')).toBeUndefined();
    expect(await ids(journals)).toEqual(['warm0']);
    held.release();
    await Promise.all([first, ...behind]);
    expect(disk.calls.slice(before)).toEqual(['append', 'sync']);
    await expectWhole(journals, ['warm0', 'a0', ...behind.map((_, i) => `b${i}-0`)]);
  });

  it('tells of a head that is durable, also to a request that repeats old events', async () => {
    const journals = await lab.open({ disk });
    const { head_hash } = await journals.append('acme', drafts('a', 1), DURABLE);
    const held = holdAt('append');
    disk.failOnce('append', 'not-applied');
    const failed = errorOf(journals.append('acme', drafts('b', 1), DURABLE));
    await held.reached;
    expect(await journals.append('acme', drafts('a', 1), DURABLE)).toMatchObject({ duplicates: 1, head_hash });
    held.release();
    await failed;
  });

  it('makes no workspace of a first append that failed', async () => {
    disk.failOnce('create', 'not-applied');
    const journals = await lab.open({ disk });
    expect(await errorOf(journals.append('acme', drafts('a', 1), DURABLE))).toMatchObject({ kind: 'unavailable' });
    expect(journals.has('acme')).toBe(false);
    const refused = await errorOf(journals.append('acme', drafts('a', 1), { ack: 'durable', create: false }));
    expect(refused).toMatchObject({ kind: 'not-found' });
  });
});

/** Holds the disk at the next call of this kind until it is released. */
function holdAt(kind: DiskCall): { reached: Promise<void>; release: () => void } {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  disk.pause = (call) => {
    if (call !== kind) return undefined;
    disk.pause = () => undefined;
    reached.resolve();
    return released.promise;
  };
  return { reached: reached.promise, release: () => released.resolve() };
}

/** Lets everything run that does not wait for the disk. */
async function turn(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}
