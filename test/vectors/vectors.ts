import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CachedVerdict, Partition } from '../../src/judging/index.ts';

export const PARTITION: Partition = { embeddingModel: 'model-a', policyVersion: '1', rule: 'over-limit' };

export const cachedAs = (name: string): CachedVerdict => ({
  eventId: `event-${name}`,
  riskLevel: 'high',
  narrative: `Narrative of ${name}, with an é and a 𝒳.`,
});

export function makeIndexDir(): string {
  return join(mkdtempSync(join(tmpdir(), 'indelible-vectors-')), 'index');
}

/** Vectors from a seed: the same in every run. */
export class VectorMaker {
  #state: number;

  constructor(seed: number) {
    // Distinct for every seed, and never 0, where xorshift stays.
    this.#state = Math.imul(seed, 0x9e3779b1) || 1;
  }

  /** 0 up to 1, not including it (xorshift32). */
  uniform(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) / 2 ** 32;
  }

  /** A direction, each as likely as another. */
  unit(dimensions: number): Float32Array {
    return scaled(
      Float32Array.from({ length: dimensions }, () => {
        const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
        return radius * Math.cos(2 * Math.PI * this.uniform());
      }),
    );
  }

  /** A unit vector whose cosine with the unit vector `of` is `similarity`. */
  near(of: Float32Array, similarity: number): Float32Array {
    const random = this.unit(of.length);
    const along = dot(random, of);
    const across = scaled(random.map((value, index) => value - along * (of[index] as number)));
    const rest = Math.sqrt(1 - similarity * similarity);
    return across.map((value, index) => similarity * (of[index] as number) + rest * value);
  }
}

export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < a.length; index += 1) sum += (a[index] as number) * (b[index] as number);
  return sum;
}

function scaled(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(dot(vector, vector));
  return vector.map((value) => value / norm);
}
