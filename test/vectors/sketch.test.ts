import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cosine, distanceLimits, SKETCH_BITS, sketchOf } from '../../src/vectors/sketch.ts';
import { CHUNK_ENTRIES, Nearest, SketchTable } from '../../src/vectors/sketch-table.ts';
import { VectorMaker } from './vectors.ts';

function differingBits(a: Uint32Array, b: Uint32Array): number {
  return a.reduce((sum, word, index) => {
    const bits = (word ^ (b[index] as number)) >>> 0;
    return sum + bits.toString(2).replaceAll('0', '').length;
  }, 0);
}

describe('sketches', () => {
  it.each([3, 256, 768, 1_500])('differ in the share of bits that the angle says, of %d dimensions', (dimensions) => {
    const maker = new VectorMaker(dimensions);
    for (const similarity of [0.99, 0.9, 0.6, 0, -0.5]) {
      const shares = Array.from({ length: 200 }, () => {
        const vector = maker.unit(dimensions);
        return differingBits(sketchOf(vector), sketchOf(maker.near(vector, similarity))) / SKETCH_BITS;
      });
      const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
      // Of 200 pairs, four standard deviations of the mean; few dimensions vary more, as their planes cut one circle.
      expect(Math.abs(mean - Math.acos(similarity) / Math.PI)).toBeLessThan(dimensions < 256 ? 0.03 : 0.0065);
    }
  });

  it('do not depend on the length of a vector', () => {
    const vector = new VectorMaker(5).unit(768);
    expect(sketchOf(vector.map((value) => 1_024 * value))).toEqual(sketchOf(vector));
  });

  it('are the same as ever: they are part of the file', () => {
    const vector = Float32Array.from({ length: 768 }, (_, index) => ((index * 37) % 101) - 50);
    const words = '478624b2 fc7a4446 14bb834a f31baf33 700f87f6 e72c51a 6303dd08 b42187b3'.split(' ');
    expect([...sketchOf(vector)].map((word) => word.toString(16)).slice(0, 8)).toEqual(words);
  });
});

describe('the limits of distance', () => {
  it('are the expected distance and six deviations, part by part', () => {
    expect(distanceLimits(0.9)).toEqual([43, 71, 97, 122]);
    expect(distanceLimits(1)).toEqual([0, 0, 0, 0]);
    expect(() => distanceLimits(0)).toThrow('assertion failed');
    expect(() => distanceLimits(1.01)).toThrow('assertion failed');
    expect(() => distanceLimits(Number.NaN)).toThrow('assertion failed');
  });
});

describe('cosine', () => {
  it('of a vector and itself is exactly 1, and never more', () => {
    const maker = new VectorMaker(9);
    for (let round = 0; round < 200; round += 1) {
      const vector = maker.unit(1 + round);
      expect(cosine(vector, vector)).toBe(1);
      expect(
        cosine(
          vector,
          vector.map((value) => 3 * value),
        ),
      ).toBeLessThanOrEqual(1);
      expect(
        cosine(
          vector,
          vector.map((value) => -value),
        ),
      ).toBe(-1);
    }
  });

  it('compares only vectors of one length', () => {
    expect(() => cosine(new Float32Array(2), new Float32Array(3))).toThrow('assertion failed');
  });
});

describe('a scan', () => {
  const words = fc.array(fc.uint32Array({ minLength: 16, maxLength: 16 }), { minLength: 1, maxLength: 40 });

  it('finds what a plain count of bits finds, the nearest first', () => {
    const limits = fc
      .tuple(fc.nat(128), fc.nat(256), fc.nat(384), fc.nat(512))
      .map((each) => each.sort((a, b) => a - b));
    fc.assert(
      fc.property(
        words,
        fc.uint32Array({ minLength: 16, maxLength: 16 }),
        limits,
        fc.integer({ min: 1, max: 9 }),
        (sketches, query, limit, most) => {
          const table = new SketchTable();
          for (const sketch of sketches) table.add(Uint32Array.from(sketch));
          const nearest = new Nearest(limit, most);
          table.scan(Uint32Array.from(query), 0, table.size, nearest);
          const expected = sketches
            .map((sketch, entry) => ({
              entry,
              parts: [4, 8, 12, 16].map((end) => differingBits(sketch.slice(0, end), query.slice(0, end))),
            }))
            .filter(({ parts }) => parts.every((distance, part) => distance <= (limit[part] as number)))
            .map(({ entry, parts }) => ({ entry, distance: parts[3] as number }))
            .sort((a, b) => a.distance - b.distance || a.entry - b.entry);
          expect(nearest.sorted()).toEqual(expected.slice(0, most));
        },
      ),
    );
  });

  it('reads every chunk of a table that grew', () => {
    const table = new SketchTable();
    const size = 2 * CHUNK_ENTRIES + 3;
    for (let entry = 0; entry < size; entry += 1) table.add(new Uint32Array(16).fill(entry));
    for (const entry of [0, 63, 64, CHUNK_ENTRIES - 1, CHUNK_ENTRIES, size - 1]) {
      const nearest = new Nearest([0, 0, 0, 0], 5);
      for (let first = 0; first < size; first += CHUNK_ENTRIES)
        table.scan(new Uint32Array(16).fill(entry), first, Math.min(size, first + CHUNK_ENTRIES), nearest);
      expect(nearest.sorted()).toEqual([{ entry, distance: 0 }]);
    }
    expect(table.sizeBytes).toBeLessThan(64 * (size + 64));
  });
});
