import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SegmentCache } from './cache/index.ts';
import type { Engine } from './duckdb/index.ts';
import { JournalSet } from './journal-set.ts';
import { JournalWriter, type WriterObserver, type WriterSettings } from './journal-writer.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { type SegmentJobs, SegmentProcess } from './segment-process/index.ts';
import { uuidV4 } from './uuid.ts';
import { SpoolDisk } from './wal/index.ts';

export type TermWritersOptions = {
  engine: Engine;
  store: ObjectStore;
  cache: SegmentCache;
  clock: Clock;
  random: Random;
  /** For files that may be lost. */
  tempDir: string;
  memoryLimitBytes: number;
  threads: number;
  settings: WriterSettings;
  observer: WriterObserver;
};

/** A writer for one term: what it has not committed is lost with it, and read again from the queue it came from. */
export type TermWriter = Pick<JournalWriter, 'ready' | 'place' | 'commitSoon' | 'committedSeq' | 'bytes' | 'flush'> & {
  /** Takes nothing more. Resolves when the seal that is under way has ended; its files are gone then. */
  close(): Promise<void>;
};

/** Opens writers of journals whose write-ahead log is a queue, so that this disk keeps nothing. They share one process that seals. */
export class TermWriters {
  readonly #options: TermWritersOptions;
  readonly #jobs: SegmentJobs;

  constructor(options: TermWritersOptions) {
    const { tempDir, memoryLimitBytes, threads } = options;
    this.#options = options;
    this.#jobs = new SegmentProcess({ tempDir: join(tempDir, 'seal'), memoryLimitBytes, threads });
  }

  /**
   * @param term `token`: every journal is taken over with it when it is first written to; a lower one then commits
   * nothing more (I7). `failed`: a seal failed; `fenced`: the term is over, anything else is tried again.
   */
  async open(term: {
    token: number;
    onCommitted(workspaces: readonly string[]): void;
    failed(error: unknown): void;
  }): Promise<TermWriter> {
    const { engine, store, cache, clock, random, settings, observer } = this.#options;
    const tempDir = join(this.#options.tempDir, `term-${uuidV4(random)}`);
    const linesDir = join(tempDir, 'lines');
    await mkdir(linesDir, { recursive: true });
    const set = new JournalSet({ engine, store, cache, clock, random, tempDir, token: term.token });
    const writer = new JournalWriter({
      ...settings,
      ...{ set, engine, store, cache, clock, random, tempDir, linesDir },
      jobs: this.#jobs,
      disk: new SpoolDisk(),
      firstFileNumber: 1,
      // Who owns a journal is in its own table log.
      checkOwner: async () => {},
      onCommitted: term.onCommitted,
      observer: {
        ...observer,
        sealFailed(error) {
          observer.sealFailed?.(error);
          term.failed(error);
        },
      },
    });
    return {
      ready: (workspace) => writer.ready(workspace),
      place: (workspace, drafts, how) => writer.place(workspace, drafts, how),
      commitSoon: () => writer.commitSoon(),
      committedSeq: (workspace) => writer.committedSeq(workspace),
      flush: (workspace) => writer.flush(workspace),
      get bytes() {
        return writer.bytes;
      },
      async close() {
        await writer.close();
        await rm(tempDir, { recursive: true, force: true });
      },
    };
  }

  close(): void {
    this.#jobs.close();
  }
}
