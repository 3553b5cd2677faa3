import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Backoff } from '../../../src/cluster/partitions/backoff.ts';
import { fairShare } from '../../../src/cluster/partitions/fair-share.ts';
import { OwnLease } from '../../../src/cluster/partitions/own-lease.ts';

const holdings = fc
  .uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 })
  .chain((names) => fc.tuple(...names.map((name) => fc.tuple(fc.constant(name), fc.nat(10)))))
  .map((entries) => new Map(entries));
const partitionCount = fc.integer({ min: 1, max: 40 });

describe('the fair share', () => {
  it('of all workers together is every partition, and differs by one at most', () => {
    fc.assert(
      fc.property(holdings, partitionCount, (held, partitions) => {
        const shares = [...held.keys()].map((name) => fairShare(held, name, partitions));
        expect(shares.reduce((sum, share) => sum + share)).toBe(partitions);
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
        expect(Math.max(...shares)).toBe(Math.ceil(partitions / held.size));
      }),
    );
  });

  it('of a worker that nobody knows yet is as if it held nothing', () => {
    fc.assert(
      fc.property(holdings, partitionCount, (held, partitions) => {
        const named = new Map(held).set('newcomer', 0);
        const unnamed = new Map(named);
        unnamed.delete('newcomer');
        expect(fairShare(unnamed, 'newcomer', partitions)).toBe(fairShare(named, 'newcomer', partitions));
      }),
    );
  });

  it('is reached from wherever it began, without a partition that moves twice', () => {
    const order = fc.infiniteStream(fc.nat());
    fc.assert(
      fc.property(holdings, partitionCount, order, (begun, partitions, picks) => {
        const held = fitted(begun, partitions);
        const before = new Map(held);
        const names = [...held.keys()];
        const given = new Map(names.map((name) => [name, 0]));
        const taken = new Map(names.map((name) => [name, 0]));
        for (let round = 0; round < partitions + 2; round++) {
          const turns = names.map((name) => ({ name, at: picks.next().value })).sort((x, y) => x.at - y.at);
          for (const { name } of turns) act(name, held, partitions, { given, taken });
        }
        const shares = [...held.values()];
        expect(shares.reduce((sum, share) => sum + share)).toBe(partitions);
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
        for (const name of names) {
          expect(Math.min(given.get(name) ?? 0, taken.get(name) ?? 0)).toBe(0);
          expect(given.get(name)).toBeLessThanOrEqual(
            Math.max(0, (before.get(name) ?? 0) - Math.floor(partitions / names.length)),
          );
        }
      }),
    );
  });

  it('leaves everything where it is, if it is spread evenly', () => {
    expect(fairShare(new Map([['b', 1]]), 'b', 1)).toBe(1);
    const one = new Map([
      ['a', 0],
      ['b', 1],
    ]);
    expect([fairShare(one, 'a', 1), fairShare(one, 'b', 1)]).toEqual([0, 1]);
    const five = new Map([
      ['a', 1],
      ['b', 2],
      ['c', 2],
    ]);
    expect([...five.keys()].map((name) => fairShare(five, name, 5))).toEqual([1, 2, 2]);
  });
});

/** No more than there is. */
function fitted(begun: ReadonlyMap<string, number>, partitions: number): Map<string, number> {
  let left = partitions;
  return new Map(
    [...begun].map(([name, wanted]) => {
      const held = Math.min(wanted, left);
      left -= held;
      return [name, held];
    }),
  );
}

type Moves = { given: Map<string, number>; taken: Map<string, number> };

/** One round of a worker, by the rule of PartitionLeases: at most two are given back, and what is missing is taken. */
function act(name: string, held: Map<string, number>, partitions: number, { given, taken }: Moves): void {
  const mine = held.get(name) ?? 0;
  const free = partitions - [...held.values()].reduce((sum, count) => sum + count, 0);
  const missing = fairShare(held, name, partitions) - mine;
  const change = missing > 0 ? Math.min(missing, free) : Math.max(missing, -2);
  held.set(name, mine + change);
  if (change < 0) given.set(name, (given.get(name) ?? 0) - change);
  if (change > 0) taken.set(name, (taken.get(name) ?? 0) + change);
}

describe('a backoff', () => {
  const limits = { firstMs: 100, maxMs: 1_000 };

  it('doubles with each failure, up to its limit', () => {
    const backoff = new Backoff(limits);
    expect([1, 2, 3, 4, 5, 6].map(() => backoff.failed(7, 0, 0))).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  });

  it('is over at its time, and is of one partition', () => {
    const backoff = new Backoff(limits);
    expect([backoff.waits(7, 0), backoff.anyWaits(0)]).toEqual([false, false]);
    backoff.failed(7, 50, 0);
    expect([backoff.waits(7, 149), backoff.waits(8, 149), backoff.anyWaits(149)]).toEqual([true, false, true]);
    expect([backoff.waits(7, 150), backoff.anyWaits(150)]).toEqual([false, false]);
  });

  it('begins anew with what went well for long', () => {
    const backoff = new Backoff(limits);
    backoff.failed(7, 0, 0);
    backoff.failed(7, 0, 0);
    expect(backoff.failed(7, 5_000, 1_000)).toBe(400);
    expect(backoff.failed(7, 9_000, 1_001)).toBe(100);
  });
});

describe('a lease of this process', () => {
  const lease = () => new OwnLease({ partition: 0, value: 'a:1' }, { sentMs: 100, validMs: 90 });

  it('is valid from when it was asked for until its time is over, and not at that moment', () => {
    expect([lease().isValid(100), lease().isValid(189), lease().isValid(190)]).toEqual([true, true, false]);
  });

  it('is renewed from when that was sent, not from when it was answered', () => {
    const own = lease();
    own.renewed(130, 180);
    expect([own.isValid(219), own.isValid(220)]).toEqual([true, false]);
  });

  it('that ran out does not come back by an answer that is late', () => {
    const own = lease();
    own.renewed(180, 190);
    expect(own.isValid(200)).toBe(false);
    const lost = lease();
    lost.lose();
    lost.renewed(110, 120);
    expect(lost.isValid(120)).toBe(false);
  });
});
