import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { IdIndex } from '../../journal/id-index.ts';
import { DirectoryStore, type DraftEvent, type Journals } from '../../journal/index.ts';
import { FaultyStore } from '../support/faulty-store.ts';
import { COMMITTED, chainFault, DURABLE, draft, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';

let lab: Lab;
let store: FaultyStore;
let journals: Journals;
beforeEach(async () => {
  lab = new Lab();
  store = new FaultyStore(new DirectoryStore(lab.storeDir));
  journals = await lab.open({ store });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await lab.dispose();
});

const moments: [string, () => Promise<void>][] = [
  ['while it waits in the tail', async () => {}],
  ['once it is sealed', async () => void (await journals.flush())],
  ['after a restart, unsealed', async () => reopen('crash')],
  ['after a restart, sealed', async () => reopen('close')],
  [
    'long after, behind other segments',
    async () => {
      for (let i = 0; i < 4; i++) {
        await journals.append('acme', drafts(`later${i}-`, 3), DURABLE);
        await journals.flush();
      }
      await reopen('close');
    },
  ],
];

async function reopen(how: 'close' | 'crash'): Promise<void> {
  // A store that takes nothing leaves it all in the log, as a crash would.
  if (how === 'crash') store.decide = () => 'not-applied';
  await lab.close(journals);
  store.decide = () => undefined;
  journals = await lab.open({ store });
}

const full = (changes: Partial<DraftEvent> = {}) =>
  draft({
    event_id: 'x',
    occurred_at: '2026-01-02T03:04:05.000001Z',
    old_value: '{"a":1.10}',
    new_value: 'null',
    actor_type: 'user',
    source: 'api',
    correlation_id: 'c',
    metadata: '[12345678901234567890]',
    ...changes,
  });

describe('sending an event again', () => {
  it.each(moments)('%s: the same content gets its first receipt', async (_, passes) => {
    const { receipts, head_hash } = await journals.append('acme', [full(), ...drafts('a', 3)], DURABLE);
    await passes();
    lab.clock.ms += 86_400_000;
    const again = await journals.append('acme', [full(), ...drafts('a', 3)], DURABLE);
    expect(again).toMatchObject({ count: 0, duplicates: 4, first_seq: null, last_seq: null });
    expect(again.receipts).toEqual(receipts);
    if ((await readAll(journals, 'acme')).length === 4) expect(again.head_hash).toBe(head_hash);
    const committed = await journals.append('acme', [full()], COMMITTED);
    expect(committed.receipts).toEqual([{ ...receipts[0], ack: 'committed' }]);
    expect(await journals.stats('acme')).toMatchObject({ buffered_events: 0 });
    expect(chainFault(await readAll(journals, 'acme'))).toBeUndefined();
  });

  const changes: Partial<DraftEvent>[] = [
    { occurred_at: '2026-01-02T03:04:05.000002Z' },
    { occurred_at: null },
    { entity_type: 'x' },
    { entity_id: 'b' },
    { field: 'f' },
    { action: 'insert' },
    { old_value: null },
    { old_value: '{"a":1.1}' },
    { new_value: null },
    { new_value: '"null"' },
    { actor: 'eve' },
    { actor_type: null },
    { source: 'cli' },
    { correlation_id: 'd' },
    { metadata: '[12345678901234567891]' },
  ];

  it.each(moments)('%s: any other content is a conflict, and nothing of the request is recorded', async (_, passes) => {
    await journals.append('acme', [full()], DURABLE);
    await passes();
    const before = (await journals.stats('acme')).total_events;
    for (const change of changes) {
      const error = await errorOf(journals.append('acme', [...drafts('new', 2), full(change)], DURABLE));
      expect(error, JSON.stringify(change)).toMatchObject({
        kind: 'conflict',
        errors: [{ pointer: '/2/event_id', message: expect.stringContaining("'x'") }],
      });
    }
    expect(await errorOf(journals.append('acme', [full({ actor: 'eve' })], DURABLE))).toMatchObject({
      errors: [{ pointer: '/event_id' }],
    });
    expect((await journals.stats('acme')).total_events).toBe(before);
    expect(await journals.append('acme', [...drafts('new', 2), full()], DURABLE)).toMatchObject({
      count: 2,
      duplicates: 1,
    });
  });

  it('without a time repeats an event that was given the time of its recording', async () => {
    const { receipts } = await journals.append('acme', [full({ occurred_at: null })], DURABLE);
    lab.clock.ms += 5_000;
    expect((await journals.append('acme', [full({ occurred_at: null })], DURABLE)).receipts).toEqual(receipts);
    const named = full({ occurred_at: '2026-11-21T08:00:05.000000Z' });
    expect(await errorOf(journals.append('acme', [named], DURABLE))).toMatchObject({ kind: 'conflict' });
  });

  it('in one request records it once', async () => {
    const result = await journals.append('acme', [full(), ...drafts('a', 1), full(), full()], DURABLE);
    expect(result).toMatchObject({ count: 2, duplicates: 2, first_seq: 0, last_seq: 1 });
    expect(result.receipts.map((receipt) => receipt.seq)).toEqual([0, 1, 0, 0]);
    const twice = [draft({ event_id: 'y', actor: 'a' }), draft({ event_id: 'y', actor: 'b' })];
    expect(await errorOf(journals.append('acme', twice, DURABLE))).toMatchObject({ kind: 'conflict' });
    expect(await journals.find('acme', 'y')).toBeUndefined();
  });

  it('at the same moment from many callers records it once', async () => {
    await journals.append('acme', drafts('warm', 1), DURABLE);
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, i) => journals.append('acme', [full(), ...drafts(`own${i}-`, 1)], DURABLE)),
    );
    expect(new Set(results.map(({ receipts }) => receipts[0]?.event_hash)).size).toBe(1);
    expect(results.reduce((sum, { count }) => sum + count, 0)).toBe(41);
    expect(chainFault(await readAll(journals, 'acme'))).toBeUndefined();
  });

  it('to another workspace is another event', async () => {
    await journals.append('acme', [full()], DURABLE);
    expect(await journals.append('other', [full({ actor: 'eve' })], DURABLE)).toMatchObject({ count: 1 });
    expect((await journals.find('other', 'x'))?.actor).toBe('eve');
    expect((await journals.find('acme', 'x'))?.actor).toBe('ann');
  });
});

describe('where fingerprints collide', () => {
  // Every id has the same fingerprint: each look-up meets every event there is.
  beforeEach(() => {
    const all = new WeakMap<IdIndex, number[]>();
    vi.spyOn(IdIndex.prototype, 'add').mockImplementation(function (this: IdIndex, _id, seq) {
      all.set(this, [...(all.get(this) ?? []), seq]);
    });
    vi.spyOn(IdIndex.prototype, 'candidates').mockImplementation(function (this: IdIndex) {
      return all.get(this) ?? [];
    });
  });

  it('the events themselves decide: in the tail, sealed, and after a write that failed', async () => {
    const first = await journals.append('acme', drafts('a', 5), DURABLE);
    await journals.flush();
    await journals.append('acme', drafts('b', 5), DURABLE);
    const again = await journals.append('acme', [...drafts('a', 5), ...drafts('b', 5), ...drafts('c', 1)], DURABLE);
    expect(again).toMatchObject({ count: 1, duplicates: 10 });
    expect(again.receipts.slice(0, 5)).toEqual(first.receipts);
    expect((await journals.find('acme', 'a3'))?.seq).toBe(3);
    expect((await journals.find('acme', 'b3'))?.seq).toBe(8);
    expect(await journals.find('acme', 'z')).toBeUndefined();
    const other = draft({ event_id: 'b2', actor: 'eve' });
    expect(await errorOf(journals.append('acme', [other], DURABLE))).toMatchObject({ kind: 'conflict' });
  });
});

it('an event without an id gets one that sorts by time, and is never asked for', async () => {
  const lookup = vi.spyOn(IdIndex.prototype, 'candidates');
  const { receipts } = await journals.append('acme', [draft(), draft()], DURABLE);
  expect(lookup).not.toHaveBeenCalled();
  for (const { event_id } of receipts) {
    expect(event_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(event_id.replaceAll('-', '').slice(0, 12), 16)).toBe(lab.clock.ms);
  }
  expect(new Set(receipts.map((receipt) => receipt.event_id)).size).toBe(2);
});
