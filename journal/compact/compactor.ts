import type { SegmentCache } from '../cache/index.ts';
import { IndelibleError } from '../errors.ts';
import type { Clock, ObjectStore, Random } from '../ports.ts';
import type { SegmentJobs } from '../segment-process/index.ts';
import type { DeltaTable } from '../table/index.ts';
import { type Cleaned, cleanUp } from './cleanup.ts';
import { mergeRuns } from './merge.ts';
import { planMerge } from './plan.ts';

/** A journal as compaction sees it. */
export type CompactionTarget = {
  workspace: string;
  table: DeltaTable;
  /** The table's files are others now: queries that begin from here on read those. */
  publish(): void;
  /** Whether an open snapshot, or one that may yet be taken, reads the object. */
  inUse(key: string): boolean;
};

export type CompactionReport = {
  merges: number;
  /** Rewritten. */
  events: number;
  files_before: number;
  files_after: number;
  bytes_before: number;
  bytes_after: number;
  /** Of the cleanup. */
  deleted_files: number;
  deleted_bytes: number;
  deleted_log_entries: number;
};

/** Of a journal without a file. */
export const NO_COMPACTION: CompactionReport = {
  merges: 0,
  events: 0,
  files_before: 0,
  files_after: 0,
  bytes_before: 0,
  bytes_after: 0,
  deleted_files: 0,
  deleted_bytes: 0,
  deleted_log_entries: 0,
};

export type CompactionObserver = {
  merged?(merge: {
    workspace: string;
    ms: number;
    events: number;
    filesBefore: number;
    filesAfter: number;
    bytes: number;
  }): void;
  cleaned?(cleaned: Cleaned & { workspace: string }): void;
  compactionFailed?(error: unknown, workspace: string): void;
};

export type CompactorOptions = {
  store: ObjectStore;
  cache: SegmentCache;
  clock: Clock;
  random: Random;
  jobs: SegmentJobs;
  tempDir: string;
  partRows: number;
  graceMs: number;
  observer: CompactionObserver;
};

/**
 * Keeps the tables small: merges segments into sorted runs, writes checkpoints, deletes what is no longer read. One
 * journal at a time, beside seals, which commit in between. Everything it does can be cut short and done again.
 */
export class Compactor {
  readonly #options: CompactorOptions;
  /** Journals whose files are not what the log says: merging them again would fail again. */
  readonly #damaged = new Set<string>();
  readonly #cleanedMs = new Map<string, number>();
  #turn: Promise<unknown> = Promise.resolve();
  #background: Promise<void> | undefined;
  #isWoken = false;
  #isStopping = false;

  constructor(options: CompactorOptions) {
    this.#options = options;
  }

  /** Looks after these journals in the background. What fails is tried again with the next call. */
  wake(targets: () => readonly CompactionTarget[]): void {
    this.#isWoken = true;
    this.#background ??= this.#run(targets).finally(() => {
      this.#background = undefined;
    });
  }

  /** Does now all that is due, and tells what came of it. */
  compact(target: CompactionTarget): Promise<CompactionReport> {
    return this.#inTurn(async () => {
      await follow(target);
      const before = size(target.table);
      const merged = await this.#merge(target);
      const after = size(target.table);
      const cleaned = await this.#clean(target);
      return {
        ...merged,
        files_before: before.files,
        files_after: after.files,
        bytes_before: before.bytes,
        bytes_after: after.bytes,
        deleted_files: cleaned.files,
        deleted_bytes: cleaned.bytes,
        deleted_log_entries: cleaned.logEntries,
      };
    });
  }

  /** Does `work` while no journal is merged or cleaned up. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(work);
  }

  /** Gives up what is under way, at the next step; a job that runs has to be ended by its owner. */
  async close(): Promise<void> {
    this.#isStopping = true;
    await this.#background;
    await this.#turn;
  }

  async #run(targets: () => readonly CompactionTarget[]): Promise<void> {
    while (this.#isWoken && !this.#isStopping) {
      this.#isWoken = false;
      for (const target of targets()) {
        await this.#inTurn(() => this.#lookAfter(target)).catch((error: unknown) => {
          if (error instanceof IndelibleError && error.kind === 'corrupt') this.#damaged.add(target.workspace);
          if (!this.#isStopping) this.#options.observer.compactionFailed?.(error, target.workspace);
        });
      }
    }
  }

  async #lookAfter(target: CompactionTarget): Promise<void> {
    if (this.#isStopping || this.#damaged.has(target.workspace)) return;
    await this.#merge(target);
    const { clock, graceMs } = this.#options;
    const cleanedMs = this.#cleanedMs.get(target.workspace);
    if (cleanedMs === undefined || clock.nowMs() - cleanedMs >= graceMs / 4) await this.#clean(target);
  }

  async #merge(target: CompactionTarget): Promise<{ merges: number; events: number }> {
    const { table } = target;
    const done = { merges: 0, events: 0 };
    await follow(target);
    for (;;) {
      const inputs = planMerge(table.files());
      if (!inputs || this.#isStopping) break;
      const startedMs = performance.now();
      const events = inputs.reduce((sum, { bounds }) => sum + bounds.rows, 0);
      const result = await mergeRuns({ ...this.#options, isStopping: () => this.#isStopping }, table, inputs);
      if (result.outcome === 'stopped') break;
      target.publish();
      // Somebody else compacts this table: what is left to do is seen anew.
      if (result.outcome === 'overtaken') continue;
      done.merges += 1;
      done.events += events;
      const { workspace } = target;
      const ms = performance.now() - startedMs;
      const { files: filesAfter, bytes } = result;
      this.#options.observer.merged?.({ workspace, ms, events, filesBefore: inputs.length, filesAfter, bytes });
    }
    if (!this.#isStopping) await table.checkpoint();
    return done;
  }

  async #clean(target: CompactionTarget): Promise<Cleaned> {
    const { store, cache, clock, graceMs, observer } = this.#options;
    const inUse = (key: string) => target.inUse(key) || cache.isHeld(key);
    const cleaned = await cleanUp({ store, clock, graceMs, inUse }, target.table);
    target.publish();
    this.#cleanedMs.set(target.workspace, clock.nowMs());
    observer.cleaned?.({ workspace: target.workspace, ...cleaned });
    return cleaned;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    // Between turns there may be hours: the memory of the process that writes segments is given back.
    const done = this.#turn.then(work).finally(() => this.#options.jobs.close());
    this.#turn = done.catch(() => {});
    return done;
  }
}

/** Takes over what other processes committed. */
async function follow({ table, publish }: CompactionTarget): Promise<void> {
  await table.refresh();
  publish();
}

function size(table: DeltaTable): { files: number; bytes: number } {
  const files = table.files();
  return { files: files.length, bytes: files.reduce((sum, { add }) => sum + add.size, 0) };
}
