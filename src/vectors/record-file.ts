import { constants, ftruncateSync, readSync, writeSync } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { AiError } from '../judging/index.ts';
import { FILE_HEADER, headOf, isSound, PREFIX_BYTES, RECORD_BYTES_MAX, recordLength } from './record.ts';

const FILE_NAME = 'verdicts.vectors';

/**
 * The file of the index: records one after the other. Nothing is ever synced, since all of it can be made again from
 * the journal. Appending is a plain write into the page cache, so that an entry can be read as soon as it was added.
 */
export class RecordFile {
  readonly #handle: FileHandle;
  #endOfEntries = 0;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async open(dir: string): Promise<RecordFile> {
    await mkdir(dir, { recursive: true });
    return new RecordFile(await open(join(dir, FILE_NAME), constants.O_RDWR | constants.O_CREAT));
  }

  /** Where the last entry ends. */
  get endOfEntries(): number {
    return this.#endOfEntries;
  }

  /**
   * Gives every sound record and its offset, in order, and cuts a torn end off: what is missing after the last whole
   * record. The bytes of a record are lent until the next. False where the file is not ours, or damaged anywhere
   * else: then it says nothing that can be relied on.
   */
  async load(onRecord: (record: Buffer, offset: number) => void): Promise<boolean> {
    const { size } = await this.#handle.stat();
    const header = await this.#bytes(0, Math.min(size, FILE_HEADER.length));
    if (!header.equals(FILE_HEADER)) return false;
    this.#endOfEntries = header.length;
    let at = header.length;
    const whole = Buffer.allocUnsafe(Math.min(size - at, RECORD_BYTES_MAX));
    for (let isLast = false; !isLast; ) {
      const block = whole.subarray(0, size - at);
      await this.#fill(block, at);
      isLast = at + block.length === size;
      const taken = this.#takeRecords(block, at, isLast, onRecord);
      if (taken === undefined) return false;
      at += taken;
    }
    if (at < size) await this.#handle.truncate(at);
    return true;
  }

  /** Empties the file. */
  clear(): void {
    asIndexError('cannot be emptied', () => ftruncateSync(this.#handle.fd, 0));
    this.#endOfEntries = 0;
    this.append(FILE_HEADER);
  }

  /** Gives the offset of the entry, or of the header. @throws AiError index-error */
  append(bytes: Buffer): number {
    const offset = this.#endOfEntries;
    this.#write(bytes, offset);
    this.#endOfEntries = offset + bytes.length;
    return offset;
  }

  /** Writes a mark at the end, where the next record overwrites it. @throws AiError index-error */
  putMark(mark: Buffer): void {
    this.#write(mark, this.#endOfEntries);
  }

  /** The record from `offset` up to `end`. @throws AiError index-error */
  read(offset: number, end: number): Buffer {
    const bytes = Buffer.allocUnsafe(end - offset);
    asIndexError('cannot be read', () => {
      const count = readSync(this.#handle.fd, bytes, 0, bytes.length, offset);
      if (count !== bytes.length) throw new Error(`${count} bytes of ${bytes.length} at ${offset}`);
    });
    return soundRecord(bytes);
  }

  /** The same, without keeping anybody waiting. */
  async readLater(offset: number, end: number): Promise<Buffer> {
    const bytes = await this.#bytes(offset, end).catch((cause) => {
      throw indexError('cannot be read', cause);
    });
    return soundRecord(bytes);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** How many of a block's bytes are whole records; undefined: the file is damaged. */
  #takeRecords(
    block: Buffer,
    offset: number,
    isLast: boolean,
    onRecord: (record: Buffer, offset: number) => void,
  ): number | undefined {
    let at = 0;
    while (block.length - at >= PREFIX_BYTES) {
      const rest = block.subarray(at);
      const length = recordLength(rest);
      // A file that was extended and not written, when the machine stopped, ends in zeros.
      if (length === undefined) return isLast && rest.every((byte) => byte === 0) ? at : undefined;
      if (length > rest.length) break;
      const record = rest.subarray(0, length);
      if (!isSound(record)) return isLast && length === rest.length ? at : undefined;
      onRecord(record, offset + at);
      at += length;
      if (headOf(record).vectorLength > 0) this.#endOfEntries = offset + at;
    }
    return at;
  }

  /** What could be written only in part is overwritten by the next. */
  #write(bytes: Buffer, offset: number): void {
    asIndexError('cannot be written', () => {
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.#handle.fd, bytes, done, bytes.length - done, offset + done);
    });
  }

  async #bytes(offset: number, end: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(end - offset);
    await this.#fill(bytes, offset);
    return bytes;
  }

  async #fill(bytes: Buffer, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await this.#handle.read(bytes, done, bytes.length - done, offset + done);
      if (bytesRead === 0) throw new Error(`${done} bytes of ${bytes.length} at ${offset}`);
      done += bytesRead;
    }
  }
}

function soundRecord(record: Buffer): Buffer {
  if (recordLength(record) !== record.length || !isSound(record))
    throw new AiError('index-error', 'an entry of the index of verdicts is damaged');
  return record;
}

function asIndexError(what: string, work: () => void): void {
  try {
    work();
  } catch (cause) {
    throw indexError(what, cause);
  }
}

function indexError(what: string, cause: unknown): AiError {
  return new AiError('index-error', `the index of verdicts ${what}`, { cause });
}
