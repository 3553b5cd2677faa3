import { join } from 'node:path';
import { type DraftBatch, DraftList } from './drafts/index.ts';
import type { Engine } from './duckdb/index.ts';
import { IndelibleError } from './errors.ts';
import type { AppendResult, DraftEvent, Receipt } from './event.ts';
import type { SegmentCache } from './cache/index.ts';
import type { Journal, KnownEvents } from './journal.ts';
import type { JournalSet } from './journal-set.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { Sealer } from './sealer.ts';
import type { SegmentJobs } from './segment-process/index.ts';
import { timeOfMs } from './time.ts';
import { type ClosedWalFile, Wal, type WalDisk } from './wal/index.ts';

export type WriterObserver = {
  groupCommitted?(ms: number, events: number, bytes: number): void;
  sealed?(ms: number, events: number, bytes: number): void;
  sealFailed?(error: unknown): void;
};

export type WriterSettings = {
  /** A file of lines is sealed at this many events, bytes, or at this age, whichever comes first. */
  flushEvents: number;
  flushBytes: number;
  flushAgeMs: number;
  /** Beyond this much that is not sealed appends are refused until the store takes it. */
  walBytesMax: number;
  /** How long after a failure sealing is tried again. */
  sealRetryMs: number;
};

export type WriterOptions = WriterSettings & {
  set: JournalSet;
  engine: Engine;
  store: ObjectStore;
  cache: SegmentCache;
  clock: Clock;
  random: Random;
  jobs: SegmentJobs;
  /** Of the lines: the write-ahead log itself, or, where a queue is the log, what is read of it until it is committed. */
  disk: WalDisk;
  linesDir: string;
  firstFileNumber: number;
  tempDir: string;
  /** @throws fenced where the store belongs to another writer now: then no journal of this writer takes events any more */
  checkOwner(): Promise<void>;
  onCommitted(workspaces: readonly string[]): void;
  observer: WriterObserver;
};

/** What was given its place. `lastSeq`: of its events, repeated ones too; -1 where there are none. */
export type Placed = { result: AppendResult; lastSeq: number; written: Promise<void> };

const WRITTEN = Promise.resolve();

/** The way of an event from append to commit: seq, time and hash, the line on disk, the segment in the store. */
export class JournalWriter {
  readonly #options: WriterOptions;
  readonly #set: JournalSet;
  readonly #wal: Wal;
  readonly #sealer: Sealer;
  readonly #ageTimer: NodeJS.Timeout;
  #now = { ms: -1, text: '' };
  #fileOpenedMs: number | undefined;
  #isCommitting = false;
  #isClosing = false;
  #takenOver: IndelibleError | undefined;

  constructor(options: WriterOptions) {
    const { set, engine, store, cache, clock, random, observer, jobs } = options;
    this.#options = options;
    this.#set = set;
    this.#sealer = new Sealer({
      ...{ engine, store, cache, clock, random },
      writeSegments: ({ path, lineBytesMax }, plans) => jobs.seal({ path, lineBytesMax }, plans),
      tempDir: join(options.tempDir, 'seal'),
      journal: (workspace) => set.get(workspace),
      retryMs: options.sealRetryMs,
      checkOwner: () => this.#checkOwner(),
      onSealed: ({ ms, events, bytes, workspaces }) => {
        observer.sealed?.(ms, events, bytes);
        options.onCommitted(workspaces);
      },
      onFailed: (error) => observer.sealFailed?.(error),
    });
    this.#wal = new Wal({
      dir: options.linesDir,
      disk: options.disk,
      firstFileNumber: options.firstFileNumber,
      fileBytesMax: options.flushBytes,
      fileEventsMax: options.flushEvents,
      onClosed: (file) => {
        this.#fileOpenedMs = undefined;
        this.#sealer.add(file);
      },
      onDurable: (ranges, group) => {
        this.#fileOpenedMs ??= clock.nowMs();
        for (const [workspace, range] of ranges) {
          set.get(workspace).becameDurable(range.lastSeq);
          set.exists(workspace);
        }
        observer.groupCommitted?.(group.ms, group.events, group.bytes);
      },
      onRolledBack: () => {
        for (const journal of set.all()) journal.rollBack();
      },
    });
    const checkMs = Math.max(Math.min(options.flushAgeMs / 4, 1000), 10);
    this.#ageTimer = setInterval(() => this.#closeIfOld(), checkMs).unref();
  }

  /** Takes over what an earlier process left in its log. */
  recovered(files: readonly ClosedWalFile[]): void {
    for (const file of files) this.#sealer.add(file);
  }

  /** As Journals.append; what is resolved with is on disk. */
  async append(
    workspace: string,
    drafts: readonly DraftEvent[] | DraftBatch,
    options: { ack: Receipt['ack']; create: boolean },
  ): Promise<AppendResult> {
    const { result, lastSeq, written } = await this.place(workspace, drafts, options);
    await written;
    if (options.ack === 'committed') await this.commit(workspace, lastSeq);
    if (result.count > 0) return result;
    // A request that adds nothing must not tell of events that are still being written.
    return { ...result, head_hash: this.#set.get(workspace).durableHead.hash };
  }

  /** Opens the journal, or makes it, with its index of ids: the first append need not wait for that. */
  async ready(workspace: string): Promise<void> {
    await (await this.#set.open(workspace, true)).idsReady();
  }

  /**
   * Gives the drafts their place behind everything there is, all or none. Who calls this in a row has to wait for the
   * call before, so that they follow one another; `written` need not be waited for in between.
   * @throws as Journals.append; `written` rejects where the lines could not be written: then nothing of it, and nothing
   * placed after it, happened
   */
  async place(
    workspace: string,
    drafts: readonly DraftEvent[] | DraftBatch,
    { ack, create }: { ack: Receipt['ack']; create: boolean },
  ): Promise<Placed> {
    const batch = 'draft' in drafts ? drafts : new DraftList(drafts);
    const isKnown = create || this.#set.has(workspace);
    const open = (isKnown && this.#set.peek(workspace)) || (await this.#set.open(workspace, create));
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
    const receipts = journal.stage(batch, plan, this.#wal, this.#time(), ack);
    const { head } = journal;
    const count = head.seq - before;
    const lastSeq = receipts.reduce((max, receipt) => Math.max(max, receipt.seq), -1);
    const result: AppendResult = {
      count,
      duplicates: batch.length - count,
      first_seq: count > 0 ? before + 1 : null,
      last_seq: count > 0 ? head.seq : null,
      head_hash: head.hash,
      receipts,
    };
    return { result, lastSeq, written: lastSeq > journal.durableHead.seq ? this.#wal.durable() : WRITTEN };
  }

  /** Resolves once the event is in the store, and sees to it that it gets there soon. @throws fenced */
  async commit(workspace: string, seq: number): Promise<void> {
    const journal = this.#set.get(workspace);
    if (seq <= journal.committedHead.seq) return;
    const committed = journal.committed(seq);
    this.commitSoon();
    await committed;
  }

  /** The newest event of the workspace in the store; -1: none, or none that this writer knows of. */
  committedSeq(workspace: string): number {
    return this.#set.peek(workspace)?.journal.committedHead.seq ?? -1;
  }

  /** Seals now what is on disk: of one workspace's events the count, or of all. */
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

  /** Bytes that are not sealed. */
  get bytes(): number {
    return this.#wal.openBytes + this.#sealer.waitingBytes;
  }

  /** Events that are on disk and not committed. */
  get lagEvents(): number {
    return this.#set.all().reduce((sum, journal) => sum + journal.durableHead.seq - journal.committedHead.seq, 0);
  }

  get lastSealedMs(): number | undefined {
    return this.#sealer.lastSealedMs;
  }

  /** Takes nothing more. */
  stopTaking(): void {
    this.#isClosing = true;
    clearInterval(this.#ageTimer);
  }

  /** Lets the seal that is under way end; what is not sealed stays on disk. */
  async close(): Promise<void> {
    this.stopTaking();
    await this.#sealer.close();
    await this.#wal.closeFile();
  }

  /** Seals what is on disk, one file after another: those who come while one is sealed share the next. */
  commitSoon(): void {
    if (this.#isCommitting) return;
    this.#isCommitting = true;
    void this.#sealer.idle().then(() => {
      this.#isCommitting = false;
      return this.#wal.closeFile();
    });
  }

  async #checkOwner(): Promise<void> {
    try {
      await this.#options.checkOwner();
    } catch (error) {
      if (error instanceof IndelibleError && error.kind === 'fenced') {
        this.#takenOver = error;
        for (const journal of this.#set.all()) journal.fence(error);
      }
      throw error;
    }
  }

  #assertTakes(journal: Journal): void {
    if (this.#isClosing) throw new IndelibleError('unavailable', 'the service is shutting down', { retryAfterS: 5 });
    const fenced = journal.fenced ?? this.#takenOver;
    if (fenced) throw fenced;
    this.#wal.assertWritable();
    if (this.bytes >= this.#options.walBytesMax) {
      const message = `the write-ahead log is full (${this.bytes} bytes): the object store does not take what waits`;
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

function hasIds(batch: DraftBatch): boolean {
  for (let i = 0; i < batch.length; i++) if (batch.eventId(i) !== null) return true;
  return false;
}
