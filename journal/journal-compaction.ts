import { join } from 'node:path';
import type { SegmentCache } from './cache/index.ts';
import {
  type CompactionObserver,
  type CompactionReport,
  type CompactionTarget,
  Compactor,
  NO_COMPACTION,
  PART_ROWS,
  planMerge,
} from './compact/index.ts';
import type { Journal } from './journal.ts';
import type { JournalSet } from './journal-set.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { segmentFiles } from './read-committed.ts';
import type { SegmentJobs } from './segment-process/index.ts';

export type CompactionSettings = {
  /** Compact in the background; otherwise only when asked to. */
  isAutomatic: boolean;
  /** How long files stay after they left the table: longer than the longest query of any reader, at least an hour. */
  graceMs: number;
  /** Rows of a part of a merged run. */
  partRows: number;
};

export const COMPACTION_DEFAULTS: CompactionSettings = { isAutomatic: true, graceMs: 3_600_000, partRows: PART_ROWS };

/** Compaction of the journals of a process: when, and what its snapshots have to do with it. */
export class JournalCompaction {
  readonly #set: JournalSet;
  readonly #settings: CompactionSettings;
  readonly #jobs: SegmentJobs;
  readonly #compactor: Compactor;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    set: JournalSet;
    store: ObjectStore;
    cache: SegmentCache;
    clock: Clock;
    random: Random;
    tempDir: string;
    jobs: SegmentJobs;
    settings: CompactionSettings;
    observer: CompactionObserver;
  }) {
    const { settings, tempDir } = options;
    this.#set = options.set;
    this.#settings = settings;
    this.#jobs = options.jobs;
    this.#compactor = new Compactor({
      ...options,
      tempDir: join(tempDir, 'compact'),
      partRows: settings.partRows,
      graceMs: settings.graceMs,
    });
    // Another process may compact the same tables: what it replaced has to be let go of before it is deleted.
    if (settings.isAutomatic) this.#timer = setInterval(() => this.wake(), settings.graceMs / 4).unref();
  }

  /** Something was sealed. */
  wake(): void {
    if (!this.#settings.isAutomatic) return;
    this.#compactor.wake(() => this.#set.all().flatMap((journal) => targetOf(journal) ?? []));
  }

  /** Compacts the journal now. @throws not-found, fenced; unavailable where the store or the compacting process fails */
  async compact(workspace: string): Promise<CompactionReport> {
    const { journal } = await this.#set.open(workspace, false);
    if (journal.fenced) throw journal.fenced;
    const target = targetOf(journal);
    return target ? this.#compactor.compact(target) : NO_COMPACTION;
  }

  /** Does `work` on files while nothing is compacted, in the process that compacts. */
  exclusively<T>(work: (jobs: SegmentJobs) => Promise<T>): Promise<T> {
    return this.#compactor.exclusively(() => work(this.#jobs));
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    const closed = this.#compactor.close();
    this.#jobs.close();
    return closed;
  }
}

/** Files of the journal that wait to be merged. */
export function mergeableFiles(journal: Journal): number {
  return (journal.table && planMerge(journal.table.files())?.length) ?? 0;
}

function targetOf(journal: Journal): CompactionTarget | undefined {
  const { table, workspace } = journal;
  if (!table || journal.fenced) return undefined;
  return {
    workspace,
    table,
    publish: () => journal.replaceFiles(segmentFiles(table)),
    inUse: (key) => journal.inUse(key),
  };
}
