import type { Buffer } from 'node:buffer';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDir } from '../store/index.ts';

/**
 * The file a group of lines goes to. An append that fails may have written any part; a sync that fails leaves it
 * unknown what is on disk.
 */
export interface WalFile {
  append(pieces: Buffer[], position: number): Promise<void>;
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

/** Makes a new file whose name is durable. Two adapters: the disk, and one that injects faults in tests. */
export interface WalDisk {
  create(path: string): Promise<WalFile>;
}

class DiskFile implements WalFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async append(pieces: Buffer[], position: number): Promise<void> {
    let at = position;
    for (const piece of pieces) {
      // One write call may store less than it was given.
      for (let done = 0; done < piece.length; ) {
        const { bytesWritten } = await this.#handle.write(piece, done, piece.length - done, at);
        done += bytesWritten;
        at += bytesWritten;
      }
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** A file that may be lost: what is in it can be read again from where it came. */
class SpoolFile extends DiskFile {
  readonly #disk: SpoolDisk;

  constructor(disk: SpoolDisk, handle: FileHandle) {
    super(handle);
    this.#disk = disk;
  }

  override append(pieces: Buffer[], position: number): Promise<void> {
    return this.#disk.attempt(() => super.append(pieces, position));
  }

  override async sync(): Promise<void> {}
}

/**
 * Where the log is a queue elsewhere, and lines on this disk are only what sealing reads. After the first failure it
 * takes nothing more: what was lost then is to be written before what would come behind it.
 */
export class SpoolDisk implements WalDisk {
  #failed: { error: unknown } | undefined;

  create(path: string): Promise<WalFile> {
    return this.attempt(async () => new SpoolFile(this, await open(path, 'wx')));
  }

  async attempt<T>(work: () => Promise<T>): Promise<T> {
    if (this.#failed) throw this.#failed.error;
    try {
      return await work();
    } catch (error) {
      this.#failed ??= { error };
      throw error;
    }
  }
}

export const localDisk: WalDisk = {
  async create(path) {
    const handle = await open(path, 'wx');
    try {
      await handle.sync();
      await syncDir(dirname(path));
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new DiskFile(handle);
  },
};
