import { unlinkSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BlockFile } from './block-file.ts';
import type { Source } from './format.ts';

const NAME = /^[A-Za-z0-9._~-]+\.blocks$/;

/** Open files: each has a descriptor. */
const OPEN_FILES_MAX = 256;

type Entry = {
  bytes: number;
  /** The question that used it last; of an earlier process before all questions of this one. */
  lastUsed: number;
  opened: Promise<BlockFile> | undefined;
  indexBytes: number;
};

/** The files of history blocks in one directory, by the key of their segment: on disk, and some of them open. */
export class Shelf {
  readonly #dir: string;
  readonly #bytesMax: number;
  readonly #indexBytesMax: number;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  #indexBytes = 0;
  #openFiles = 0;

  private constructor(options: { dir: string; bytesMax: number; indexBytesMax: number }) {
    this.#dir = options.dir;
    this.#bytesMax = options.bytesMax;
    this.#indexBytesMax = options.indexBytesMax;
  }

  /** Takes over what an earlier process left; whatever else lies in `dir` is removed. */
  static async open(options: { dir: string; bytesMax: number; indexBytesMax: number }): Promise<Shelf> {
    const shelf = new Shelf(options);
    await shelf.#takeOver();
    return shelf;
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#bytes;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  keys(): string[] {
    return [...this.#entries.keys()];
  }

  /** The segment's blocks; undefined: there are none, or what there was is not what was built, and is gone now. */
  async use(source: Source, question: number): Promise<BlockFile | undefined> {
    const entry = this.#entries.get(source.key);
    if (entry === undefined) return undefined;
    entry.lastUsed = question;
    entry.opened ??= this.#openFile(source, entry);
    try {
      return await entry.opened;
    } catch {
      this.#removeEntry(source.key, entry);
      return undefined;
    }
  }

  /** Moves a file here. */
  async add(key: string, path: string, { bytes, question }: { bytes: number; question: number }): Promise<void> {
    await rename(path, this.#pathOf(key));
    this.#entries.set(key, { bytes, lastUsed: question, opened: undefined, indexBytes: 0 });
    this.#bytes += bytes;
  }

  /** Closed at the end of the reads that are under way; a later read of it fails. */
  remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry) this.#removeEntry(key, entry);
  }

  /** Removes files that were used last before the question, the longest unused first. False: there is no room even so. */
  makeRoom(bytes: number, question: number): boolean {
    const unused = [...this.#entries].filter(([, { lastUsed }]) => lastUsed < question).sort(byLastUse);
    for (const [key, entry] of unused) {
      if (this.#bytes + bytes <= this.#bytesMax) return true;
      this.#removeEntry(key, entry);
    }
    return this.#bytes + bytes <= this.#bytesMax;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#entries.values()].map((entry) => this.#close(entry)));
  }

  async #openFile(source: Source, entry: Entry): Promise<BlockFile> {
    this.#openFiles += 1;
    const file = await BlockFile.open(this.#pathOf(source.key), source);
    entry.indexBytes = file.bytes;
    this.#indexBytes += file.bytes;
    this.#closeSome(entry);
    return file;
  }

  /** What is closed is opened again when it is asked for. */
  #closeSome(kept: Entry): void {
    const isTooMuch = () => this.#indexBytes > this.#indexBytesMax || this.#openFiles > OPEN_FILES_MAX;
    if (!isTooMuch()) return;
    for (const [, entry] of [...this.#entries].sort(byLastUse)) {
      if (!isTooMuch()) return;
      if (entry !== kept) void this.#close(entry);
    }
  }

  async #close(entry: Entry): Promise<void> {
    const { opened } = entry;
    if (opened === undefined) return;
    entry.opened = undefined;
    this.#openFiles -= 1;
    const file = await opened.catch(() => undefined);
    this.#indexBytes -= entry.indexBytes;
    entry.indexBytes = 0;
    await file?.close();
  }

  #removeEntry(key: string, entry: Entry): void {
    void this.#close(entry);
    // Another may have taken its place.
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    try {
      unlinkSync(this.#pathOf(key));
    } catch {
      // Somebody else removed it.
    }
  }

  /** Keys have no `~`: two keys never share a name. */
  #pathOf(key: string): string {
    return join(this.#dir, `${key.replaceAll('/', '~')}.blocks`);
  }

  async #takeOver(): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
    const found: { key: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(this.#dir)) {
      const path = join(this.#dir, name);
      if (!NAME.test(name)) {
        await rm(path, { recursive: true, force: true });
        continue;
      }
      const { size, atimeMs, mtimeMs } = await stat(path);
      const key = name.slice(0, -'.blocks'.length).replaceAll('~', '/');
      found.push({ key, bytes: size, usedMs: Math.max(atimeMs, mtimeMs) });
    }
    found.sort((a, b) => a.usedMs - b.usedMs);
    for (const [index, { key, bytes }] of found.entries()) {
      this.#entries.set(key, { bytes, lastUsed: index - found.length, opened: undefined, indexBytes: 0 });
      this.#bytes += bytes;
    }
    this.makeRoom(0, 0);
  }
}

function byLastUse([, left]: [string, Entry], [, right]: [string, Entry]): number {
  return left.lastUsed - right.lastUsed;
}
