import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareIds, idBefore, idOfMs } from '../../../src/cluster/redis/index.ts';

const numberMax = 2n ** 64n - 1n;
/** Neighbours, small numbers and the greatest are likely. */
const number = fc.oneof(
  fc.bigInt({ min: 0n, max: 12n }),
  fc.bigInt({ min: numberMax - 2n, max: numberMax }),
  fc.bigInt({ min: 0n, max: numberMax }),
);
const ids = fc.tuple(number, number);
const textOf = ([ms, count]: readonly [bigint, bigint]) => `${ms}-${count}`;
const rankOf = ([ms, count]: readonly [bigint, bigint]) => ms * 2n ** 64n + count;

describe('ids of stream entries', () => {
  it('are in the order of their numbers', () => {
    fc.assert(
      fc.property(ids, ids, (a, b) => {
        const expected = rankOf(a) < rankOf(b) ? -1 : Number(rankOf(a) > rankOf(b));
        expect(Math.sign(compareIds(textOf(a), textOf(b)))).toBe(expected);
      }),
      { numRuns: 1000 },
    );
    expect(compareIds('0', '0-0')).toBe(0);
    expect(compareIds('5', '4-9')).toBeGreaterThan(0);
    expect(compareIds(idOfMs(1_700_000_000_000), '1700000000000-1')).toBeLessThan(0);
  });

  it('have one that is just before', () => {
    fc.assert(
      fc.property(ids, (id) => {
        fc.pre(rankOf(id) > 0n);
        const [ms = '', count = ''] = idBefore(textOf(id)).split('-');
        expect(rankOf([BigInt(ms), BigInt(count)])).toBe(rankOf(id) - 1n);
      }),
      { numRuns: 1000 },
    );
    expect(() => idBefore('0-0')).toThrow('nothing comes before');
  });
});
