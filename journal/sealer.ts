import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SegmentCache } from './cache/index.ts';
import { type Engine, isOutOfMemory } from './duckdb/index.ts';
import { assert, IndelibleError } from './errors.ts';
import type { Head, Journal } from './journal.ts';
import { nameWorkspace } from './journal-set.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { committedHead, segmentFiles } from './read-committed.ts';
import type { SegmentPlan, WalSource, WrittenSegment } from './segment/index.ts';
import { DeltaTable, uploadSegment } from './table/index.ts';
import { uuidV4 } from './uuid.ts';
import type { ClosedWalFile } from './wal/index.ts';

export type SealerOptions = {
  engine: Engine;
  /** Writes the segments of a WAL file to local files. */
  writeSegments(wal: WalSource, plans: readonly SegmentPlan[]): Promise<WrittenSegment[]>;
  store: ObjectStore;
  cache: SegmentCache;
  clock: Clock;
  random: Random;
  tempDir: string;
  journal(workspace: string): Journal;
  retryMs: number;
  onSealed(sealed: { ms: number; events: number; bytes: number; workspaces: string[] }): void;
  onFailed(error: unknown): void;
  /** @throws fenced where the store belongs to another writer now */
  checkOwner(): Promise<void>;
};

/**
 * Turns closed WAL files into committed segments, one file at a time and oldest first: Parquet → put → Delta commit →
 * the file is released. A failure is tried again for ever, since the WAL keeps what was acknowledged; after a crash
 * the same path seals what is left. Exactly once: only events beyond the table's last position are sealed.
 */
export class Sealer {
  readonly #options: SealerOptions;
  #queue: ClosedWalFile[] = [];
  #running: Promise<void> | undefined;
  #closing = false;
  #wakeRetry: (() => void) | undefined;
  #idleWaiters: { until: ClosedWalFile; wake: PromiseWithResolvers<void> }[] = [];
  /** In how many pieces the next file is sealed: one, unless the last ones had to be cut. */
  #pieces = 1;
  lastSealedMs: number | undefined;

  constructor(options: SealerOptions) {
    this.#options = options;
  }

  get waitingBytes(): number {
    return this.#queue.reduce((sum, file) => sum + file.sizeBytes, 0);
  }

  add(file: ClosedWalFile): void {
    this.#queue.push(file);
    this.#start();
  }

  /** Resolves once every file that waits now is sealed. Rejects with the first failure from now on, or when it is closed. */
  async drain(): Promise<void> {
    const until = this.#queue.at(-1);
    if (!until) return;
    if (this.#closing) throw stopped();
    const wake = Promise.withResolvers<void>();
    this.#idleWaiters.push({ until, wake });
    this.#wakeRetry?.();
    await wake.promise;
  }

  /** Resolves once no file waits, or sealing failed: whoever adds one then does not add to a queue. */
  async idle(): Promise<void> {
    while (this.#queue.length > 0 && !this.#closing) {
      const isDone = await this.drain().then(
        () => true,
        () => false,
      );
      if (!isDone) return;
    }
  }

  /** Stops trying; what is not sealed stays in the write-ahead log. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wakeRetry?.();
    await this.#running;
    this.#settle(() => true, stopped());
  }

  #start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // A file that was added after the last look at the queue.
      if (this.#queue.length > 0 && !this.#closing) this.#start();
    });
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0 && !this.#closing) {
      const file = this.#queue[0] as ClosedWalFile;
      try {
        await this.#seal(file);
        this.#queue.shift();
        this.#settle((waiter) => waiter.until === file, undefined);
      } catch (error) {
        this.#options.onFailed(error);
        this.#settle(() => true, error);
        if (this.#closing) return;
        await this.#pause();
      }
    }
  }

  #settle(which: (waiter: { until: ClosedWalFile }) => boolean, error: unknown): void {
    const settled = this.#idleWaiters.filter(which);
    this.#idleWaiters = this.#idleWaiters.filter((waiter) => !settled.includes(waiter));
    for (const { wake } of settled) error === undefined ? wake.resolve() : wake.reject(error);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#options.retryMs);
      this.#wakeRetry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #seal(file: ClosedWalFile): Promise<void> {
    const startedMs = performance.now();
    const workspaces = [...file.ranges.keys()];
    if (workspaces.some((workspace) => !this.#options.journal(workspace).fenced)) await this.#options.checkOwner();
    await this.#sealRanges(file);
    // A fenced journal's events have no other place: its file stays for a person to look at.
    const isKept = workspaces.some((workspace) => this.#options.journal(workspace).fenced);
    if (!isKept) await rm(file.path, { force: true });
    this.lastSealedMs = this.#options.clock.nowMs();
    const ms = performance.now() - startedMs;
    this.#options.onSealed({ ms, events: file.events, bytes: file.sizeBytes, workspaces });
  }

  /**
   * All events at once, or, where they are so wide that there is not the memory for it, in as many pieces as it takes.
   * Each piece is committed by itself.
   */
  async #sealRanges(file: ClosedWalFile): Promise<void> {
    for (let pieces = this.#pieces; ; pieces *= PIECES_STEP) {
      try {
        for (let piece = 1; piece <= pieces; piece++) await this.#sealShare(file, piece / pieces);
        this.#pieces = Math.max(1, pieces / PIECES_STEP);
        return;
      } catch (error) {
        if (!isOutOfMemory(error) || pieces >= file.events) throw error;
      }
    }
  }

  /** The first events of each journal in the file, as far as they are not in its table yet. */
  async #sealShare(file: ClosedWalFile, share: number): Promise<void> {
    const plans: SegmentPlan[] = [];
    for (const [workspace, { firstSeq, lastSeq }] of file.ranges) {
      const range = { firstSeq, lastSeq: firstSeq + Math.ceil((lastSeq - firstSeq + 1) * share) - 1 };
      const plan = await this.#plan(workspace, range).catch((error) => this.#setAside(workspace, error));
      if (plan) plans.push(plan);
    }
    if (plans.length > 0) await this.#write(file, plans);
  }

  /** What of a file is not in the table yet; undefined: all of it is, or the journal is fenced. */
  async #plan(workspace: string, range: { firstSeq: number; lastSeq: number }): Promise<SegmentPlan | undefined> {
    const { store, clock, random, engine, tempDir } = this.#options;
    const journal = this.#options.journal(workspace);
    if (journal.fenced) return undefined;
    const options = { store, workspace, clock, random, engine, tempDir };
    if (!journal.table) {
      await nameWorkspace(store, workspace);
      journal.table = await DeltaTable.create(options);
    } else {
      await journal.table.refresh();
    }
    await this.#adopt(journal, journal.table);
    const firstSeq = journal.committedHead.seq + 1;
    if (firstSeq > range.lastSeq) return undefined;
    assert(firstSeq >= range.firstSeq, 'I7: WAL files are sealed in the order of their events');
    const outPath = join(this.#options.tempDir, `${uuidV4(random)}.parquet`);
    return { workspace, firstSeq, lastSeq: range.lastSeq, prevHash: journal.committedHead.hash, outPath };
  }

  /**
   * The table is further than we committed: a commit of ours whose answer was lost, or another writer. The chain tells:
   * ours ends in our hash.
   * @throws fenced, corrupt
   */
  async #adopt(journal: Journal, table: DeltaTable): Promise<void> {
    if (table.lastSeq <= journal.committedHead.seq) return;
    const files = segmentFiles(table);
    const head = await committedHead(this.#options.engine, this.#options.cache, files, table.lastSeq);
    const ours = journal.tail.event(table.lastSeq);
    if (ours?.event_hash !== head.hash || head.seq > journal.durableHead.seq) {
      throw new IndelibleError(
        'fenced',
        `${journal.workspace}: another writer committed seq ${table.lastSeq}: this journal takes no more events here. What was ` +
          'acknowledged stays in the write-ahead log; see "Two writers" in docs/operations.md',
      );
    }
    journal.becameCommitted(head, files);
  }

  /** A journal whose table cannot be built upon takes no more events; the others of the file are sealed all the same. */
  #setAside(workspace: string, error: unknown): undefined {
    if (!(error instanceof IndelibleError) || (error.kind !== 'fenced' && error.kind !== 'corrupt')) throw error;
    this.#options.journal(workspace).fence(error);
    this.#options.onFailed(error);
    return undefined;
  }

  async #write(file: ClosedWalFile, plans: readonly SegmentPlan[]): Promise<void> {
    await mkdir(this.#options.tempDir, { recursive: true });
    try {
      for (const segment of await this.#options.writeSegments(file, plans)) await this.#commit(segment);
    } finally {
      for (const plan of plans) await rm(plan.outPath, { force: true });
    }
  }

  async #commit({ plan, sizeBytes, stats }: WrittenSegment): Promise<void> {
    const journal = this.#options.journal(plan.workspace);
    const table = journal.table as DeltaTable;
    const last = journal.tail.event(plan.lastSeq);
    if (!last)
      throw new IndelibleError('corrupt', `${plan.workspace}: seq ${plan.lastSeq} is sealed but not in memory`);
    const add = await uploadSegment(this.#options, table, { localPath: plan.outPath, sizeBytes, stats });
    const outcome = await table.append(add, plan.firstSeq, plan.lastSeq);
    if (outcome === 'overtaken') {
      await this.#adopt(journal, table);
      throw new IndelibleError('unavailable', `${plan.workspace}: the table moved while its segment was written`);
    }
    const head: Head = { seq: plan.lastSeq, hash: last.event_hash, recordedAt: last.recorded_at };
    journal.becameCommitted(head, segmentFiles(table));
  }
}

const PIECES_STEP = 4;

function stopped(): IndelibleError {
  return new IndelibleError('unavailable', 'sealing was stopped: what waits stays in the write-ahead log');
}
