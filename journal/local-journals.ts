import { join } from 'node:path';
import { type CacheObserver, SegmentCache } from './cache/index.ts';
import { openDataDir } from './data-dir.ts';
import { type DraftBatch, DraftList } from './drafts/index.ts';
import type { Engine } from './duckdb/index.ts';
import { IndelibleError, invalid } from './errors.ts';
import { type Ack, type AppendResult, type DraftEvent, type JournalEvent, SYSTEM_WORKSPACE } from './event.ts';
import type { CompactionObserver, CompactionReport } from './compact/index.ts';
import type { Journal, KnownEvents } from './journal.ts';
import {
  COMPACTION_DEFAULTS,
  type CompactionSettings,
  JournalCompaction,
  mergeableFiles,
} from './journal-compaction.ts';
import { JournalRetention } from './journal-retention.ts';
import { JournalSet } from './journal-set.ts';
import { type JournalStats, journalStats } from './journal-stats.ts';
import { claimStore } from './ownership.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { Sealer } from './sealer.ts';
import { inThisProcess, type SegmentJobs, SegmentProcess } from './segment-process/index.ts';
import type { Snapshot } from './snapshot.ts';
import { JournalSnapshot } from './snapshot-view.ts';
import { timeOfMs } from './time.ts';
import type { Journals } from './journals.ts';
import { recoverWal, Wal, type WalDisk } from './wal/index.ts';

export type JournalObserver = CacheObserver &
  CompactionObserver & {
    groupCommitted?(ms: number, events: number, bytes: number): void;
    sealed?(ms: number, events: number, bytes: number): void;
    sealFailed?(error: unknown): void;
    recovered?(found: { events: number; files: number; cutBytes: number; ms: number }): void;
  };

export type JournalsOptions = {
  dataDir: string;
  store: ObjectStore;
  clock: Clock;
  random: Random;
  disk: WalDisk;
  /** A WAL file is sealed at this many events, bytes, or at this age, whichever comes first. */
  flushEvents: number;
  flushBytes: number;
  flushAgeMs: number;
  /** Beyond this much unsealed WAL appends are refused until the store takes it. */
  walBytesMax: number;
  /** Local copies of the store's segments; a store on this machine needs none. */
  cacheBytesMax: number;
  /** How long after a failure sealing is tried again. */
  sealRetryMs: number;
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
  readonly #wal: Wal;
  readonly #sealer: Sealer;
  readonly #sealJobs: SegmentJobs;
  readonly #compaction: JournalCompaction;
  readonly retention: JournalRetention;
  readonly queue = undefined;
  readonly #ageTimer: NodeJS.Timeout;
  readonly #committedListeners = new Set<(workspace: string) => void>();
  #now = { ms: -1, text: '' };
  #fileOpenedMs: number | undefined;
  #closing = false;
  #takenOver: IndelibleError | undefined;

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
      for (const file of recovery.files) journals.#sealer.add(file);
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
      append: (workspace, drafts, how) => this.append(workspace, drafts, how),
      flush: (workspace) => this.flush(workspace),
      find: (workspace, eventId) => this.find(workspace, eventId),
    });
    this.#sealer = new Sealer({
      engine: data.engine,
      writeSegments: ({ path, lineBytesMax }, plans) => this.#sealJobs.seal({ path, lineBytesMax }, plans),
      store,
      cache,
      clock,
      random,
      writerId: data.writerId,
      tempDir: join(data.tempDir, 'seal'),
      journal: (workspace) => set.get(workspace),
      retryMs: options.sealRetryMs,
      onSealed: ({ ms, events, bytes, workspaces }) => {
        observer.sealed?.(ms, events, bytes);
        this.#compaction.wake();
        for (const listener of this.#committedListeners) workspaces.forEach(listener);
      },
      onFailed: (error) => observer.sealFailed?.(error),
      onTakenOver: (error) => {
        this.#takenOver = error;
        for (const journal of set.all()) journal.fence(error);
      },
    });
    this.#wal = new Wal({
      dir: data.walDir,
      disk: options.disk,
      firstFileNumber,
      fileBytesMax: options.flushBytes,
      fileEventsMax: options.flushEvents,
      onClosed: (file) => {
        this.#fileOpenedMs = undefined;
        this.#sealer.add(file);
      },
      onDurable: (ranges, group) => {
        this.#fileOpenedMs ??= clock.nowMs();
        for (const [workspace, range] of ranges) set.get(workspace).becameDurable(range.lastSeq);
        observer.groupCommitted?.(group.ms, group.events, group.bytes);
      },
      onRolledBack: () => {
        for (const journal of set.all()) journal.rollBack();
      },
    });
    const checkMs = Math.max(Math.min(options.flushAgeMs / 4, 1000), 10);
    this.#ageTimer = setInterval(() => this.#closeIfOld(), checkMs).unref();
  }

  /**
   * Records the drafts, all or none, after everything recorded before.
   * @throws not-found, conflict, busy or unavailable with retryAfterS, fenced; then nothing was recorded (after
   * `unavailable` from the disk itself: perhaps, and sending the same again is safe).
   */
  async append(
    workspace: string,
    drafts: readonly DraftEvent[] | DraftBatch,
    options: { ack: Exclude<Ack, 'queued'>; create: boolean },
  ): Promise<AppendResult> {
    const batch = 'draft' in drafts ? drafts : new DraftList(drafts);
    const isKnown = options.create || this.#set.has(workspace);
    const open = (isKnown && this.#set.peek(workspace)) || (await this.#set.open(workspace, options.create));
    if (hasIds(batch)) await open.idsReady();
    const { journal } = open;
    let known: KnownEvents = new Map();
    let plan = journal.plan(batch, known);
    while (plan.missing.length > 0) {
      known = new Map([...known, ...(await this.#set.lookUp(journal, plan.missing))]);
      plan = journal.plan(batch, known);
    }
    this.#assertTakes(journal);
    const before = journal.head.seq;
    const receipts = journal.stage(batch, plan, this.#wal, this.#time(), options.ack);
    const { head } = journal;
    const count = head.seq - before;
    const lastSeq = receipts.reduce((max, receipt) => Math.max(max, receipt.seq), -1);
    if (lastSeq > journal.durableHead.seq) await this.#wal.durable();
    if (count > 0) this.#set.exists(workspace);
    if (options.ack === 'committed') await this.#commit(journal, lastSeq);
    return {
      count,
      duplicates: batch.length - count,
      first_seq: count > 0 ? before + 1 : null,
      last_seq: count > 0 ? head.seq : null,
      // A request that adds nothing must not tell of events that are still being written.
      head_hash: count > 0 ? head.hash : journal.durableHead.hash,
      receipts,
    };
  }

  /** Seals now what is durable: of one workspace's events the count, or of all. */
  async flush(workspace?: string): Promise<{ events: number }> {
    const counted = workspace === undefined ? this.#set.all() : [(await this.#set.open(workspace, false)).journal];
    const events = counted.reduce((sum, journal) => sum + journal.durableHead.seq - journal.committedHead.seq, 0);
    await this.#wal.closeFile();
    await this.#sealer.drain().catch((cause: unknown) => {
      if (cause instanceof IndelibleError) throw cause;
      throw new IndelibleError('unavailable', 'sealing failed and will be tried again', { cause, retryAfterS: 5 });
    });
    for (const journal of counted) if (journal.fenced) throw journal.fenced;
    return { events };
  }

  /** Merges segments, deletes what is no longer read. @throws as JournalCompaction.compact does. */
  compact(workspace: string): Promise<CompactionReport> {
    return this.#compaction.compact(workspace);
  }

  /** @throws not-found for a workspace that holds nothing. */
  async snapshot(workspace: string): Promise<Snapshot> {
    const { journal, tailFiles } = await this.#set.open(workspace, false);
    const committedSeq = journal.committedHead.seq;
    const durableSeq = journal.durableHead.seq;
    const tail = journal.tail.view(committedSeq + 1, durableSeq);
    const { files, start } = journal;
    journal.pin(files);
    const onReleased = () => journal.unpin(files);
    const cache = this.#cache;
    return new JournalSnapshot({
      ...{ workspace, start, committedSeq, durableSeq, files, tail, tailFiles, cache, onReleased },
    });
  }

  async reached(workspace: string, after: string): Promise<void> {
    const { journal } = await this.#set.open(workspace, false);
    if (seqOf(after) <= journal.durableHead.seq) return;
    throw new IndelibleError('unavailable', `the journal is at seq ${journal.durableHead.seq}`, { retryAfterS: 1 });
  }

  /** The event of this id, if it is durable. */
  async find(workspace: string, eventId: string): Promise<JournalEvent | undefined> {
    return (await this.findAll(workspace, [eventId])).get(eventId);
  }

  /** The durable events that have one of these ids, by id. Ids that are not there cost next to nothing. */
  async findAll(workspace: string, eventIds: readonly string[]): Promise<Map<string, JournalEvent>> {
    return this.#set.find(await this.#set.open(workspace, false), eventIds);
  }

  has(workspace: string): boolean {
    return this.#set.has(workspace);
  }

  /** Workspaces that hold events, ascending, without the service's own. */
  workspaces(): string[] {
    return this.#set.existing().filter((workspace) => workspace !== SYSTEM_WORKSPACE);
  }

  async stats(workspace: string): Promise<JournalStats> {
    const { journal } = await this.#set.open(workspace, false);
    return journalStats(journal, {
      flush_threshold: this.#options.flushEvents,
      wal_bytes: this.walBytes,
      wal_bytes_max: this.#options.walBytesMax,
      last_sealed_at: this.#sealer.lastSealedMs === undefined ? null : timeOfMs(this.#sealer.lastSealedMs),
    });
  }

  /** Bytes of the write-ahead log that are not sealed. */
  get walBytes(): number {
    return this.#wal.openBytes + this.#sealer.waitingBytes;
  }

  /** Of all journals: what waits for compaction. */
  get mergeableFiles(): number {
    return this.#set.all().reduce((sum, journal) => sum + mergeableFiles(journal), 0);
  }

  /** Local copies of the store's segments. */
  get cacheBytes(): number {
    return this.#cache.bytes;
  }

  /** Events of all journals that are durable and not committed. */
  get lagEvents(): number {
    return this.#set.all().reduce((sum, journal) => sum + journal.durableHead.seq - journal.committedHead.seq, 0);
  }

  /** -1: empty, or not there. */
  durableSeq(workspace: string): number {
    return this.#set.peek(workspace)?.journal.durableHead.seq ?? -1;
  }

  /** Calls the listener after the durable head moved; returns how to stop that. */
  subscribe(workspace: string, listener: () => void): () => void {
    return this.#set.get(workspace).subscribe(listener);
  }

  /** Calls the listener after events of a workspace were committed; returns how to stop that. */
  onCommitted(listener: (workspace: string) => void): () => void {
    this.#committedListeners.add(listener);
    return () => this.#committedListeners.delete(listener);
  }

  /** For what is derived from the journals and kept beside them. */
  get storage(): { store: ObjectStore; cache: SegmentCache; clock: Clock; random: Random } {
    const { store, clock, random } = this.#options;
    return { store, cache: this.#cache, clock, random };
  }

  /** Reads the index of ids of every journal, so that the first append does not wait for it. */
  async warm(): Promise<void> {
    for (const workspace of this.#set.existing()) {
      if (this.#closing) return;
      await (await this.#set.open(workspace, false)).idsReady();
    }
  }

  /** Seals everything, then lets go. What cannot be sealed stays in the write-ahead log for the next start. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#ageTimer);
    await this.flush().catch(() => {});
    await Promise.all([this.#sealer.close(), this.#compaction.close()]);
    this.#sealJobs.close();
    this.engine.close();
  }

  async #commit(journal: Journal, seq: number): Promise<void> {
    if (seq <= journal.committedHead.seq) return;
    const committed = journal.committed(seq);
    await Promise.all([committed, this.#wal.closeFile()]);
  }

  #assertTakes(journal: Journal): void {
    if (this.#closing) throw new IndelibleError('unavailable', 'the service is shutting down', { retryAfterS: 5 });
    const fenced = journal.fenced ?? this.#takenOver;
    if (fenced) throw fenced;
    this.#wal.assertWritable();
    if (this.walBytes >= this.#options.walBytesMax) {
      const message = `the write-ahead log is full (${this.walBytes} bytes): the object store does not take what waits`;
      throw new IndelibleError('unavailable', message, { retryAfterS: 5 });
    }
  }

  #time(): { ms: number; text: string } {
    const ms = this.#options.clock.nowMs();
    if (ms !== this.#now.ms) this.#now = { ms, text: timeOfMs(ms) };
    return this.#now;
  }

  #closeIfOld(): void {
    const openedMs = this.#fileOpenedMs;
    if (openedMs === undefined || this.#options.clock.nowMs() - openedMs < this.#options.flushAgeMs) return;
    this.#fileOpenedMs = undefined;
    void this.#wal.closeFile();
  }
}

/** @throws invalid */
function seqOf(after: string): number {
  if (/^(?:0|[1-9]\d{0,15})$/.test(after)) return Number(after);
  throw invalid([{ pointer: '/after', message: 'is a seq, as a receipt says it' }]);
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

function hasIds(batch: DraftBatch): boolean {
  for (let i = 0; i < batch.length; i++) if (batch.eventId(i) !== null) return true;
  return false;
}
