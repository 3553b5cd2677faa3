import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VerdictVectors } from '../../src/vectors/index.ts';
import { removeDir } from '../support/remove-dir.ts';
import { cachedAs, makeIndexDir, PARTITION, VectorMaker } from './vectors.ts';

const VECTORS = Array.from({ length: 8 }, (_, number) => new VectorMaker(number + 1).unit(24));
const ENTRIES = VECTORS.length;

let dir = '';
let path = '';
/** The file after so many entries. */
let sizes: number[] = [];

const add = (index: VerdictVectors, number: number): void =>
  index.add(10 * number, PARTITION, `v${number}`, VECTORS[number] as Float32Array, cachedAs(`v${number}`));

/** Opens, asks and closes again. */
async function withIndex<T>(ask: (index: VerdictVectors) => T | Promise<T>): Promise<T> {
  const index = await VerdictVectors.open({ dir });
  try {
    return await ask(index);
  } finally {
    await index.close();
  }
}

/** Exactly the first `count` entries are there, by fingerprint and by vector. */
async function expectEntries(index: VerdictVectors, count: number): Promise<void> {
  expect(index.size).toBe(count);
  for (const [number, vector] of VECTORS.entries()) {
    const expected = number < count ? cachedAs(`v${number}`) : undefined;
    expect(index.exact(PARTITION, `v${number}`)).toEqual(expected);
    expect((await index.nearest(PARTITION, vector, 1))?.verdict).toEqual(expected);
  }
}

/** The first `count` entries are there and nothing else, and the rest can be fed again. */
async function expectKept(count: number): Promise<void> {
  await withIndex(async (index) => {
    expect(index.lastSeq).toBe(count === 0 ? -1 : 10 * (count - 1));
    await expectEntries(index, count);
    for (let number = count; number < ENTRIES; number += 1) add(index, number);
    await expectEntries(index, ENTRIES);
  });
}

beforeEach(async () => {
  dir = makeIndexDir();
  path = join(dir, 'verdicts.vectors');
  await withIndex((index) => {
    sizes = [statSync(path).size];
    for (let number = 0; number < ENTRIES; number += 1) {
      add(index, number);
      sizes.push(statSync(path).size);
    }
  });
});

afterEach(() => removeDir(dirname(dir)));

describe('the file of the index', () => {
  it('gives after a restart what was added before it', async () => {
    await withIndex(async (index) => {
      expect(index.lastSeq).toBe(10 * (ENTRIES - 1));
      await expectEntries(index, ENTRIES);
    });
    expect(statSync(path).size).toBe(sizes.at(-1));
  });

  it('keeps through which verdict it is complete, and writes over it with the next entry', async () => {
    await withIndex((index) => index.noteSeq(500));
    await withIndex((index) => {
      expect(index.lastSeq).toBe(500);
      index.noteSeq(501);
    });
    expect(statSync(path).size).toBeLessThan((sizes.at(-1) as number) + 64);
    const seqs = await withIndex((index) => {
      index.add(600, PARTITION, 'more', VECTORS[0] as Float32Array, cachedAs('more'));
      return index.lastSeq;
    });
    expect(seqs).toBe(600);
    await withIndex(async (index) => {
      expect(index.lastSeq).toBe(600);
      expect(index.exact(PARTITION, 'more')).toEqual(cachedAs('more'));
      expect(index.exact(PARTITION, `v${ENTRIES - 1}`)).toEqual(cachedAs(`v${ENTRIES - 1}`));
    });
  });

  it('says now and then through which verdict it is complete, also where it is never closed', async () => {
    const index = await VerdictVectors.open({ dir });
    for (let seq = index.lastSeq + 1; seq < 5_000; seq += 1) index.noteSeq(seq);
    const { lastSeq } = await withIndex((other) => ({ lastSeq: other.lastSeq }));
    expect(lastSeq).toBeGreaterThan(3_900);
    await index.close();
  });

  it('is cut where its end is torn, wherever that is, and goes on from there', async () => {
    const whole = readFileSync(path);
    const lengths = fc.integer({ min: sizes[0] as number, max: whole.length });
    await fc.assert(
      fc.asyncProperty(lengths, async (length) => {
        writeFileSync(path, whole.subarray(0, length));
        await expectKept(sizes.findLastIndex((size) => size <= length));
        expect(readFileSync(path)).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });

  it('is cut where its last record is not what was written, or zeros follow it', async () => {
    const whole = readFileSync(path);
    const lastAt = sizes.at(-2) as number;
    const garbled = Buffer.from(whole);
    garbled.writeUInt8(garbled.readUInt8(whole.length - 2) ^ 0x55, whole.length - 2);
    const zeroed = Buffer.from(whole);
    zeroed.fill(0, lastAt + 40);
    const extended = Buffer.concat([whole.subarray(0, lastAt), Buffer.alloc(70_000)]);
    for (const bytes of [garbled, zeroed, extended]) {
      writeFileSync(path, bytes);
      await expectKept(ENTRIES - 1);
      expect(readFileSync(path)).toEqual(whole);
    }
  });

  it('is emptied where any bit of it is damaged before its last entry, and can be fed again', async () => {
    const whole = readFileSync(path);
    const lastAt = sizes.at(-2) as number;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: lastAt - 1 }), fc.nat(7), async (at, bit) => {
        const damaged = Buffer.from(whole);
        damaged.writeUInt8((damaged.at(at) as number) ^ (1 << bit), at);
        writeFileSync(path, damaged);
        // A length that now reaches beyond the end looks torn: what stood before it is sound, and is kept.
        const kept = await withIndex((index) => index.size);
        expect([0, sizes.findLastIndex((size) => size <= at)]).toContain(kept);
        writeFileSync(path, damaged);
        await expectKept(kept);
        expect(readFileSync(path)).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });

  it('is emptied where a vector was changed, and where it is of another version or not ours', async () => {
    const whole = readFileSync(path);
    const changed = Buffer.from(whole);
    const inVector = (sizes[2] as number) + 90;
    changed.writeUInt8((changed.at(inVector) as number) ^ 1, inVector);
    const version = Buffer.from(whole);
    version.writeUInt8(2, 8);
    for (const bytes of [changed, version, Buffer.from('something else'), Buffer.alloc(3), Buffer.alloc(0)]) {
      writeFileSync(path, bytes);
      await withIndex(async (index) => {
        await expectEntries(index, 0);
        expect(index.lastSeq).toBe(-1);
      });
      expect(statSync(path).size).toBe(sizes[0]);
    }
  });

  it('is empty after clear, for those that ask and after a restart, also while a look-up is under way', async () => {
    await withIndex(async (index) => {
      const underWay = index.nearest(PARTITION, VECTORS[0] as Float32Array, 0.9);
      index.clear();
      expect(await underWay).toBeUndefined();
      await expectEntries(index, 0);
      expect([index.lastSeq, index.sizeBytes]).toEqual([-1, 0]);
    });
    await withIndex(async (index) => {
      await expectEntries(index, 0);
      for (let number = 0; number < ENTRIES; number += 1) add(index, number);
      await expectEntries(index, ENTRIES);
    });
  });

  it('answers index-error where the file was damaged under it, and never what is not in it', async () => {
    await withIndex(async (index) => {
      truncateSync(path, (sizes[1] as number) + 5);
      expect(index.exact(PARTITION, 'v0')).toEqual(cachedAs('v0'));
      const error = expect.objectContaining({ name: 'AiError', failure: 'index-error' });
      expect(() => index.exact(PARTITION, 'v1')).toThrow(error);
      await expect(index.nearest(PARTITION, VECTORS[1] as Float32Array, 0.9)).rejects.toEqual(error);
      const garbled = readFileSync(path);
      garbled.writeUInt8(1, (sizes[0] as number) + 100);
      writeFileSync(path, garbled);
      expect(() => index.exact(PARTITION, 'v0')).toThrow(error);
      await expect(index.nearest(PARTITION, VECTORS[0] as Float32Array, 0.9)).rejects.toEqual(error);
    });
  });

  it('answers index-error once it is closed', async () => {
    const index = await VerdictVectors.open({ dir });
    await index.close();
    const error = expect.objectContaining({ failure: 'index-error' });
    expect(() => index.exact(PARTITION, 'v0')).toThrow(error);
    expect(() => index.add(1_000, PARTITION, 'x', VECTORS[0] as Float32Array, cachedAs('x'))).toThrow(error);
    await expect(index.nearest(PARTITION, VECTORS[0] as Float32Array, 0.9)).rejects.toEqual(error);
    expect(index.size).toBe(ENTRIES);
  });
});
