import { join } from 'node:path';
import { type CacheObserver, SegmentCache } from './cache/index.ts';
import { openDataDir } from './data-dir.ts';
import type { DraftBatch } from './drafts/index.ts';
import type { Engine } from './duckdb/index.ts';
import { IndelibleError } from './errors.ts';
import { type AppendResult, type DraftEvent, type JournalEvent, type Receipt, SYSTEM_WORKSPACE } from './event.ts';
import type { CompactionObserver, CompactionReport } from './compact/index.ts';
import {
  COMPACTION_DEFAULTS,
  type CompactionSettings,
  JournalCompaction,
  mergeableFiles,
} from './journal-compaction.ts';
import { JournalRetention } from './journal-retention.ts';
import { JournalSet } from './journal-set.ts';
import { JournalWriter, type WriterObserver, type WriterSettings } from './journal-writer.ts';
import { type Journals, seqOf } from './journals.ts';
import { type JournalStats, journalStats } from './journal-stats.ts';
import { assertOwner, claimStore } from './ownership.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { inThisProcess, type SegmentJobs, SegmentProcess } from './segment-process/index.ts';
import type { Snapshot } from './snapshot.ts';
import { snapshotOf } from './snapshot-view.ts';
import { timeOfMs } from './time.ts';
import { recoverWal, type WalDisk } from './wal/index.ts';

export type JournalObserver = CacheObserver &
  CompactionObserver &
  WriterObserver & {
    recovered?(found: { events: number; files: number; cutBytes: number; ms: number }): void;
  };

export type JournalsOptions = WriterSettings & {
  dataDir: string;
  store: ObjectStore;
  clock: Clock;
  random: Random;
  disk: WalDisk;
  /** Local copies of the store's segments; a store on this machine needs none. */
  cacheBytesMax: number;
  engineMemoryBytes: number;
  engineThreads: number;
  /** Default: automatic with COMPACTION_DEFAULTS. */
  compaction?: Partial<CompactionSettings>;
  /** Seal and compact in this process (default), or in ones of their own, which leave memory and processors to appends. */
  sealIn?: 'this-process' | 'own-process';
  /** Take the store from another data directory. */
  takeOver: boolean;
  observer: JournalObserver;
};

/** Every journal of this process: the way of an event from append to commit, and the snapshots that readers take. */
export class LocalJournals implements Journals {
  readonly engine: Engine;
  /** For files that may be lost; emptied at every start. */
  readonly tempDir: string;
  readonly #options: JournalsOptions;
  readonly #set: JournalSet;
  readonly #cache: SegmentCache;
  readonly #writer: JournalWriter;
  readonly #sealJobs: SegmentJobs;
  readonly #compaction: JournalCompaction;
  readonly retention: JournalRetention;
  readonly queue = undefined;
  readonly #committedListeners = new Set<(workspace: string) => void>();
  #isClosing = false;

  /**
   * Opens the data directory and its store, and takes back what an earlier process had made durable.
   * @throws fenced where another process or data directory holds them; corrupt where stored bytes fail their check.
   */
  static async open(options: JournalsOptions): Promise<LocalJournals> {
    const startedMs = performance.now();
    const { store, clock, random } = options;
    const data = await openDataDir(options);
    try {
      const { engine, tempDir, writerId } = data;
      await claimStore(store, { writerId, dataDir: options.dataDir, takeOver: options.takeOver, nowMs: clock.nowMs() });
      const cache = await SegmentCache.open({
        store,
        dir: join(options.dataDir, 'cache'),
        bytesMax: options.cacheBytesMax,
        observer: options.observer,
      });
      const set = new JournalSet({ engine, store, cache, clock, random, tempDir });
      await set.listExisting();
      const recovery = await recoverWal(data.walDir, (line) => set.recover(line));
      const journals = new LocalJournals(options, data, { set, cache }, recovery.nextFileNumber);
      journals.#writer.recovered(recovery.files);
      const events = recovery.files.reduce((sum, file) => sum + file.events, 0);
      const ms = performance.now() - startedMs;
      options.observer.recovered?.({ events, files: recovery.files.length, cutBytes: recovery.cutBytes, ms });
      return journals;
    } catch (error) {
      data.engine.close();
      throw error;
    }
  }

  private constructor(
    options: JournalsOptions,
    data: { engine: Engine; tempDir: string; walDir: string; writerId: string },
    { set, cache }: { set: JournalSet; cache: SegmentCache },
    firstFileNumber: number,
  ) {
    const { observer, store, clock, random } = options;
    this.#options = options;
    this.engine = data.engine;
    this.tempDir = data.tempDir;
    this.#set = set;
    this.#cache = cache;
    this.#sealJobs = segmentJobs(options, data, 'seal');
    this.#compaction = new JournalCompaction({
      ...{ set, store, cache, clock, random, observer },
      tempDir: data.tempDir,
      jobs: segmentJobs(options, data, 'compact'),
      settings: { ...COMPACTION_DEFAULTS, ...options.compaction },
    });
    this.retention = new JournalRetention({
      ...{ set, engine: data.engine, store, cache, clock, random, tempDir: data.tempDir },
      compaction: this.#compaction,
      isWriter: true,
      append: (workspace, drafts, how) => this.append(workspace, drafts, how),
      flush: (workspace) => this.flush(workspace),
    });
    this.#writer = new JournalWriter({
      ...{ ...options, set, cache, engine: data.engine, jobs: this.#sealJobs, tempDir: data.tempDir },
      ...{ linesDir: data.walDir, firstFileNumber },
      checkOwner: () => assertOwner(store, data.writerId),
      onCommitted: (workspaces) => {
        this.#compaction.wake();
        for (const listener of this.#committedListeners) workspaces.forEach(listener);
      },
    });
  }

  append(
    workspace: string,
    drafts: readonly DraftEvent[] | DraftBatch,
    options: { ack: Receipt['ack']; create: boolean },
  ): Promise<AppendResult> {
    return this.#writer.append(workspace, drafts, options);
  }

  flush(workspace?: string): Promise<{ events: number }> {
    return this.#writer.flush(workspace);
  }

  compact(workspace: string): Promise<CompactionReport> {
    return this.#compaction.compact(workspace);
  }

  async snapshot(workspace: string): Promise<Snapshot> {
    return snapshotOf(await this.#set.open(workspace, false), this.#cache);
  }

  async reached(workspace: string, after: string): Promise<void> {
    const { journal } = await this.#set.open(workspace, false);
    if (seqOf(after) <= journal.durableHead.seq) return;
    throw new IndelibleError('unavailable', `the journal is at seq ${journal.durableHead.seq}`, { retryAfterS: 1 });
  }

  async find(workspace: string, eventId: string): Promise<JournalEvent | undefined> {
    return (await this.findAll(workspace, [eventId])).get(eventId);
  }

  async findAll(workspace: string, eventIds: readonly string[]): Promise<Map<string, JournalEvent>> {
    return this.#set.find(await this.#set.open(workspace, false), eventIds);
  }

  has(workspace: string): boolean {
    return this.#set.has(workspace);
  }

  workspaces(): string[] {
    return this.#set.existing().filter((workspace) => workspace !== SYSTEM_WORKSPACE);
  }

  async stats(workspace: string): Promise<JournalStats> {
    const { journal } = await this.#set.open(workspace, false);
    return journalStats(journal, {
      flush_threshold: this.#options.flushEvents,
      wal_bytes: this.walBytes,
      wal_bytes_max: this.#options.walBytesMax,
      last_sealed_at: this.#writer.lastSealedMs === undefined ? null : timeOfMs(this.#writer.lastSealedMs),
    });
  }

  get walBytes(): number {
    return this.#writer.bytes;
  }

  get mergeableFiles(): number {
    return this.#set.all().reduce((sum, journal) => sum + mergeableFiles(journal), 0);
  }

  get cacheBytes(): number {
    return this.#cache.bytes;
  }

  get lagEvents(): number {
    return this.#writer.lagEvents;
  }

  durableSeq(workspace: string): number {
    return this.#set.peek(workspace)?.journal.durableHead.seq ?? -1;
  }

  subscribe(workspace: string, listener: () => void): () => void {
    return this.#set.get(workspace).subscribe(listener);
  }

  onCommitted(listener: (workspace: string) => void): () => void {
    this.#committedListeners.add(listener);
    return () => this.#committedListeners.delete(listener);
  }

  get storage(): { store: ObjectStore; cache: SegmentCache; clock: Clock; random: Random } {
    const { store, clock, random } = this.#options;
    return { store, cache: this.#cache, clock, random };
  }

  async warm(): Promise<void> {
    for (const workspace of this.#set.existing()) {
      if (this.#isClosing) return;
      await (await this.#set.open(workspace, false)).idsReady();
    }
  }

  /** Seals everything, then lets go. What cannot be sealed stays in the write-ahead log for the next start. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#writer.stopTaking();
    await this.flush().catch(() => {});
    await Promise.all([this.#writer.close(), this.#compaction.close()]);
    this.#sealJobs.close();
    this.engine.close();
  }
}

/** Where the heavy work on segments is done; `name` is that of its directory. */
function segmentJobs(
  { sealIn, engineMemoryBytes: memoryLimitBytes, engineThreads: threads }: JournalsOptions,
  { engine, tempDir }: { engine: Engine; tempDir: string },
  name: string,
): SegmentJobs {
  if (sealIn !== 'own-process') return inThisProcess(engine);
  return new SegmentProcess({ tempDir: join(tempDir, name), memoryLimitBytes, threads });
}
