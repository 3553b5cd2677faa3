/** SHA-256 in hex. */
const HASH_CHARS = 64;
const START_BYTES = 1024 * 1024;
const OUT_BYTES = 512 * 1024;

/** How a format's lines are put together. */
export type LineShape = {
  /** Characters between a line's own hash and its end, where the hash of the event before goes. */
  afterHash: number;
  /** What follows that hash. */
  foot: string;
};

/**
 * Lines of a range of seqs, taken in any order and given in the order of seq. Each ends with its event_hash and a few
 * characters; where `beforeHash` is known, each gets the one of the line before.
 */
export class LineSlots {
  readonly #bytesMax: number;
  #bytes = Buffer.allocUnsafeSlow(START_BYTES);
  #used = 0;
  #firstSeq = 0;
  #slots = 0;
  /** By seq − firstSeq: where the line is; an end of 0 says that there is none. */
  #starts = new Uint32Array(0);
  #ends = new Uint32Array(0);
  #lines = 0;
  #isFull = false;

  /** @param bytesMax for all lines together; a single one may be longer */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get lines(): number {
    return this.#lines;
  }

  /** Not all lines had room: what is here is of no use, and half as many might fit. */
  get isFull(): boolean {
    return this.#isFull;
  }

  clear(firstSeq: number, lastSeq: number): void {
    this.#slots = lastSeq - firstSeq + 1;
    if (this.#slots > this.#ends.length) {
      this.#starts = new Uint32Array(this.#slots);
      this.#ends = new Uint32Array(this.#slots);
    }
    this.#ends.fill(0);
    this.#firstSeq = firstSeq;
    this.#used = 0;
    this.#lines = 0;
    this.#isFull = false;
  }

  /** @throws where the seq is not of the range or has its line already: the segments are not what the log says */
  put(seq: number, bytes: Buffer, start: number, end: number): void {
    const slot = seq - this.#firstSeq;
    if (!(slot >= 0 && slot < this.#slots)) throw new Error(`seq ${seq} is in a segment of other seqs`);
    if (this.#ends[slot] !== 0) throw new Error(`seq ${seq} is there twice`);
    if (this.#isFull || !this.#makeRoom(end - start)) return;
    bytes.copy(this.#bytes, this.#used, start, end);
    this.#starts[slot] = this.#used;
    this.#used += end - start;
    this.#ends[slot] = this.#used;
    this.#lines += 1;
  }

  #makeRoom(bytes: number): boolean {
    const needed = this.#used + bytes;
    if (needed <= this.#bytes.length) return true;
    this.#isFull = needed > this.#bytesMax && this.#lines > 0;
    if (this.#isFull) return false;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#bytes.length * 2, this.#bytesMax)));
    this.#bytes.copy(larger, 0, 0, this.#used);
    this.#bytes = larger;
    return true;
  }

  /**
   * The lines, each with its foot, in pieces that are good until the next one is asked for.
   * @param beforeHash hex, of the event before the first line; without it the lines are complete but for the foot
   */
  *pieces({ afterHash, foot }: LineShape, beforeHash?: string): Generator<Buffer> {
    const tail = HASH_CHARS + foot.length;
    let out = Buffer.allocUnsafe(OUT_BYTES);
    let used = 0;
    let previousEnd = -1;
    for (let slot = 0; slot < this.#slots; slot += 1) {
      const end = this.#ends[slot] as number;
      if (end === 0) continue;
      const start = this.#starts[slot] as number;
      const bytes = end - start + tail;
      if (used + bytes > out.length) {
        yield out.subarray(0, used);
        used = 0;
        if (bytes > out.length) out = Buffer.allocUnsafe(bytes);
      }
      used += this.#bytes.copy(out, used, start, end);
      if (beforeHash !== undefined) {
        if (previousEnd < 0) used += out.write(beforeHash, used, 'latin1');
        else used += this.#bytes.copy(out, used, previousEnd - afterHash - HASH_CHARS, previousEnd - afterHash);
        previousEnd = end;
      }
      used += out.write(foot, used, 'latin1');
    }
    yield out.subarray(0, used);
  }

  /** event_hash of the range's last line, in hex; for a range that has it. */
  lastHash({ afterHash }: LineShape): string {
    const end = (this.#ends[this.#slots - 1] as number) - afterHash;
    return this.#bytes.toString('latin1', end - HASH_CHARS, end);
  }
}
