import { randomUUID } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, IndelibleError } from '../errors.ts';
import type { ObjectStore } from '../ports.ts';
import type { FileHolder, HeldFiles, HoldableFile } from './held.ts';

/** What readers found in the cache, for metrics. */
export type CacheObserver = {
  cacheHit?(): void;
  /** A download came to its end. */
  cacheMiss?(ms: number, bytes: number): void;
  cacheEvicted?(bytes: number): void;
};

/** Downloads at once: enough to fill a network, few enough to leave sockets to the sealer. */
const DOWNLOADS_MAX = 4;

const SEGMENT_NAME = /^[A-Za-z0-9._~-]+\.parquet$/;

/** A file that is whole, or under way. */
type Cached = { sizeBytes: number; ready: Promise<void> };

/**
 * The store's immutable objects as local files. Where the store is a directory they are its own files, and are only
 * counted. Otherwise they are downloaded into `dir`, each once however many ask for it, and the least recently used go
 * when there are more than `bytesMax`; what is held stays, so that readers of much can pass the limit.
 */
export class SegmentCache implements FileHolder {
  readonly #store: ObjectStore;
  readonly #dir: string;
  readonly #bytesMax: number;
  readonly #observer: CacheObserver;
  /** Least recently used first. */
  readonly #cached = new Map<string, Cached>();
  readonly #holds = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  #downloads = 0;
  #bytes = 0;

  /** Takes over what an earlier process left whole; whatever else lies in `dir` is removed. */
  static async open(options: {
    store: ObjectStore;
    dir: string;
    bytesMax: number;
    observer?: CacheObserver;
  }): Promise<SegmentCache> {
    const cache = new SegmentCache(options);
    await cache.#takeOver();
    return cache;
  }

  private constructor(options: { store: ObjectStore; dir: string; bytesMax: number; observer?: CacheObserver }) {
    this.#store = options.store;
    this.#dir = options.dir;
    this.#bytesMax = options.bytesMax;
    this.#observer = options.observer ?? {};
  }

  /** Bytes on disk and on their way there. */
  get bytes(): number {
    return this.#bytes;
  }

  isHeld(key: string): boolean {
    return this.#holds.has(key);
  }

  async hold(files: readonly HoldableFile[]): Promise<HeldFiles> {
    // Held before the first wait: nothing of it is evicted while the rest is fetched.
    for (const { key } of files) this.#count(key);
    let isHeld = true;
    const release = () => {
      if (isHeld) for (const { key } of files) this.#letGo(key);
      isHeld = false;
      this.#evict();
    };
    try {
      return { paths: await Promise.all(files.map((file) => this.#path(file))), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /**
   * Stores a local file, which is consumed, under a key that nobody else uses; what was just written is what is read
   * next, so it is kept as if it had been downloaded.
   */
  async putFile(key: string, localPath: string, sizeBytes: number): Promise<void> {
    if (this.#store.pathOf(key) !== undefined) return this.#store.putFile(key, localPath);
    const kept = join(this.#dir, `.${randomUUID()}.part`);
    await mkdir(this.#dir, { recursive: true });
    // Where the cache lies on another disk there is no second name for it: it is downloaded when it is read.
    const isKept = await link(localPath, kept).then(
      () => true,
      () => false,
    );
    try {
      await this.#store.putFile(key, localPath);
      // The store has it: what goes wrong here only means that it is downloaded.
      if (isKept) await this.#takeIn(kept, { key, sizeBytes }).catch(() => {});
    } finally {
      await rm(kept, { force: true });
    }
  }

  async #takeIn(path: string, { key, sizeBytes }: HoldableFile): Promise<void> {
    await syncWhole(path, key, sizeBytes);
    await rename(path, this.#pathOf(key));
    this.#cached.set(key, { sizeBytes, ready: Promise.resolve() });
    this.#bytes += sizeBytes;
    this.#evict();
  }

  #count(key: string): void {
    this.#holds.set(key, (this.#holds.get(key) ?? 0) + 1);
  }

  #letGo(key: string): void {
    const holds = this.#holds.get(key) ?? 0;
    assert(holds > 0, 'a held file is counted');
    if (holds === 1) this.#holds.delete(key);
    else this.#holds.set(key, holds - 1);
  }

  async #path(file: HoldableFile): Promise<string> {
    const own = this.#store.pathOf(file.key);
    if (own !== undefined) return own;
    let cached = this.#cached.get(file.key);
    // A file of another size than the table log says was damaged while nobody looked.
    if (cached?.sizeBytes === file.sizeBytes) this.#observer.cacheHit?.();
    else cached = this.#fetch(file);
    this.#cached.delete(file.key);
    this.#cached.set(file.key, cached);
    await cached.ready;
    return this.#pathOf(file.key);
  }

  #fetch(file: HoldableFile): Cached {
    this.#forget(file.key);
    // Held while it is under way, also where nobody waits for it any more.
    this.#count(file.key);
    const ready = this.#download(file)
      .catch((error: unknown) => {
        if (this.#cached.get(file.key) === cached) this.#forget(file.key);
        throw error;
      })
      .finally(() => {
        this.#letGo(file.key);
        this.#evict();
      });
    // Told to those who wait for it, if any do.
    ready.catch(() => {});
    const cached = { sizeBytes: file.sizeBytes, ready };
    this.#bytes += file.sizeBytes;
    this.#evict();
    return cached;
  }

  async #download({ key, sizeBytes }: HoldableFile): Promise<void> {
    if (this.#downloads >= DOWNLOADS_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#downloads += 1;
    const temporary = join(this.#dir, `.${randomUUID()}.part`);
    const startedMs = performance.now();
    try {
      await mkdir(this.#dir, { recursive: true });
      await this.#store.download(key, temporary);
      await syncWhole(temporary, key, sizeBytes);
      await rename(temporary, this.#pathOf(key));
      this.#observer.cacheMiss?.(performance.now() - startedMs, sizeBytes);
    } catch (cause) {
      await rm(temporary, { force: true });
      if (cause instanceof IndelibleError) throw cause;
      throw new IndelibleError('unavailable', `${key} could not be brought to ${this.#dir}`, { cause, retryAfterS: 5 });
    } finally {
      // The place goes to the next in line, or is free.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#downloads -= 1;
    }
  }

  #evict(): void {
    for (const [key, { sizeBytes }] of this.#cached) {
      if (this.#bytes <= this.#bytesMax) return;
      if (this.#holds.has(key)) continue;
      this.#forget(key);
      this.#observer.cacheEvicted?.(sizeBytes);
    }
  }

  /** At once, not later: a new download of the same key must not find its file removed. */
  #forget(key: string): void {
    const cached = this.#cached.get(key);
    if (!cached) return;
    this.#cached.delete(key);
    this.#bytes -= cached.sizeBytes;
    try {
      unlinkSync(this.#pathOf(key));
    } catch {
      // It never came, or somebody else removed it.
    }
  }

  /** Keys have no `~`: two keys never share a name. */
  #pathOf(key: string): string {
    return join(this.#dir, key.replaceAll('/', '~'));
  }

  async #takeOver(): Promise<void> {
    const found: { key: string; sizeBytes: number; modifiedMs: number }[] = [];
    for (const name of await readdir(this.#dir).catch(() => [])) {
      const path = join(this.#dir, name);
      if (!SEGMENT_NAME.test(name)) {
        await rm(path, { recursive: true, force: true });
        continue;
      }
      const { size, mtimeMs } = await stat(path);
      found.push({ key: name.replaceAll('~', '/'), sizeBytes: size, modifiedMs: mtimeMs });
    }
    found.sort((a, b) => a.modifiedMs - b.modifiedMs);
    for (const { key, sizeBytes } of found) {
      this.#cached.set(key, { sizeBytes, ready: Promise.resolve() });
      this.#bytes += sizeBytes;
    }
    this.#evict();
  }
}

/** After a loss of power a name must not stand for bytes that never reached the disk. */
async function syncWhole(path: string, key: string, sizeBytes: number): Promise<void> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size !== sizeBytes) {
      throw new IndelibleError('corrupt', `${key} has ${size} bytes in the store, the table log says ${sizeBytes}`);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}
