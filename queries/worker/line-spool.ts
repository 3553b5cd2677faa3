import { closeSync, openSync, read, rmSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { IndelibleError } from '../../journal/index.ts';
import { astray, type LineSlots, lowest, type SeqFault } from './line-slots.ts';

/** All write buffers together: one block for each bucket. */
const BUFFERS_BYTES = 24 * 1024 * 1024;
const BLOCK_BYTES_MAX = 256 * 1024;
const PAGE_BYTES = 4096;
export const BUCKETS_MAX = BUFFERS_BYTES / PAGE_BYTES;
/** A line's seq as a double, and its length. */
const HEAD_BYTES = 12;
const WINDOW_BYTES = 1024 * 1024;
const readSome = promisify(read);

/** Gets a line: `bytes` from `start` to `end`, good until it returns. */
export type TakeLine = (seq: number, bytes: Buffer, start: number, end: number) => void;

type Bucket = {
  /** Numbers of the file's blocks that are full of its lines, in order. */
  blocks: number[];
  /** The block that is being filled. */
  buffer: Buffer | undefined;
  used: number;
};

export type SeqRange = { firstSeq: number; lastSeq: number };
type SpoolOptions = SeqRange & { path: string; bucketSeqs: number; bytesMax: number };

/**
 * Lines of a range of seqs on disk, taken in any order, given back bucket by bucket, each a short range. Where the
 * file's limit is reached, the last buckets are given up: then it holds the lines up to `keptSeq`, and no others.
 */
export class LineSpool {
  readonly options: SpoolOptions;
  readonly #fd: number;
  readonly #blockBytes: number;
  readonly #blocksMax: number;
  readonly #buckets: Bucket[];
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #kept: number;
  #blocks = 0;
  #free: number[] = [];
  #fault: SeqFault | undefined;

  constructor(options: SpoolOptions) {
    const { firstSeq, lastSeq, bucketSeqs, bytesMax } = options;
    const buckets = Math.ceil((lastSeq - firstSeq + 1) / bucketSeqs);
    const pages = Math.max(1, Math.floor(BUFFERS_BYTES / buckets / PAGE_BYTES));
    this.options = options;
    this.#blockBytes = Math.min(BLOCK_BYTES_MAX, pages * PAGE_BYTES);
    this.#blocksMax = Math.floor(bytesMax / this.#blockBytes);
    this.#buckets = Array.from({ length: buckets }, () => ({ blocks: [], buffer: undefined, used: 0 }));
    this.#kept = buckets;
    this.#fd = openSync(options.path, 'w+');
  }

  /** The lowest seq that is not of the range. */
  get fault(): SeqFault | undefined {
    return this.#fault;
  }

  get fileBytes(): number {
    return this.#blocks * this.#blockBytes;
  }

  /** @throws IndelibleError too-large where not even the first bucket is whole */
  get keptSeq(): number {
    if (this.#kept === 0) throw new IndelibleError('too-large', 'the answer needs more disk than it may use');
    return this.#rangeOf(this.#kept - 1).lastSeq;
  }

  /** Of the buckets that were kept, ascending. */
  *buckets(): Generator<SeqRange & { index: number; bytes: number }> {
    for (let index = 0; index < this.#kept; index += 1) {
      const { blocks, used } = this.#buckets[index] as Bucket;
      yield { index, ...this.#rangeOf(index), bytes: blocks.length * this.#blockBytes + used };
    }
  }

  #rangeOf(index: number): SeqRange {
    const { firstSeq, lastSeq, bucketSeqs } = this.options;
    const first = firstSeq + index * bucketSeqs;
    return { firstSeq: first, lastSeq: Math.min(lastSeq, first + bucketSeqs - 1) };
  }

  put(seq: number, bytes: Buffer, start: number, end: number): void {
    const { firstSeq, lastSeq, bucketSeqs } = this.options;
    if (!(seq >= firstSeq && seq <= lastSeq)) {
      this.#fault = lowest(this.#fault, astray(seq));
      return;
    }
    const index = Math.floor((seq - firstSeq) / bucketSeqs);
    this.#head.writeDoubleLE(seq, 0);
    this.#head.writeUInt32LE(end - start, 8);
    this.#append(index, this.#head, 0, HEAD_BYTES);
    this.#append(index, bytes, start, end);
  }

  #append(index: number, bytes: Buffer, start: number, end: number): void {
    const bucket = this.#buckets[index] as Bucket;
    let from = start;
    while (from < end && index < this.#kept) {
      bucket.buffer ??= Buffer.allocUnsafeSlow(this.#blockBytes);
      const copied = bytes.copy(bucket.buffer, bucket.used, from, end);
      bucket.used += copied;
      from += copied;
      if (bucket.used === this.#blockBytes) this.#write(bucket, index);
    }
  }

  #write(bucket: Bucket, index: number): void {
    while (this.#free.length === 0 && this.#blocks === this.#blocksMax && this.#kept > 0) this.#dropLast();
    if (index >= this.#kept) return;
    const block = this.#free.pop() ?? this.#blocks++;
    const buffer = bucket.buffer as Buffer;
    for (let done = 0; done < buffer.length; )
      done += writeSync(this.#fd, buffer, done, buffer.length - done, block * this.#blockBytes + done);
    bucket.blocks.push(block);
    bucket.used = 0;
  }

  #dropLast(): void {
    this.#kept -= 1;
    const bucket = this.#buckets[this.#kept] as Bucket;
    this.#free.push(...bucket.blocks);
    this.#buckets[this.#kept] = { blocks: [], buffer: undefined, used: 0 };
  }

  /** A bucket's lines into slots that were cleared for its range. */
  async load(index: number, bytes: number, slots: LineSlots): Promise<void> {
    const into = slots.reserve(bytes);
    await this.#read(index, 0, bytes, into, 0);
    let at = 0;
    while (at < bytes) {
      const start = at + HEAD_BYTES;
      const end = start + into.readUInt32LE(at + 8);
      slots.place(into.readDoubleLE(at), start, end);
      at = end;
    }
  }

  /** A bucket's lines from a seq on, in little memory. */
  async pour(index: number, bytes: number, fromSeq: number, take: TakeLine): Promise<void> {
    let window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
    let [taken, filled, done] = [0, 0, 0];
    const lineBytes = () => (filled - taken < HEAD_BYTES ? HEAD_BYTES : HEAD_BYTES + window.readUInt32LE(taken + 8));
    while (done < bytes) {
      window.copyWithin(0, taken, filled);
      [taken, filled] = [0, filled - taken];
      if (lineBytes() > window.length) {
        const larger = Buffer.allocUnsafeSlow(lineBytes());
        window.copy(larger, 0, 0, filled);
        window = larger;
      }
      const more = Math.min(window.length - filled, bytes - done);
      await this.#read(index, done, more, window, filled);
      done += more;
      filled += more;
      while (filled - taken >= HEAD_BYTES && filled - taken >= lineBytes()) {
        const end = taken + lineBytes();
        const seq = window.readDoubleLE(taken);
        if (seq >= fromSeq) take(seq, window, taken + HEAD_BYTES, end);
        taken = end;
      }
    }
  }

  /** `count` of a bucket's bytes from its byte `offset` on. */
  async #read(index: number, offset: number, count: number, into: Buffer, at: number): Promise<void> {
    const { blocks, buffer } = this.#buckets[index] as Bucket;
    let done = 0;
    while (done < count) {
      const from = (offset + done) % this.#blockBytes;
      const some = Math.min(count - done, this.#blockBytes - from);
      const block = blocks[Math.floor((offset + done) / this.#blockBytes)];
      if (block === undefined) done += (buffer as Buffer).copy(into, at + done, from, from + some);
      else {
        const { bytesRead } = await readSome(this.#fd, into, at + done, some, block * this.#blockBytes + from);
        if (bytesRead === 0) throw new Error('the spool file is shorter than what was written to it');
        done += bytesRead;
      }
    }
  }

  close(): void {
    closeSync(this.#fd);
    rmSync(this.options.path, { force: true });
  }
}
