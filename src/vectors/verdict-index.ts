import { hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { assert } from '../../journal/index.ts';
import type { CachedVerdict, Neighbour, Partition, VerdictIndex } from '../judging/index.ts';
import { hasDirection, type VerdictEntry } from './entries.ts';
import { EntryCache } from './entry-cache.ts';
import { decodeEntry, encodeEntry, encodeMark, headOf, sketchOfRecord, vectorOfRecord } from './record.ts';
import { RecordFile } from './record-file.ts';
import { cosine, distanceLimits, sketchOf } from './sketch.ts';
import { CHUNK_ENTRIES, type Found, Nearest, SketchTable } from './sketch-table.ts';

/** Exact cosines of one look-up: of those found, the nearest by their sketches. */
const CANDIDATES_MAX = 128;
/** Vectors read at once. */
const READS = 16;
/** Entries scanned, about a millisecond and a half, before others have their turn. */
const ENTRIES_PER_TURN = 8 * CHUNK_ENTRIES;
/** After so many verdicts without an entry the file says through which one it is complete. */
const MARK_EVERY = 1_024;
/** Of V8's map an entry with its key, and the numbers of the two arrays. */
const BYTES_PER_ENTRY = 104;

/** The entries among which one is looked for. `entries`: the number of each in the index, by its number here. */
type Section = { sketches: SketchTable; entries: number[] };

/**
 * The verdicts of a workspace that may be reused, by fingerprint and by nearness of their vectors. Derived from the
 * journal's verdict events, which are fed to it in order of seq, each once; of equal fingerprints of a partition the
 * first stays. Memory holds a sketch of each vector, the file the rest (docs/adr/0013-verdict-index.md).
 */
export class VerdictVectors implements VerdictIndex {
  readonly #file: RecordFile;
  /** By partition and length of the vectors. */
  readonly #sections = new Map<string, Section>();
  /** 64 bits of the digest of partition and fingerprint → number of the entry. */
  readonly #byDigest = new Map<bigint, number>();
  /** Where in the file each entry begins; it ends where the next begins. */
  readonly #offsets: number[] = [];
  readonly #cache = new EntryCache();
  #lastSeq = -1;
  #markedSeq = -1;
  /** Counts the clearings: what was found before one means nothing after it. */
  #generation = 0;

  private constructor(file: RecordFile) {
    this.#file = file;
  }

  /**
   * Reads the index kept in a directory of its own. A torn end is cut off; a file damaged otherwise, or of another version, is
   * emptied: `lastSeq` then says that everything is to be fed again.
   */
  static async open({ dir }: { dir: string }): Promise<VerdictVectors> {
    const file = await RecordFile.open(dir);
    try {
      const index = new VerdictVectors(file);
      const isSound = await file.load((record, offset) => index.#take(record, offset));
      if (!isSound) index.clear();
      return index;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** seq of the last verdict event it was fed; -1 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  get size(): number {
    return this.#offsets.length;
  }

  /** Bytes of memory, about. */
  get sizeBytes(): number {
    let sketches = 0;
    for (const section of this.#sections.values()) sketches += section.sketches.sizeBytes;
    return sketches + BYTES_PER_ENTRY * this.size + this.#cache.bytes;
  }

  /** A verdict that may be reused. One that it was fed before changes nothing. @throws AiError index-error */
  add(seq: number, partition: Partition, fingerprint: string, vector: Float32Array, cached: CachedVerdict): void {
    assert(hasDirection(vector), 'a vector of the index has a direction');
    if (seq <= this.#lastSeq) return;
    const digest = digestOf(partition, fingerprint);
    if (this.#byDigest.has(digest)) {
      this.noteSeq(seq);
      return;
    }
    const sketch = sketchOf(vector);
    const offset = this.#file.append(encodeEntry({ seq, partition, fingerprint, vector, cached }, sketch));
    this.#keep(sectionKey(partition, vector.length), digest, sketch, offset);
    this.#lastSeq = seq;
    this.#markedSeq = seq;
  }

  /** A verdict that makes no entry. @throws AiError index-error */
  noteSeq(seq: number): void {
    if (seq <= this.#lastSeq) return;
    this.#lastSeq = seq;
    if (seq - this.#markedSeq >= MARK_EVERY) this.#mark();
  }

  /** @throws AiError index-error */
  exact(partition: Partition, fingerprint: string): CachedVerdict | undefined {
    const number = this.#byDigest.get(digestOf(partition, fingerprint));
    if (number === undefined) return undefined;
    const entry = decodeEntry(this.#file.read(...this.#placeOf(number)));
    // Digests may collide, however unlikely that is: then it costs a question.
    const isSame = entry.fingerprint === fingerprint && keyOf(entry.partition) === keyOf(partition);
    return isSame ? entry.cached : undefined;
  }

  /**
   * `similarityMin`: above 0, at most 1. Vectors of another length than this one are not compared.
   * @throws AiError index-error
   */
  async nearest(partition: Partition, vector: Float32Array, similarityMin: number): Promise<Neighbour | undefined> {
    assert(hasDirection(vector), 'a vector that is looked for has a direction');
    const generation = this.#generation;
    const section = this.#sections.get(sectionKey(partition, vector.length));
    if (section === undefined) return undefined;
    const candidates = await scanned(section.sketches, vector, similarityMin);
    let best: Neighbour | undefined;
    for (let first = 0; first < candidates.length; first += READS) {
      if (this.#generation !== generation) return undefined;
      const some = candidates.slice(first, first + READS);
      // What differs in more bits than a vector as near as the best one would is not nearer.
      if (best && (some[0] as Found).distance > (distanceLimits(best.similarity).at(-1) as number)) break;
      const entries = await this.#entries(some.map(({ entry }) => section.entries[entry] as number));
      // A file emptied meanwhile has no such records.
      if (this.#generation !== generation) return undefined;
      for (const entry of entries) {
        if (entry instanceof Error) throw entry;
        const similarity = cosine(vector, entry.vector);
        if (similarity >= similarityMin && similarity > (best?.similarity ?? 0))
          best = { verdict: entry.cached, similarity };
      }
    }
    return best;
  }

  /** By their numbers; what cannot be read is its error. */
  async #entries(numbers: readonly number[]): Promise<(VerdictEntry | Error)[]> {
    const generation = this.#generation;
    const entries = numbers.map((number) => this.#cache.get(number));
    // Most are there: nothing is waited for where all of them are.
    if (entries.every((entry) => entry !== undefined)) return entries;
    return Promise.all(
      numbers.map(async (number, index) => {
        const known = entries[index];
        if (known) return known;
        try {
          const record = await this.#file.readLater(...this.#placeOf(number));
          const entry = { ...decodeEntry(record), vector: vectorOfRecord(record) };
          if (this.#generation === generation) this.#cache.put(number, entry);
          return entry;
        } catch (error) {
          return error as Error;
        }
      }),
    );
  }

  /** Forgets everything, also in the file. @throws AiError index-error */
  clear(): void {
    this.#file.clear();
    this.#generation += 1;
    this.#sections.clear();
    this.#byDigest.clear();
    this.#offsets.length = 0;
    this.#cache.clear();
    this.#lastSeq = -1;
    this.#markedSeq = -1;
  }

  async close(): Promise<void> {
    try {
      if (this.#lastSeq > this.#markedSeq) this.#mark();
    } finally {
      await this.#file.close();
    }
  }

  #mark(): void {
    this.#file.putMark(encodeMark(this.#lastSeq));
    this.#markedSeq = this.#lastSeq;
  }

  /** A record of the file. */
  #take(record: Buffer, offset: number): void {
    const { seq, vectorLength } = headOf(record);
    if (vectorLength > 0) {
      const { partition, fingerprint } = decodeEntry(record);
      const digest = digestOf(partition, fingerprint);
      this.#keep(sectionKey(partition, vectorLength), digest, sketchOfRecord(record), offset);
    }
    this.#lastSeq = this.#markedSeq = seq;
  }

  #keep(key: string, digest: bigint, sketch: Uint32Array, offset: number): void {
    let section = this.#sections.get(key);
    if (section === undefined) {
      section = { sketches: new SketchTable(), entries: [] };
      this.#sections.set(key, section);
    }
    section.sketches.add(sketch);
    section.entries.push(this.size);
    this.#byDigest.set(digest, this.size);
    this.#offsets.push(offset);
  }

  #placeOf(number: number): [offset: number, end: number] {
    return [this.#offsets[number] as number, this.#offsets[number + 1] ?? this.#file.endOfEntries];
  }
}

/** The nearest by their sketches among all that were there when it began, ascending by distance. */
async function scanned(sketches: SketchTable, vector: Float32Array, similarityMin: number): Promise<Found[]> {
  const query = sketchOf(vector);
  const nearest = new Nearest(distanceLimits(similarityMin), CANDIDATES_MAX);
  const { size } = sketches;
  for (let first = 0; first < size; first += CHUNK_ENTRIES) {
    if (first > 0 && first % ENTRIES_PER_TURN === 0) await setImmediate();
    sketches.scan(query, first, Math.min(first + CHUNK_ENTRIES, size), nearest);
  }
  return nearest.sorted();
}

function keyOf({ embeddingModel, policyVersion, rule }: Partition): string {
  return JSON.stringify([embeddingModel, policyVersion, rule]);
}

function sectionKey(partition: Partition, vectorLength: number): string {
  return `${vectorLength} ${keyOf(partition)}`;
}

function digestOf(partition: Partition, fingerprint: string): bigint {
  return hash('sha256', `${keyOf(partition)}\n${fingerprint}`, 'buffer').readBigUInt64LE();
}
