import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CacheObserver, SegmentCache } from './cache/index.ts';
import type { CompactionObserver, CompactionReport } from './compact/index.ts';
import { openDataDir } from './data-dir.ts';
import type { Engine } from './duckdb/index.ts';
import { IndelibleError } from './errors.ts';
import { type AppendResult, type JournalEvent, SYSTEM_WORKSPACE } from './event.ts';
import {
  COMPACTION_DEFAULTS,
  type CompactionSettings,
  JournalCompaction,
  mergeableFiles,
} from './journal-compaction.ts';
import { JournalRetention } from './journal-retention.ts';
import { JournalSet, type OpenJournal } from './journal-set.ts';
import { type JournalStats, journalStats } from './journal-stats.ts';
import { type Journals, seqOf } from './journals.ts';
import { claimStore } from './ownership.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { type SegmentJobs, SegmentProcess } from './segment-process/index.ts';
import type { Snapshot } from './snapshot.ts';
import { snapshotOf } from './snapshot-view.ts';
import { timeOfMs } from './time.ts';

/** How appends reach the writers of the journals, and how far those are. */
export type JournalWrites = Pick<Journals, 'append'> & {
  /** Resolves once everything queued before is committed. */
  flush(workspace: string | undefined): Promise<void>;
  readonly queue: NonNullable<Journals['queue']>;
  /**
   * Resolves with true once everything up to a position of the queue is committed, with false where it is not by the
   * deadline. undefined: it is no position of the workspace's.
   */
  reached(workspace: string, position: string, deadlineMs: number): Promise<boolean | undefined>;
  /** Entries that wait to be committed, of all journals. */
  readonly waitingEntries: number;
};

export type FollowObserver = {
  /** The store answers. */
  followed?(): void;
  /** It does not, or holds what cannot be read; it is looked at again. */
  followFailed?(error: unknown): void;
};

export type FollowedOptions = {
  dataDir: string;
  store: ObjectStore;
  clock: Clock;
  random: Random;
  /** Names everybody who may write to the store: the processes of one cluster share it. */
  writerId: string;
  takeOver: boolean;
  cacheBytesMax: number;
  engineMemoryBytes: number;
  engineThreads: number;
  /** A journal's table log that was looked at longer ago is looked at again before it is read. */
  staleMs: number;
  /** How many events writers seal at once, for the figures. */
  flushEvents: number;
  compaction: Partial<CompactionSettings>;
  observer: CacheObserver & CompactionObserver & FollowObserver;
  writes: JournalWrites;
};

/** How long somebody waits for what was promised to come. */
const REACH_MS = 10_000;
const REACH_EVERY_MS = 25;

type Looked = { atMs: number; looking: Promise<void> | undefined };

/**
 * Journals that other processes write: what is committed is read from the store, appends go to their writers. Snapshots
 * have no tail, and are at most `staleMs` behind the table log, or as new as `reached` was asked for.
 */
export class FollowedJournals implements Journals {
  readonly engine: Engine;
  readonly tempDir: string;
  readonly retention: JournalRetention;
  readonly #options: FollowedOptions;
  readonly #set: JournalSet;
  readonly #cache: SegmentCache;
  readonly #compaction: JournalCompaction;
  readonly #looked = new Map<string, Looked>();
  readonly #watched = new Map<string, number>();
  readonly #committedListeners = new Set<(workspace: string) => void>();
  readonly #timer: NodeJS.Timeout;
  #followsAll = false;
  #isPolling = false;
  #isClosing = false;

  /** @throws fenced where another process has the data directory, or another writer the store */
  static async open(options: FollowedOptions): Promise<FollowedJournals> {
    const { store, clock, random, writerId, dataDir, takeOver } = options;
    const data = await openDataDir(options);
    try {
      await claimStore(store, { writerId, dataDir: 'a cluster', takeOver, nowMs: clock.nowMs() });
      const { engine, tempDir } = data;
      const cache = await SegmentCache.open({
        store,
        dir: join(dataDir, 'cache'),
        bytesMax: options.cacheBytesMax,
        observer: options.observer,
      });
      const set = new JournalSet({ engine, store, cache, clock, random, tempDir, isFollowing: true });
      await set.listExisting();
      return new FollowedJournals(options, data, { set, cache });
    } catch (error) {
      data.engine.close();
      throw error;
    }
  }

  private constructor(
    options: FollowedOptions,
    { engine, tempDir }: { engine: Engine; tempDir: string },
    { set, cache }: { set: JournalSet; cache: SegmentCache },
  ) {
    const { store, clock, random, observer, engineMemoryBytes: memoryLimitBytes, engineThreads: threads } = options;
    this.#options = options;
    this.engine = engine;
    this.tempDir = tempDir;
    this.#set = set;
    this.#cache = cache;
    const jobs: SegmentJobs = new SegmentProcess({ tempDir: join(tempDir, 'compact'), memoryLimitBytes, threads });
    this.#compaction = new JournalCompaction({
      ...{ set, store, cache, clock, random, observer, tempDir, jobs },
      settings: { ...COMPACTION_DEFAULTS, ...options.compaction },
    });
    this.retention = new JournalRetention({
      ...{ set, engine, store, cache, clock, random, tempDir },
      compaction: this.#compaction,
      isWriter: false,
      append: (workspace, drafts, how) => this.append(workspace, drafts, how),
      flush: (workspace) => this.flush(workspace),
    });
    this.#timer = setInterval(() => void this.#poll(), options.staleMs).unref();
  }

  get queue() {
    return this.#options.writes.queue;
  }

  async append(...asked: Parameters<Journals['append']>): Promise<AppendResult> {
    const [workspace, drafts, { create }] = asked;
    if (drafts.length > 0) {
      if (!create && !(await this.#set.discover(workspace))) throw noWorkspace(workspace);
      const result = await this.#options.writes.append(...asked);
      this.#set.exists(workspace);
      return result;
    }
    // Somebody wants to follow a journal that has no event yet.
    const { journal } = (await this.#set.discover(workspace))
      ? await this.#opened(workspace)
      : await this.#set.open(workspace, create);
    return { count: 0, duplicates: 0, first_seq: null, last_seq: null, head_hash: journal.head.hash, receipts: [] };
  }

  async flush(workspace?: string): Promise<{ events: number }> {
    const before = await this.#events(workspace);
    await this.#options.writes.flush(workspace);
    // What was queued may be all there is of it.
    if (workspace !== undefined && !(await this.#set.discover(workspace))) throw noWorkspace(workspace);
    return { events: (await this.#events(workspace)) - before };
  }

  async compact(workspace: string): Promise<CompactionReport> {
    await this.#opened(workspace);
    return this.#compaction.compact(workspace);
  }

  async snapshot(workspace: string): Promise<Snapshot> {
    return snapshotOf(await this.#opened(workspace), this.#cache);
  }

  async reached(workspace: string, after: string): Promise<void> {
    const deadlineMs = performance.now() + REACH_MS;
    if (after.includes(':')) {
      const isThere = await this.#options.writes.reached(workspace, after, deadlineMs);
      if (isThere) {
        await this.#set.discover(workspace);
        return this.look(workspace);
      }
      // Tells that the form is wrong, where it is.
      if (isThere === undefined) seqOf(after);
    } else {
      const wantedSeq = seqOf(after);
      while (performance.now() < deadlineMs) {
        if (await this.#set.discover(workspace)) await this.look(workspace);
        if (this.durableSeq(workspace) >= wantedSeq) return;
        await sleep(REACH_EVERY_MS);
      }
    }
    throw new IndelibleError('unavailable', `${after} is not committed yet`, { retryAfterS: 1 });
  }

  async find(workspace: string, eventId: string): Promise<JournalEvent | undefined> {
    return (await this.findAll(workspace, [eventId])).get(eventId);
  }

  async findAll(workspace: string, eventIds: readonly string[]): Promise<Map<string, JournalEvent>> {
    return this.#set.find(await this.#opened(workspace), eventIds);
  }

  /** What others made a moment ago may not be known yet. */
  has(workspace: string): boolean {
    return this.#set.has(workspace);
  }

  workspaces(): string[] {
    return this.#set.existing().filter((workspace) => workspace !== SYSTEM_WORKSPACE);
  }

  async stats(workspace: string): Promise<JournalStats> {
    const { journal } = await this.#opened(workspace);
    const newestMs = Math.max(0, ...(journal.table?.files().map(({ add }) => add.modificationTime) ?? []));
    return journalStats(journal, {
      flush_threshold: this.#options.flushEvents,
      wal_bytes: 0,
      wal_bytes_max: 0,
      last_sealed_at: newestMs === 0 ? null : timeOfMs(newestMs),
    });
  }

  durableSeq(workspace: string): number {
    return this.#set.peek(workspace)?.journal.committedHead.seq ?? -1;
  }

  subscribe(workspace: string, listener: () => void): () => void {
    const unsubscribe = this.#set.get(workspace).subscribe(listener);
    this.#watched.set(workspace, (this.#watched.get(workspace) ?? 0) + 1);
    return () => {
      unsubscribe();
      const left = (this.#watched.get(workspace) ?? 1) - 1;
      if (left > 0) this.#watched.set(workspace, left);
      else this.#watched.delete(workspace);
    };
  }

  onCommitted(listener: (workspace: string) => void): () => void {
    this.#committedListeners.add(listener);
    return () => this.#committedListeners.delete(listener);
  }

  /** Looks at the table log now; those who listen are told where the journal has grown. */
  async look(workspace: string): Promise<void> {
    const open = await this.#set.open(workspace, false);
    const looked = this.#looked.get(workspace) ?? { atMs: 0, looking: undefined };
    this.#looked.set(workspace, looked);
    // One that is under way may have begun before what the caller waits for.
    await looked.looking?.catch(() => {});
    looked.looking ??= this.#look(open, looked).finally(() => {
      looked.looking = undefined;
    });
    await looked.looking;
  }

  get storage(): { store: ObjectStore; cache: SegmentCache; clock: Clock; random: Random } {
    const { store, clock, random } = this.#options;
    return { store, cache: this.#cache, clock, random };
  }

  get walBytes(): number {
    return 0;
  }

  get mergeableFiles(): number {
    return this.#set.all().reduce((sum, journal) => sum + mergeableFiles(journal), 0);
  }

  get cacheBytes(): number {
    return this.#cache.bytes;
  }

  get lagEvents(): number {
    return this.#options.writes.waitingEntries;
  }

  /** Nothing: the writers need the index, readers only where somebody asks for an event by its id. */
  async warm(): Promise<void> {}

  /** Follows every journal from now on, those that others make too: for whoever looks after all of them. */
  followAll(): void {
    this.#followsAll = true;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#timer);
    await this.#compaction.close();
    await Promise.allSettled([...this.#looked.values()].map(({ looking }) => looking));
    this.engine.close();
  }

  /** Committed by now: of one workspace, or of all. */
  async #events(workspace: string | undefined): Promise<number> {
    if (workspace === undefined) await this.#set.listExisting();
    else await this.#set.discover(workspace);
    const workspaces = this.#set.existing().filter((name) => workspace === undefined || name === workspace);
    await Promise.all(workspaces.map((workspace) => this.look(workspace)));
    return workspaces.reduce((sum, workspace) => sum + this.durableSeq(workspace) + 1, 0);
  }

  /** The journal, not older than agreed. */
  async #opened(workspace: string): Promise<OpenJournal> {
    await this.#set.discover(workspace);
    const open = await this.#set.open(workspace, false);
    const atMs = this.#looked.get(workspace)?.atMs ?? 0;
    if (performance.now() - atMs > this.#options.staleMs) await this.look(workspace);
    return open;
  }

  async #look(open: OpenJournal, looked: Looked): Promise<void> {
    const startedMs = performance.now();
    const hasGrown = await this.#set.refresh(open);
    looked.atMs = startedMs;
    if (!hasGrown) return;
    this.#compaction.wake();
    for (const listener of this.#committedListeners) listener(open.journal.workspace);
  }

  /** What nobody asks for, and somebody is to be told of. */
  async #poll(): Promise<void> {
    if (this.#isPolling || this.#isClosing) return;
    this.#isPolling = true;
    try {
      await this.#set.listExisting();
      const watched = this.#followsAll ? this.#set.existing() : [SYSTEM_WORKSPACE, ...this.#watched.keys()];
      for (const workspace of watched) {
        if (this.#set.has(workspace) && !this.#isClosing) await this.look(workspace);
      }
      this.#options.observer.followed?.();
    } catch (error) {
      if (!this.#isClosing) this.#options.observer.followFailed?.(error);
    } finally {
      this.#isPolling = false;
    }
  }
}

function noWorkspace(workspace: string): IndelibleError {
  return new IndelibleError('not-found', `there is no workspace '${workspace}'`);
}
