import { dirname } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { VerdictVectors } from '../../src/vectors/index.ts';
import { removeDir } from '../support/remove-dir.ts';
import { cachedAs, dot, makeIndexDir, PARTITION, VectorMaker } from './vectors.ts';

const opened: { index: VerdictVectors; dir: string }[] = [];

async function openIndex(dir = makeIndexDir()): Promise<VerdictVectors> {
  const index = await VerdictVectors.open({ dir });
  opened.push({ index, dir });
  return index;
}

afterEach(async () => {
  for (const { index, dir } of opened.splice(0)) {
    await index.close();
    await removeDir(dirname(dir));
  }
});

const SIMILARITY_MIN = 0.9;

/** Adds every vector as `v<number>`, at ascending seqs. */
function addAll(index: VerdictVectors, vectors: readonly Float32Array[]): void {
  for (const vector of vectors) {
    const name = `v${index.size}`;
    index.add(index.lastSeq + 1, PARTITION, name, vector, cachedAs(name));
  }
}

function nearestOf(vectors: readonly Float32Array[], query: Float32Array): { eventId: string; similarity: number } {
  const all = vectors.map((vector, index) => ({ eventId: `event-v${index}`, similarity: dot(vector, query) }));
  return all.reduce((best, each) => (each.similarity > best.similarity ? each : best));
}

describe('the nearest verdict', () => {
  it('is the one that comparing with every vector finds, among unrelated ones', async () => {
    const maker = new VectorMaker(11);
    const index = await openIndex();
    const vectors = Array.from({ length: 3_000 }, () => maker.unit(768));
    addAll(index, vectors);
    for (let round = 0; round < 300; round += 1) {
      const planted = 10 * round;
      // Just above the minimum, where most would be missed, up to nearly the same.
      const similarity = 0.9001 + 0.0995 * (round / 300);
      const query = maker.near(vectors[planted] as Float32Array, similarity);
      const found = await index.nearest(PARTITION, query, SIMILARITY_MIN);
      expect(found?.verdict).toEqual(cachedAs(`v${planted}`));
      expect(found?.similarity).toBeCloseTo(similarity, 5);
      expect(await index.nearest(PARTITION, maker.near(query, 0.5), 0.999)).toBeUndefined();
    }
  });

  it('is nearly always that among clusters of vectors all alike, and never one below the minimum', async () => {
    const maker = new VectorMaker(12);
    const index = await openIndex();
    const centres = Array.from({ length: 20 }, () => maker.unit(256));
    // Any two of a cluster have a cosine of about 0.85, so that the sketches of many are candidates.
    const vectors = Array.from({ length: 4_000 }, (_, number) =>
      maker.near(centres[number % 20] as Float32Array, Math.sqrt(0.85)),
    );
    addAll(index, vectors);
    let missed = 0;
    for (let round = 0; round < 200; round += 1) {
      const isPlanted = round % 2 === 0;
      const query = isPlanted
        ? maker.near(vectors[17 * round] as Float32Array, 0.93 + 0.06 * maker.uniform())
        : maker.near(centres[round % 20] as Float32Array, 0.9);
      const best = nearestOf(vectors, query);
      const found = await index.nearest(PARTITION, query, SIMILARITY_MIN);
      if (found) {
        expect(found.similarity).toBeGreaterThanOrEqual(SIMILARITY_MIN);
        const said = vectors[Number(found.verdict.eventId.slice('event-v'.length))] as Float32Array;
        expect(found.similarity).toBeCloseTo(dot(said, query), 5);
      }
      if (best.similarity >= SIMILARITY_MIN + 1e-6 && found?.verdict.eventId !== best.eventId) missed += 1;
    }
    expect(missed).toBeLessThanOrEqual(2);
  });

  it('holds for any minimum and any vectors, few dimensions or many', async () => {
    const cases = fc.record({
      seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      dimensions: fc.integer({ min: 1, max: 40 }),
      size: fc.integer({ min: 1, max: 60 }),
      similarityMin: fc.double({ min: 0.05, max: 1, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ seed, dimensions, size, similarityMin }) => {
        const maker = new VectorMaker(seed);
        const index = await openIndex();
        const vectors = Array.from({ length: size }, () => maker.unit(dimensions));
        addAll(index, vectors);
        const found = await index.nearest(PARTITION, maker.unit(dimensions), similarityMin);
        if (found) expect(found.similarity).toBeGreaterThanOrEqual(similarityMin);
        const same = await index.nearest(PARTITION, vectors[size - 1] as Float32Array, 1);
        expect(same?.similarity).toBe(1);
      }),
      { numRuns: 60 },
    );
  });

  it('is of the same embedding model, policy version, rule and number of values only', async () => {
    const index = await openIndex();
    const maker = new VectorMaker(13);
    const vector = maker.unit(64);
    const others = [
      { ...PARTITION, embeddingModel: 'model-b' },
      { ...PARTITION, policyVersion: '2' },
      { ...PARTITION, rule: 'other' },
      { embeddingModel: 'model-a","1', policyVersion: '', rule: 'over-limit' },
    ];
    index.add(0, PARTITION, 'same', vector, cachedAs('own'));
    for (const other of others) {
      expect(index.exact(other, 'same')).toBeUndefined();
      expect(await index.nearest(other, vector, SIMILARITY_MIN)).toBeUndefined();
    }
    others.forEach((other, number) => {
      index.add(1 + number, other, 'same', vector, cachedAs(`other-${number}`));
    });
    expect(index.size).toBe(5);
    for (const [number, other] of others.entries()) {
      expect(index.exact(other, 'same')).toEqual(cachedAs(`other-${number}`));
      expect((await index.nearest(other, vector, SIMILARITY_MIN))?.verdict).toEqual(cachedAs(`other-${number}`));
    }
    // A model that now gives longer vectors finds none of its old ones, and is not stopped by them.
    const longer = maker.unit(65);
    expect(await index.nearest(PARTITION, longer, SIMILARITY_MIN)).toBeUndefined();
    index.add(10, PARTITION, 'longer', longer, cachedAs('longer'));
    expect((await index.nearest(PARTITION, longer, SIMILARITY_MIN))?.verdict).toEqual(cachedAs('longer'));
    expect((await index.nearest(PARTITION, vector, SIMILARITY_MIN))?.verdict).toEqual(cachedAs('own'));
  });

  it('takes no vector without a direction', async () => {
    const index = await openIndex();
    for (const vector of [new Float32Array(0), new Float32Array(8), new Float32Array([1, Number.NaN])]) {
      expect(() => index.add(0, PARTITION, 'a', vector, cachedAs('a'))).toThrow('assertion failed');
      await expect(index.nearest(PARTITION, vector, SIMILARITY_MIN)).rejects.toThrow('assertion failed');
    }
    const long = new Float32Array(16_385).fill(1);
    expect(() => index.add(0, PARTITION, 'a', long, cachedAs('a'))).toThrow('assertion failed');
    expect([index.size, index.lastSeq]).toEqual([0, -1]);
  });
});

describe('the verdict on the same fingerprint', () => {
  it('is found without a vector, and is not found where there is none', async () => {
    const index = await openIndex();
    const vectors = Array.from({ length: 50 }, (_, number) => new VectorMaker(number + 20).unit(16));
    addAll(index, vectors);
    for (let number = 0; number < 50; number += 1)
      expect(index.exact(PARTITION, `v${number}`)).toEqual(cachedAs(`v${number}`));
    expect(index.exact(PARTITION, 'v50')).toBeUndefined();
    expect(index.exact(PARTITION, '')).toBeUndefined();
  });

  it('is the first: those after it change nothing but lastSeq', async () => {
    const index = await openIndex();
    const maker = new VectorMaker(14);
    const vector = maker.unit(768);
    index.add(3, PARTITION, 'a', vector, cachedAs('first'));
    const { sizeBytes } = index;
    for (let seq = 4; seq < 5_000; seq += 1) index.add(seq, PARTITION, 'a', vector, cachedAs(`again-${seq}`));
    expect([index.size, index.lastSeq, index.sizeBytes]).toEqual([1, 4_999, sizeBytes]);
    expect(index.exact(PARTITION, 'a')).toEqual(cachedAs('first'));
    expect((await index.nearest(PARTITION, vector, 1))?.verdict).toEqual(cachedAs('first'));
  });

  it('is not one that was fed before: a verdict comes once', async () => {
    const index = await openIndex();
    const maker = new VectorMaker(15);
    index.add(7, PARTITION, 'a', maker.unit(8), cachedAs('a'));
    index.add(7, PARTITION, 'b', maker.unit(8), cachedAs('b'));
    index.noteSeq(5);
    expect([index.size, index.lastSeq]).toEqual([1, 7]);
    expect(index.exact(PARTITION, 'b')).toBeUndefined();
  });
});

describe('memory', () => {
  it('is a small part of the vectors', async () => {
    const index = await openIndex();
    const maker = new VectorMaker(16);
    addAll(
      index,
      Array.from({ length: 1_000 }, () => maker.unit(768)),
    );
    expect(index.sizeBytes).toBeLessThan((1_000 * 768 * 4) / 10);
  });
});
