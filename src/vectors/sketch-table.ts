import { SKETCH_BITS, SKETCH_WORDS } from './sketch.ts';

/** Entries of a chunk: 1 MiB of sketches, scanned within a millisecond. A chunk that is full never moves. */
export const CHUNK_ENTRIES = 16_384;
const FIRST_ENTRIES = 64;

/** One entry a scan found: its number, in the order of adding, and in how many bits its sketch differs. */
export type Found = { entry: number; distance: number };

/**
 * Sketches in memory, 64 bytes each, scanned from the first to the last. Typed arrays in chunks: the last one grows by
 * doubling, so that a small table is small and a large one is never copied.
 */
export class SketchTable {
  readonly #chunks: Uint32Array[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get sizeBytes(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }

  add(sketch: Uint32Array): void {
    const within = this.#size % CHUNK_ENTRIES;
    if (within === 0) this.#chunks.push(new Uint32Array(FIRST_ENTRIES * SKETCH_WORDS));
    let chunk = this.#chunks.at(-1) as Uint32Array;
    if (within * SKETCH_WORDS === chunk.length) {
      const grown = new Uint32Array(2 * chunk.length);
      grown.set(chunk);
      this.#chunks[this.#chunks.length - 1] = chunk = grown;
    }
    chunk.set(sketch, within * SKETCH_WORDS);
    this.#size += 1;
  }

  /** Entries `first` up to, not including, `end`, of one chunk. */
  scan(query: Uint32Array, first: number, end: number, nearest: Nearest): void {
    const chunkNumber = Math.floor(first / CHUNK_ENTRIES);
    const chunk = this.#chunks[chunkNumber] as Uint32Array;
    const base = chunkNumber * CHUNK_ENTRIES;
    const [limit1, limit2, limit3] = nearest.partLimits;
    for (let entry = first; entry < end; entry += 1) {
      const at = (entry - base) * SKETCH_WORDS;
      const last = nearest.limit;
      let distance = partDistance(chunk, at, query, 0);
      if (distance > limit1 || distance > last) continue;
      distance += partDistance(chunk, at, query, 4);
      if (distance > limit2 || distance > last) continue;
      distance += partDistance(chunk, at, query, 8);
      if (distance > limit3 || distance > last) continue;
      distance += partDistance(chunk, at, query, 12);
      if (distance <= last) nearest.take(entry, distance);
    }
  }
}

/** Keeps the nearest few of what a scan finds; once there are enough, the scan's limit falls with what was found. */
export class Nearest {
  readonly partLimits: readonly [number, number, number];
  readonly #countMax: number;
  readonly #found: Found[] = [];
  /** How many were found at each distance, and how many of them within the limit. */
  readonly #atDistance = new Uint32Array(SKETCH_BITS + 1);
  #within = 0;
  #limit: number;

  /** `limits`: those of the four parts of a sketch, as distanceLimits gives them. */
  constructor(limits: readonly number[], countMax: number) {
    const [first = 0, second = 0, third = 0, all = 0] = limits;
    this.partLimits = [first, second, third];
    this.#limit = Math.min(all, SKETCH_BITS);
    this.#countMax = countMax;
  }

  get limit(): number {
    return this.#limit;
  }

  take(entry: number, distance: number): void {
    this.#found.push({ entry, distance });
    this.#atDistance[distance] = (this.#atDistance[distance] as number) + 1;
    this.#within += 1;
    // What lies at the limit is not needed where there are enough below it.
    while (this.#within - (this.#atDistance[this.#limit] as number) >= this.#countMax) {
      this.#within -= this.#atDistance[this.#limit] as number;
      this.#limit -= 1;
    }
  }

  /** Ascending by distance; among equals the one that was added first. */
  sorted(): Found[] {
    return this.#found
      .filter(({ distance }) => distance <= this.#limit)
      .sort((a, b) => a.distance - b.distance || a.entry - b.entry)
      .slice(0, this.#countMax);
  }
}

/**
 * Differing bits of four words, a population count by adding in parallel (Warren, "Hacker's Delight", 5-1): pairs, then
 * nibbles, each word's at most 4 and so two words' in one, then bytes of all four.
 */
function partDistance(chunk: Uint32Array, at: number, query: Uint32Array, word: number): number {
  const bytes =
    byteCounts(nibbleCounts(chunk, at, query, word) + nibbleCounts(chunk, at, query, word + 1)) +
    byteCounts(nibbleCounts(chunk, at, query, word + 2) + nibbleCounts(chunk, at, query, word + 3));
  return Math.imul(bytes, 0x01010101) >>> 24;
}

function nibbleCounts(chunk: Uint32Array, at: number, query: Uint32Array, word: number): number {
  const bits = (chunk[at + word] as number) ^ (query[word] as number);
  const pairs = bits - ((bits >>> 1) & 0x55555555);
  return (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
}

function byteCounts(nibbles: number): number {
  return (nibbles & 0x0f0f0f0f) + ((nibbles >>> 4) & 0x0f0f0f0f);
}
