import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { IndelibleError, type JournalEvent, type SegmentFile } from '../../journal/index.ts';
import type { EventFilter } from '../filters.ts';
import type { CommittedQuery } from '../rows.ts';
import type { BlockFile } from './block-file.ts';
import { entityKey } from './entity-key.ts';
import type { Source } from './format.ts';
import { mergedPage } from './merged-page.ts';
import { Shelf } from './shelf.ts';
import { BuildProcess } from './worker/index.ts';

/** What happened to the blocks, for metrics. */
export type HistoryObserver = {
  /** One question: how many files the blocks answered for, and how many they did not. */
  historyLookUp?(hits: number, misses: number): void;
  historyBuilt?(ms: number, bytes: number): void;
  historyBuildFailed?(error: unknown): void;
};

/** All events of an entity in one file; 'many': they are to be read page by page. */
export type Found = readonly JournalEvent[] | 'many';

/** An entity that lies in more blocks of one file is read page by page. */
const WHOLE_BLOCKS_MAX = 16;
/** Memory of the indexes of open files: some 250 KB for 250,000 events. */
const INDEX_BYTES_MAX = 64 * 1024 * 1024;
/** A file that was used for one of so many questions does not make room for another: nothing is built in turns. */
const QUESTIONS_KEPT = 10_000;
/** Blocks take about this much more than the segment does. */
const BLOCKS_PER_SEGMENT_BYTES = 2;
const ATTEMPTS_MAX = 2;
/** Segments that are remembered for having been asked for once. */
const ASKED_MAX = 10_000;

type Wanted = { file: SegmentFile; path: string };

/**
 * Committed segments as blocks of lines by entity, from which a history is read in a fraction of a millisecond. Derived
 * and local: a segment's blocks are built in the background once DuckDB had to read it twice, stay over restarts, and
 * may be deleted at any moment.
 */
export class HistoryBlocks {
  readonly #dir: string;
  readonly #shelf: Shelf;
  readonly #process: BuildProcess;
  readonly #observer: HistoryObserver;
  readonly #asked = new Set<string>();
  readonly #wanted = new Map<string, Wanted>();
  readonly #attempts = new Map<string, number>();
  readonly #lists = new WeakSet<readonly SegmentFile[]>();
  #questions = 0;
  #building: Promise<void> | undefined;
  #isClosed = false;

  /** `dir`: nothing else may lie there. `bytesMax`: of the files on disk. `tempDir`, `memoryBytes`: of the process that builds. */
  static async open(options: {
    dir: string;
    bytesMax: number;
    tempDir: string;
    memoryBytes: number;
    observer?: HistoryObserver;
  }): Promise<HistoryBlocks> {
    const { dir, bytesMax } = options;
    return new HistoryBlocks(await Shelf.open({ dir, bytesMax, indexBytesMax: INDEX_BYTES_MAX }), options);
  }

  private constructor(
    shelf: Shelf,
    options: { dir: string; tempDir: string; memoryBytes: number; observer?: HistoryObserver },
  ) {
    this.#shelf = shelf;
    this.#dir = options.dir;
    this.#process = new BuildProcess({ spillDir: options.tempDir, memoryBytes: options.memoryBytes });
    this.#observer = options.observer ?? {};
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#shelf.bytes;
  }

  /** What those of the files that have blocks hold of the entity. */
  async read(files: readonly SegmentFile[], entityId: string): Promise<Map<SegmentFile, Found>> {
    const answers = new Map<SegmentFile, Found>();
    const key = entityKey(entityId);
    this.#questions += 1;
    const readOne = async (file: SegmentFile) => {
      const blocks = await this.#shelf.use(sourceOf(file), this.#questions);
      if (blocks === undefined) return;
      const found = blocks.mayHold(key)
        ? await this.#guarded([[file, blocks]], () => blocks.read(key, WHOLE_BLOCKS_MAX))
        : [];
      if (found !== undefined && found !== 'large') answers.set(file, found);
    };
    await Promise.all(files.map(readOne));
    this.#observer.historyLookUp?.(answers.size, files.length - answers.size);
    return answers;
  }

  /** A page of the entity's events; undefined where not all files have blocks that can give it. */
  async page(
    files: readonly SegmentFile[],
    query: CommittedQuery & { filter: EventFilter & { entityId: string } },
  ): Promise<{ events: JournalEvent[]; cut: boolean } | undefined> {
    this.#questions += 1;
    const opened: [SegmentFile, BlockFile][] = [];
    for (const file of files) {
      const blocks = await this.#shelf.use(sourceOf(file), this.#questions);
      if (blocks !== undefined) opened.push([file, blocks]);
    }
    const isComplete = opened.length === files.length;
    const key = entityKey(query.filter.entityId);
    const blocks = opened.map(([, each]) => each);
    const page = isComplete ? await this.#guarded(opened, () => mergedPage(blocks, key, query)) : undefined;
    const hits = page === undefined ? 0 : files.length;
    this.#observer.historyLookUp?.(hits, files.length - hits);
    return page;
  }

  /** DuckDB reads the segment, which lies at `path` now, for a history: the second time its blocks are ordered. */
  want(file: SegmentFile, path: string): void {
    const { key } = file;
    if (this.#isClosed || this.#shelf.has(key) || this.#wanted.has(key)) return;
    if ((this.#attempts.get(key) ?? 0) >= ATTEMPTS_MAX) return;
    if (!this.#asked.delete(key)) {
      if (this.#asked.size >= ASKED_MAX) this.#asked.clear();
      this.#asked.add(key);
      return;
    }
    this.#wanted.set(key, { file, path });
    this.#start();
  }

  /** The journal consists of these files now: blocks of others, which compaction replaced, are removed. */
  keepOnly(workspace: string, files: readonly SegmentFile[]): void {
    if (this.#lists.has(files)) return;
    this.#lists.add(files);
    const kept = new Set(files.map(({ key }) => key));
    const isGone = (key: string) => key.startsWith(`${workspace}/`) && !kept.has(key);
    for (const key of this.#shelf.keys()) if (isGone(key)) this.#shelf.remove(key);
    for (const keys of [this.#asked, this.#wanted, this.#attempts]) {
      for (const key of keys.keys()) if (isGone(key)) keys.delete(key);
    }
  }

  /** Resolves when nothing is ordered any more. */
  async built(): Promise<void> {
    while (this.#building) await this.#building;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wanted.clear();
    this.#process.close();
    await this.#building;
    await this.#shelf.close();
  }

  #start(): void {
    this.#building ??= this.#buildAll().finally(() => {
      this.#building = undefined;
      // What was ordered after the last look.
      if (this.#wanted.size > 0) this.#start();
    });
  }

  async #buildAll(): Promise<void> {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const { file } = next;
      try {
        await this.#build(next);
      } catch (error) {
        this.#attempts.set(file.key, (this.#attempts.get(file.key) ?? 0) + 1);
        if (!this.#isClosed) this.#observer.historyBuildFailed?.(error);
      }
      this.#wanted.delete(file.key);
    }
  }

  #next(): Wanted | undefined {
    for (const wanted of this.#wanted.values()) return wanted;
    return undefined;
  }

  async #build({ file, path }: Wanted): Promise<void> {
    const source = sourceOf(file);
    const makeRoom = (bytes: number) => this.#shelf.makeRoom(bytes, this.#questions - QUESTIONS_KEPT);
    if (!makeRoom(BLOCKS_PER_SEGMENT_BYTES * file.sizeBytes)) return;
    // A local copy that was evicted while it waited: whoever asks next orders again.
    if (!(await isThere(path))) return;
    const startedMs = performance.now();
    const outPath = join(this.#dir, 'building.part');
    try {
      await rm(outPath, { force: true });
      const bytes = await this.#process.build({ segmentPath: path, outPath, source });
      // Compaction may have replaced the segment meanwhile.
      if (!this.#wanted.has(file.key) || !makeRoom(bytes)) return;
      await this.#shelf.add(file.key, outPath, { bytes, question: this.#questions });
      this.#observer.historyBuilt?.(performance.now() - startedMs, bytes);
    } finally {
      await rm(outPath, { force: true });
    }
  }

  /** undefined where a file turned out to be damaged, which removes it, or was closed meanwhile. */
  async #guarded<T>(opened: readonly [SegmentFile, BlockFile][], work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof IndelibleError)) throw error;
      for (const [file, blocks] of opened) if (blocks.isDamaged) this.#shelf.remove(file.key);
      return undefined;
    }
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function sourceOf({ key, sizeBytes, rows }: SegmentFile): Source {
  return { key, sizeBytes, rows };
}
