import type { Clock, ObjectStore, Random, TermWriters } from '../../../journal/index.ts';
import type { Redis } from '../redis/index.ts';
import { type Lease, type LeaseObserver, PartitionLeases } from './leases.ts';
import { partitionOf } from './partition-of.ts';
import { type JournalLetter, PartitionTerm, type TermObserver } from './term.ts';

export type WorkerObserver = TermObserver &
  LeaseObserver & {
    termBegan?(lease: Lease): void;
    /** Another worker has the partition, or something is wrong with it. */
    termFailed?(partition: number, error: unknown): void;
  };

export type JournalWorkerOptions = {
  commands: Redis;
  openReader(): Redis;
  store: ObjectStore;
  clock: Clock;
  random: Random;
  writers: TermWriters;
  workerName: string;
  partitions: number;
  leaseMs: number;
  readCount(max: number): number;
  deadLetter(letter: JournalLetter): Promise<void>;
  onCommitted(workspaces: readonly string[]): void;
  observer: WorkerObserver;
};

/** Writes the journals of the partitions that it has a lease on, each in a term of its own. */
export class JournalWorker {
  readonly #options: JournalWorkerOptions;
  readonly #leases: PartitionLeases;
  readonly #terms = new Map<number, PartitionTerm>();

  constructor(options: JournalWorkerOptions) {
    const { commands, store, clock, random, workerName, partitions, leaseMs, observer } = options;
    this.#options = options;
    this.#leases = new PartitionLeases({
      ...{ redis: commands, store, clock, random, workerName, partitions, leaseMs, observer },
      onGained: (lease) => this.#begin(lease),
      onLost: async (partition, reason) => {
        const term = this.#terms.get(partition);
        this.#terms.delete(partition);
        await (reason === 'given-up' ? term?.drain() : term?.abandon());
      },
    });
  }

  /** Partitions that this worker writes. */
  get partitions(): number[] {
    return [...this.#terms.keys()].sort((a, b) => a - b);
  }

  start(): void {
    this.#leases.start();
  }

  /** Commits what it has read, then lets go. */
  stop(): Promise<void> {
    return this.#leases.stop();
  }

  #begin(lease: Lease): void {
    const { writers, clock, partitions, observer } = this.#options;
    const { partition, token } = lease;
    const term = new PartitionTerm({
      ...this.#options,
      partition,
      wasWritten: token > 1,
      holds: () => this.#leases.holds(lease),
      owns: (workspace) => partitionOf(workspace, partitions) === partition,
      openWriter: (told) => writers.open({ token, ...told }),
      nowMs: () => clock.nowMs(),
      onFailed: (error) => {
        observer.termFailed?.(partition, error);
        void this.#leases.giveUp(partition);
      },
    });
    this.#terms.set(partition, term);
    observer.termBegan?.(lease);
    term.start();
  }
}
