import { closeSync, openSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { assert } from '../../journal/index.ts';
import { idHash, linePrefix, makeFilter } from './entity-key.ts';
import { compress, encodeIndex, FILE_BYTES_MAX, type Source } from './format.ts';

/** Text of a block before compression: a look-up reads one or two, and a block costs 40 bytes of memory. */
const BLOCK_BYTES = 16 * 1024;
const WRITE_BYTES = 1024 * 1024;

/** Writes a file of history blocks, line after line. For a process of its own: every step is synchronous. */
export class BlockWriter {
  readonly #file: number;
  readonly #offsets = [0];
  readonly #rawBytes: number[] = [];
  readonly #checksums: number[] = [];
  readonly #firstSeqs: number[] = [];
  readonly #idEnds: number[] = [];
  readonly #ids: Buffer[] = [];
  readonly #hashes: number[] = [];
  #lastId: string | undefined;
  #prefix = '';
  #lines: string[] = [];
  #chars = 0;
  #first: { id: string; seq: number } | undefined;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #rows = 0;

  /** The file must not exist. */
  constructor(path: string) {
    this.#file = openSync(path, 'wx');
  }

  /** `columns`: the line without the entity_id, as a JSON array that begins with the seq. In the order of the format. */
  add(entityId: string, seq: number, columns: string): void {
    if (entityId !== this.#lastId) {
      this.#lastId = entityId;
      this.#prefix = linePrefix(entityId);
      this.#hashes.push(idHash(Buffer.from(entityId)));
    }
    this.#first ??= { id: entityId, seq };
    const line = this.#prefix + columns.slice(1);
    this.#lines.push(line);
    this.#chars += line.length;
    this.#rows += 1;
    if (this.#chars >= BLOCK_BYTES) this.#endBlock();
  }

  /** Ends the file. @returns its bytes */
  finish(source: Source): number {
    assert(this.#rows === source.rows, 'history blocks hold every event of their segment');
    this.#endBlock();
    const offset = this.#offsets.at(-1) as number;
    const index = {
      offsets: Uint32Array.from(this.#offsets),
      rawBytes: Uint32Array.from(this.#rawBytes),
      checksums: Uint32Array.from(this.#checksums),
      firstSeqs: Uint32Array.from(this.#firstSeqs),
      idEnds: Uint32Array.from(this.#idEnds),
      ids: Buffer.concat(this.#ids),
      filter: makeFilter(this.#hashes),
    };
    const end = encodeIndex(source, index, offset);
    this.#write(end);
    this.#flush();
    return offset + end.length;
  }

  close(): void {
    closeSync(this.#file);
  }

  #endBlock(): void {
    if (this.#first === undefined) return;
    const raw = Buffer.from(this.#lines.join(''));
    const block = compress(raw);
    const end = (this.#offsets.at(-1) as number) + block.length;
    assert(end <= FILE_BYTES_MAX, 'history blocks of one segment are of less than 4 GiB');
    this.#offsets.push(end);
    this.#rawBytes.push(raw.length);
    this.#checksums.push(crc32(block));
    this.#firstSeqs.push(this.#first.seq);
    const id = Buffer.from(this.#first.id);
    this.#ids.push(id);
    this.#idEnds.push((this.#idEnds.at(-1) ?? 0) + id.length);
    this.#write(block);
    this.#lines = [];
    this.#chars = 0;
    this.#first = undefined;
  }

  #write(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= WRITE_BYTES) this.#flush();
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#pending);
    // A disk that is full takes a part: what is left is written again, and then it throws.
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
    this.#pending = [];
    this.#pendingBytes = 0;
  }
}
