/** SHA-256 in hex. */
export const HASH_CHARS = 64;
const OUT_BYTES = 512 * 1024;

/** How a format's lines are put together. */
export type LineShape = {
  /** What stands between a line's own hash and its end, where the hash of the event before goes. */
  afterHash: string;
  /** What follows that hash. */
  foot: string;
};

/** A seq that comes twice, or in a segment where the table log has no such seq. */
export type SeqFault = { seq: number; reason: string };

export function twice(seq: number): SeqFault {
  return { seq, reason: `seq ${seq} appears twice` };
}

export function astray(seq: number): SeqFault {
  return { seq, reason: `seq ${seq} is in a segment of other seqs` };
}

export function lowest(a: SeqFault | undefined, b: SeqFault | undefined): SeqFault | undefined {
  if (!a || !b) return a ?? b;
  return a.seq <= b.seq ? a : b;
}

/** A line for each seq of a range, taken in any order and given in the order of seq. */
export class LineSlots {
  readonly bytesMax: number;
  /** Memory that was not written to yet is not resident: there is no reason to begin with less. */
  #bytes: Buffer;
  #used = 0;
  #firstSeq = 0;
  #slots = 0;
  /** By seq − firstSeq: where the line is; an end of 0 says that there is none. */
  #starts = new Uint32Array(0);
  #ends = new Uint32Array(0);
  #lines = 0;
  #fault: SeqFault | undefined;

  /** @param bytesMax for all lines together; a single one may be longer */
  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
    this.#bytes = Buffer.allocUnsafeSlow(bytesMax);
  }

  get firstSeq(): number {
    return this.#firstSeq;
  }

  get lastSeq(): number {
    return this.#firstSeq + this.#slots - 1;
  }

  get lines(): number {
    return this.#lines;
  }

  get isComplete(): boolean {
    return this.#lines === this.#slots;
  }

  /** The lowest. The segments are not what the log says. */
  get fault(): SeqFault | undefined {
    return this.#fault;
  }

  report(fault: SeqFault | undefined): void {
    this.#fault = lowest(this.#fault, fault);
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
    this.#fault = undefined;
  }

  /** @returns false: there is no room for it, and what is here stays as it was */
  put(seq: number, bytes: Buffer, start: number, end: number): boolean {
    const needed = this.#used + end - start;
    if (needed > this.bytesMax && this.#lines > 0) return false;
    const into = this.reserve(needed);
    bytes.copy(into, this.#used, start, end);
    this.place(seq, this.#used, needed);
    this.#used = needed;
    return true;
  }

  /** Room for so many bytes of lines in all, to be read into; `place` then says where each of them is. */
  reserve(bytes: number): Buffer {
    if (bytes > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(bytes);
      this.#bytes.copy(larger, 0, 0, this.#used);
      this.#bytes = larger;
    }
    return this.#bytes;
  }

  place(seq: number, start: number, end: number): void {
    const slot = seq - this.#firstSeq;
    if (!(slot >= 0 && slot < this.#slots)) {
      this.report(astray(seq));
      return;
    }
    if (this.#ends[slot] !== 0) {
      this.report(twice(seq));
      return;
    }
    this.#starts[slot] = start;
    this.#ends[slot] = end;
    this.#lines += 1;
  }

  /** The lines by ascending seq, each as `bytes` from `start` to `end`, good until the slots are cleared. */
  *entries(): Generator<{ seq: number; bytes: Buffer; start: number; end: number }> {
    for (let slot = 0; slot < this.#slots; slot += 1) {
      const end = this.#ends[slot] as number;
      if (end === 0) continue;
      yield { seq: this.#firstSeq + slot, bytes: this.#bytes, start: this.#starts[slot] as number, end };
    }
  }

  /**
   * The lines of complete slots, each with the hash of the one before and its foot, in pieces that are good until the
   * next one is asked for. Lines that are nothing but a hash are left out.
   * @param beforeHash hex, of the event before the first line
   * @returns how many lines are in the pieces
   */
  *pieces({ afterHash, foot }: LineShape, beforeHash: string): Generator<Buffer, number> {
    const tail = HASH_CHARS + foot.length;
    const out = { bytes: Buffer.allocUnsafe(OUT_BYTES), used: 0 };
    let before: Buffer = Buffer.from(beforeHash, 'latin1');
    let hashStart = 0;
    let lines = 0;
    for (let slot = 0; slot < this.#slots; slot += 1) {
      const [start, end] = [this.#starts[slot] as number, this.#ends[slot] as number];
      const ownHashStart = end - afterHash.length - HASH_CHARS;
      if (ownHashStart > start) {
        const bytes = end - start + tail;
        if (out.used + bytes > out.bytes.length) {
          yield out.bytes.subarray(0, out.used);
          out.used = 0;
          if (bytes > out.bytes.length) out.bytes = Buffer.allocUnsafe(bytes);
        }
        out.used += this.#bytes.copy(out.bytes, out.used, start, end);
        out.used += before.copy(out.bytes, out.used, hashStart, hashStart + HASH_CHARS);
        out.used += out.bytes.write(foot, out.used, 'latin1');
        lines += 1;
      }
      before = this.#bytes;
      hashStart = ownHashStart;
    }
    yield out.bytes.subarray(0, out.used);
    return lines;
  }

  /** event_hash of the range's last line, in hex; for complete slots. */
  lastHash({ afterHash }: LineShape): string {
    const end = (this.#ends[this.#slots - 1] as number) - afterHash.length;
    return this.#bytes.toString('latin1', end - HASH_CHARS, end);
  }
}
