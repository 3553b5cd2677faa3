import { type FileHandle, open } from 'node:fs/promises';
import { IndelibleError, isCode, type JournalEvent } from '../../journal/index.ts';
import { type EntityKey, passesFilter } from './entity-key.ts';
import {
  type BlockIndex,
  blockRange,
  damaged,
  decodeIndex,
  decodeTrailer,
  decompress,
  eventsOfBlock,
  indexBytes,
  type Source,
  TRAILER_BYTES,
} from './format.ts';

/** A file of history blocks, open, its index in memory. */
export class BlockFile {
  /** Memory of the index. */
  readonly bytes: number;
  readonly #handle: FileHandle;
  readonly #index: BlockIndex;
  #isDamaged = false;

  private constructor(handle: FileHandle, index: BlockIndex) {
    this.#handle = handle;
    this.#index = index;
    this.bytes = indexBytes(index);
  }

  /** @throws Error where there is none; corrupt where it is not what was built of this segment */
  static async open(path: string, source: Source): Promise<BlockFile> {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      const trailer = decodeTrailer(await readAt(handle, size - TRAILER_BYTES, TRAILER_BYTES), size);
      const index = decodeIndex(await readAt(handle, trailer.offset, trailer.bytes), trailer, source);
      return new BlockFile(handle, index);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** A read found other bytes than were written. */
  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  /** False: it holds nothing of the entity. */
  mayHold({ hash }: EntityKey): boolean {
    return passesFilter(this.#index.filter, hash);
  }

  /**
   * All events of the entity, ascending; 'many': they lie in more than `blocksMax` blocks; 'large': one is not kept here.
   * @throws corrupt; unavailable where the file was closed meanwhile
   */
  async read(key: EntityKey, blocksMax: number): Promise<JournalEvent[] | 'many' | 'large'> {
    const { first, last } = blockRange(this.#index, key, 0, Number.MAX_SAFE_INTEGER);
    if (last - first >= blocksMax) return 'many';
    const events: JournalEvent[] = [];
    for (const raw of await this.#blocks(first, last)) {
      const found = eventsOfBlock(raw, key, 0, Number.MAX_SAFE_INTEGER);
      if (found === 'large') return 'large';
      for (const event of found) events.push(event);
    }
    return events;
  }

  /**
   * The entity's events with fromSeq ≤ seq ≤ toSeq in `order`, block by block; 'large': the block has one that is not
   * kept here. @throws as read does
   */
  async *pieces(
    key: EntityKey,
    { fromSeq, toSeq, order }: { fromSeq: number; toSeq: number; order: 'asc' | 'desc' },
  ): AsyncGenerator<JournalEvent[] | 'large'> {
    if (!this.mayHold(key)) return;
    const { first, last } = blockRange(this.#index, key, fromSeq, toSeq);
    for (let step = 0; step <= last - first; step += 1) {
      const at = order === 'asc' ? first + step : last - step;
      const [raw] = await this.#blocks(at, at);
      const found = raw === undefined ? [] : eventsOfBlock(raw, key, fromSeq, toSeq);
      yield found === 'large' || order === 'asc' ? found : found.reverse();
    }
  }

  /** Reads that are under way end first. */
  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #blocks(first: number, last: number): Promise<Buffer[]> {
    if (first > last) return [];
    const { offsets, rawBytes, checksums } = this.#index;
    const begin = offsets[first] as number;
    try {
      const bytes = await readAt(this.#handle, begin, (offsets[last + 1] as number) - begin);
      const blocks: Buffer[] = [];
      for (let at = first; at <= last; at += 1) {
        const block = bytes.subarray((offsets[at] as number) - begin, (offsets[at + 1] as number) - begin);
        blocks.push(decompress(block, rawBytes[at] as number, checksums[at] as number));
      }
      return blocks;
    } catch (cause) {
      if (isCode(cause, 'EBADF')) throw new IndelibleError('unavailable', 'history blocks: closed', { cause });
      this.#isDamaged = true;
      throw new IndelibleError('corrupt', 'history blocks: a block cannot be read', { cause });
    }
  }
}

async function readAt(handle: FileHandle, offset: number, bytes: number): Promise<Buffer> {
  if (offset < 0) throw damaged('the file is too short');
  const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(bytes), 0, bytes, offset);
  if (bytesRead < bytes) throw damaged('the file is too short');
  return buffer;
}
