import { assert } from '../../journal/index.ts';

/**
 * Sign sketches of vectors (Charikar, "Similarity Estimation Techniques from Rounding Algorithms", 2002): a bit for
 * each of 512 random hyperplanes, on which side of it the vector lies. Two vectors at angle θ differ in a bit with
 * probability θ/π, so few differing bits mean a small angle.
 *
 * The hyperplanes are the axes after a pseudo-random rotation: twice random signs and a Walsh–Hadamard transform, which
 * takes n·log n steps where 512 hyperplanes would take 512·n (Ailon and Chazelle, "The Fast Johnson–Lindenstrauss
 * Transform", 2009). Which signs is part of the index file's version.
 */
export const SKETCH_BITS = 512;
export const SKETCH_WORDS = SKETCH_BITS / 32;
/** A scan looks at a sketch in parts of so many bits and stops at the first that says no. */
export const PART_BITS = 128;

const ROUNDS = 2;
/** How far beyond the expected number of differing bits a neighbour is still looked for, in standard deviations. */
const MARGIN_DEVIATIONS = 6;

/** The 16 words of the sketch of a vector of any length and norm. */
export function sketchOf(vector: Float32Array): Uint32Array {
  const rotated = new Float64Array(rotatedLength(vector.length));
  rotated.set(vector);
  for (let round = 1; round <= ROUNDS; round += 1) {
    flipSigns(rotated, round);
    walshHadamard(rotated);
  }
  const sketch = new Uint32Array(SKETCH_WORDS);
  for (let bit = 0; bit < SKETCH_BITS; bit += 1)
    if ((rotated[bit] as number) > 0) sketch[bit >>> 5] = (sketch[bit >>> 5] as number) | (1 << (bit & 31));
  return sketch;
}

/**
 * The most bits in which the first 128, 256, 384 and 512 of a sketch may differ from that of a vector at least this
 * similar: of n bits with p = acos(similarity)/π each, n·p + 6·√(n·p·(1 − p)), rounded up. At 0.90 that is 43, 71, 97
 * and 122; unrelated vectors differ in 64 ± 6, 128 ± 8, 192 ± 10 and 256 ± 11. A neighbour is missed about once in a
 * million look-ups.
 */
export function distanceLimits(similarity: number): number[] {
  assert(similarity > 0 && similarity <= 1, 'a similarity is above 0 and at most 1');
  const share = Math.acos(similarity) / Math.PI;
  const limits: number[] = [];
  for (let bits = PART_BITS; bits <= SKETCH_BITS; bits += PART_BITS)
    limits.push(Math.ceil(bits * share + MARGIN_DEVIATIONS * Math.sqrt(bits * share * (1 - share))));
  return limits;
}

/** Cosine of two vectors of the same length; of a vector and itself exactly 1. NaN where one of them is all zeros. */
export function cosine(a: Float32Array, b: Float32Array): number {
  assert(a.length === b.length, 'vectors that are compared have the same length');
  let product = 0;
  let squareOfA = 0;
  let squareOfB = 0;
  for (let index = 0; index < a.length; index += 1) {
    const left = a[index] as number;
    const right = b[index] as number;
    product += left * right;
    squareOfA += left * left;
    squareOfB += right * right;
  }
  return Math.min(1, product / Math.sqrt(squareOfA * squareOfB));
}

function rotatedLength(length: number): number {
  let padded = SKETCH_BITS;
  while (padded < length) padded *= 2;
  return padded;
}

function flipSigns(values: Float64Array, round: number): void {
  for (let index = 0; index < values.length; index += 1)
    if (isNegative(index, round)) values[index] = -(values[index] as number);
}

/** A pseudo-random bit of a place and a round: MurmurHash3's fmix32. */
function isNegative(index: number, round: number): boolean {
  let hash = Math.imul(index, 0x9e3779b1) + Math.imul(round, 0x7f4a7c15);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) & 1) === 1;
}

/** In place and not scaled: only signs are taken of the result. The length is a power of two. */
function walshHadamard(values: Float64Array): void {
  for (let half = 1; half < values.length; half *= 2)
    for (let block = 0; block < values.length; block += 2 * half)
      for (let low = block; low < block + half; low += 1) {
        const left = values[low] as number;
        const right = values[low + half] as number;
        values[low] = left + right;
        values[low + half] = left - right;
      }
}
