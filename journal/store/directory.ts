import { constants, copyFile, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { IndelibleError } from '../errors.ts';
import type { ObjectStore, StoredObject } from '../ports.ts';
import { createFileDurable, isCode, makeDirDurable, moveFileDurable, writeFileDurable } from './durable.ts';
import { assertKey } from './key.ts';

/** An object store in a directory: an object is a file. Temporary files have names that begin with a dot. */
export class DirectoryStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;

  constructor(root: string) {
    this.#root = resolve(root);
    this.url = pathToFileURL(this.#root).href;
  }

  async putFile(key: string, localPath: string): Promise<void> {
    const path = this.#path(key);
    await makeDirDurable(dirname(path));
    await moveFileDurable(localPath, path);
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<'written' | 'exists'> {
    const path = this.#path(key);
    await makeDirDurable(dirname(path));
    return createFileDurable(path, bytes);
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const path = this.#path(key);
    await makeDirDurable(dirname(path));
    await writeFileDurable(path, bytes);
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.#path(key));
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async *list(prefix: string, startAfter = ''): AsyncIterable<StoredObject> {
    const slash = prefix.lastIndexOf('/');
    const dir = slash === -1 ? '' : prefix.slice(0, slash);
    yield* this.#walk(dir, prefix, startAfter);
  }

  async delete(key: string): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  pathOf(key: string): string {
    return this.#path(key);
  }

  async download(key: string, localPath: string): Promise<void> {
    try {
      await copyFile(this.#path(key), localPath, constants.COPYFILE_EXCL);
    } catch (cause) {
      if (!isCode(cause, 'ENOENT')) throw cause;
      throw new IndelibleError('corrupt', `${key} is not in ${this.url}`, { cause });
    }
  }

  async *#walk(dir: string, prefix: string, startAfter: string): AsyncGenerator<StoredObject> {
    const entries = await readdir(join(this.#root, dir), { withFileTypes: true }).catch((error: unknown) => {
      if (isCode(error, 'ENOENT')) return [];
      throw error;
    });
    // Keys ascend as S3 lists them: a directory sorts as if its name ended with its slash.
    const named = entries.map((entry) => ({ entry, sortName: entry.isDirectory() ? `${entry.name}/` : entry.name }));
    named.sort((a, b) => (a.sortName < b.sortName ? -1 : 1));
    for (const { entry } of named) {
      if (entry.name.startsWith('.')) continue;
      const key = dir === '' ? entry.name : `${dir}/${entry.name}`;
      if (entry.isDirectory()) {
        const below = `${key}/`;
        if (below.startsWith(prefix) || prefix.startsWith(below)) yield* this.#walk(key, prefix, startAfter);
      } else if (key.startsWith(prefix) && key > startAfter) {
        const info = await stat(join(this.#root, key)).catch((error: unknown) => {
          if (isCode(error, 'ENOENT')) return undefined;
          throw error;
        });
        if (info) yield { key, sizeBytes: info.size, modifiedMs: info.mtimeMs };
      }
    }
  }

  #path(key: string): string {
    assertKey(key);
    return join(this.#root, key);
  }
}
