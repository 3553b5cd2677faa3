import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IdIndex } from '../../journal/id-index.ts';
import { SeededRandom } from '../support/journal-lab.ts';

const seeded = (seed: string) => new IdIndex(new SeededRandom(seed).bytes(8));

describe('the index of ids', () => {
  it('finds every position of every id it was told, and grows', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.string({ unit: 'binary', maxLength: 6 }), fc.nat()), { maxLength: 400 }),
        (entries) => {
          const index = seeded('a');
          for (const [id, seq] of entries) index.add(id, seq);
          expect(index.size).toBe(entries.length);
          for (const [id, seq] of entries) expect(index.candidates(id)).toContain(seq);
          // A repeat of an id gives all its positions, in the order they were told.
          for (const [id] of entries) {
            const told = entries.filter((entry) => entry[0] === id).map((entry) => entry[1]);
            expect(index.candidates(id).filter((seq) => told.includes(seq))).toEqual(expect.arrayContaining(told));
          }
        },
      ),
    );
  });

  it('knows nothing of ids it was not told', () => {
    const index = seeded('b');
    for (let i = 0; i < 50_000; i++) index.add(`event-${i}`, i);
    let wrong = 0;
    for (let i = 0; i < 50_000; i++) {
      expect(index.candidates(`event-${i}`)).toEqual([i]);
      wrong += index.candidates(`other-${i}`).length;
    }
    expect(wrong).toBe(0);
    expect(index.sizeBytes / 50_000).toBeLessThan(40);
  });

  it('tells ids apart that differ little: one bit, one place, one length', () => {
    const index = seeded('c');
    const ids = new Set<string>();
    for (let unit = 0; unit < 0x800; unit++) ids.add(String.fromCharCode(unit));
    for (let length = 0; length < 300; length++) ids.add('a'.repeat(length));
    for (let at = 0; at < 64; at++) ids.add(`${'0'.repeat(at)}1${'0'.repeat(63 - at)}`);
    for (const [seq, id] of [...ids].entries()) index.add(id, seq);
    for (const [seq, id] of [...ids].entries()) expect(index.candidates(id)).toEqual([seq]);
  });

  it('takes positions up to the last there is', () => {
    const index = seeded('d');
    index.add('last', 2 ** 32 - 2);
    index.add('first', 0);
    expect(index.candidates('last')).toEqual([2 ** 32 - 2]);
    expect(index.candidates('first')).toEqual([0]);
  });
});
