import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const WAIT_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300];

/** What is read when somebody asks. */
export type ClusterGauges = {
  pressureLevel: number;
  lagEntries: number;
  pendingEntries: number;
  oldestEntryMs: number;
  /** NaN where Redis has no limit. */
  memoryRatio: number;
  partitions: number;
  deadLetters: number;
};

const GAUGES: Readonly<Record<keyof ClusterGauges, readonly [name: string, help: string]>> = {
  pressureLevel: ['indelible_pressure_level', '0 normal, 1 smaller reads, 2 low priority waits, 3 nothing is taken'],
  lagEntries: ['indelible_stream_lag_entries', 'Entries of all streams that nobody was given yet'],
  pendingEntries: ['indelible_stream_pending_entries', 'Entries of all streams that were given and not acknowledged'],
  oldestEntryMs: ['indelible_stream_oldest_entry_milliseconds', 'Age of the oldest entry that is not done'],
  memoryRatio: ['indelible_redis_memory_ratio', 'Used memory of Redis as a part of its limit'],
  partitions: ['indelible_partitions_held', 'Partitions that this process writes'],
  deadLetters: ['indelible_dead_letters', 'Entries that were set aside and wait for somebody to decide'],
};

/** The measures of a process of a cluster, beside those of every process. No label names a tenant. */
export class ClusterMetrics {
  readonly #waits: Histogram;
  readonly #recorded: Counter;
  readonly #levels: Counter;
  readonly #leasesLost: Counter;
  readonly #termsFailed: Counter;
  readonly #lost: Counter;
  readonly #groupsMade: Counter;
  readonly #reclaimed: Counter;
  readonly #letters: Counter;
  readonly #trimmed: Counter;
  readonly #orphaned: Counter;

  constructor(registry: Registry, read: () => Promise<ClusterGauges>) {
    const counter = (name: string, help: string, labelNames: string[] = []) =>
      new Counter({ name, help, labelNames, registers: [registry] });
    this.#recorded = counter('indelible_recorded_events_total', 'Events that were read from a stream and recorded');
    this.#levels = counter('indelible_pressure_changes_total', 'Changes of the pressure level, by cause', ['cause']);
    this.#leasesLost = counter('indelible_leases_lost_total', 'Leases that ended, by reason', ['reason']);
    this.#termsFailed = counter(
      'indelible_terms_failed_total',
      'Partitions let go of because something was wrong, by kind',
      ['kind'],
    );
    this.#lost = counter(
      'indelible_entries_lost_total',
      'Entries that were gone from their stream before they were done: alert on this',
    );
    this.#groupsMade = counter(
      'indelible_groups_remade_total',
      'Consumer groups that were gone: Redis lost what it held',
    );
    this.#reclaimed = counter('indelible_reclaimed_entries_total', 'Signals taken over from consumers that are gone');
    this.#letters = counter('indelible_dead_letters_added_total', 'Entries that were set aside, by kind', ['kind']);
    this.#trimmed = counter('indelible_trimmed_entries_total', 'Entries removed from streams after they were done');
    this.#orphaned = counter(
      'indelible_orphaned_partitions_total',
      'Times that a partition with work was found without a worker',
    );
    this.#waits = new Histogram({
      name: 'indelible_queued_seconds',
      help: 'From the acceptance of an append until it has its place in the journal',
      buckets: WAIT_BUCKETS_S,
      registers: [registry],
    });
    let reading: Promise<ClusterGauges> | undefined;
    for (const [field, [name, help]] of Object.entries(GAUGES)) {
      new Gauge({
        name,
        help,
        registers: [registry],
        async collect() {
          // One reading for all of them.
          reading ??= read().finally(() => {
            reading = undefined;
          });
          this.set((await reading)[field as keyof ClusterGauges]);
        },
      });
    }
  }

  recorded(events: number, queuedMs: number): void {
    this.#recorded.inc(events);
    this.#waits.observe(Math.max(queuedMs, 0) / 1000);
  }

  levelChanged(cause: string): void {
    this.#levels.labels({ cause }).inc();
  }

  leaseLost(reason: string): void {
    this.#leasesLost.labels({ reason }).inc();
  }

  termFailed(kind: string): void {
    this.#termsFailed.labels({ kind }).inc();
  }

  entriesLost(entries: number): void {
    this.#lost.inc(entries);
  }

  groupMade(): void {
    this.#groupsMade.inc();
  }

  reclaimed(entries: number): void {
    this.#reclaimed.inc(entries);
  }

  letterAdded(kind: string): void {
    this.#letters.labels({ kind }).inc();
  }

  trimmed(entries: number): void {
    this.#trimmed.inc(entries);
  }

  orphaned(): void {
    this.#orphaned.inc();
  }
}
