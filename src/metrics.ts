import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ComplianceReports } from './compliance/index.ts';
import type { EdgeMetrics } from './http/index.ts';
import type { ProjectionReports } from './projection-parts.ts';

/** Seconds. A group commit takes parts of a millisecond, an export minutes. */
const FAST_BUCKETS_S = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5];
const SLOW_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300];
const COUNT_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 512, 2048, 10_000];

/** Figures read when somebody asks, summed over all journals. */
export type Gauges = {
  walBytes: number;
  cacheBytes: number;
  sealLagEvents: number;
  mergeableFiles: number;
  historyBytes: number;
  workerProcesses: number;
  journals: number;
  signalsWaiting: number;
  projectionLagEvents: number;
};

/** What the journals report. Structurally the journal's observer. */
export type JournalReports = {
  groupCommitted(ms: number, events: number, bytes: number): void;
  sealed(ms: number, events: number, bytes: number): void;
  sealFailed(error: unknown): void;
  merged(merge: { ms: number; events: number; bytes: number }): void;
  compactionFailed(): void;
  cleaned(cleaned: { bytes: number }): void;
  cacheHit(): void;
  cacheMiss(ms: number, bytes: number): void;
  cacheEvicted(bytes: number): void;
};

/**
 * The measures of one process (Prometheus). Labels are route patterns, status classes and kinds: never a tenant, so
 * their number is bounded by the code.
 */
export class Metrics implements EdgeMetrics, JournalReports, ComplianceReports, ProjectionReports {
  readonly registry = new Registry();
  readonly #requests = this.#histogram(
    'indelible_http_request_seconds',
    'Time of a request by route and status class',
    SLOW_BUCKETS_S,
    ['route', 'method', 'status'],
  );
  readonly #appends = this.#histogram('indelible_append_seconds', 'From the whole body to the receipt', FAST_BUCKETS_S);
  readonly #appended = this.#counter(
    'indelible_appended_events_total',
    'Events in acknowledged appends, duplicates too',
  );
  readonly #groups = this.#histogram(
    'indelible_group_commit_seconds',
    'Write and fdatasync of one group of appends',
    FAST_BUCKETS_S,
  );
  readonly #groupEvents = this.#histogram(
    'indelible_group_commit_events',
    'Events that shared one fdatasync',
    COUNT_BUCKETS,
  );
  readonly #walWritten = this.#counter('indelible_wal_written_bytes_total', 'Bytes written to the write-ahead log');
  readonly #seals = this.#histogram('indelible_seal_seconds', 'From WAL file to committed Parquet', SLOW_BUCKETS_S);
  readonly #sealedEvents = this.#counter('indelible_sealed_events_total', 'Events committed to the object store');
  readonly #sealedBytes = this.#counter('indelible_sealed_bytes_total', 'Parquet bytes committed to the object store');
  readonly #sealFailures = this.#counter('indelible_seal_failures_total', 'Seals that failed and will be tried again');
  readonly #merges = this.#histogram('indelible_compaction_seconds', 'One merge of segments', SLOW_BUCKETS_S);
  readonly #mergedEvents = this.#counter('indelible_compacted_events_total', 'Events rewritten by compaction');
  readonly #mergedBytes = this.#counter('indelible_compacted_bytes_total', 'Parquet bytes written by compaction');
  readonly #mergeFailures = this.#counter(
    'indelible_compaction_failures_total',
    'Compactions that failed; events are safe',
  );
  readonly #deletedBytes = this.#counter('indelible_deleted_bytes_total', 'Bytes of replaced files deleted');
  readonly #cacheHits = this.#counter('indelible_cache_hits_total', 'Segments that were read from the local cache');
  readonly #cacheFetches = this.#histogram(
    'indelible_cache_fetch_seconds',
    'Download of one segment into the local cache',
    SLOW_BUCKETS_S,
  );
  readonly #cacheFetched = this.#counter(
    'indelible_cache_fetched_bytes_total',
    'Bytes downloaded into the local cache',
  );
  readonly #cacheEvicted = this.#counter('indelible_cache_evicted_bytes_total', 'Bytes dropped from the local cache');
  readonly #historyHits = this.#counter(
    'indelible_history_hits_total',
    'Committed files that history blocks answered for',
  );
  readonly #historyMisses = this.#counter(
    'indelible_history_misses_total',
    'Committed files that DuckDB had to be asked for',
  );
  readonly #historyBuilds = this.#histogram(
    'indelible_history_build_seconds',
    'Building the history blocks of one segment',
    SLOW_BUCKETS_S,
  );
  readonly #historyBuildFailures = this.#counter(
    'indelible_history_build_failures_total',
    'History blocks that could not be built; DuckDB answers instead',
  );
  readonly #queries = this.#histogram('indelible_query_seconds', 'Time of a question by kind', SLOW_BUCKETS_S, [
    'kind',
  ]);
  readonly #signalWaits = this.#histogram(
    'indelible_signal_wait_seconds',
    'From the record of a signal until it was taken up',
    SLOW_BUCKETS_S,
  );
  readonly #judgings = this.#histogram('indelible_judging_seconds', 'Judging of one signal by tier', SLOW_BUCKETS_S, [
    'tier',
  ]);
  readonly #verdicts = this.#counter('indelible_verdicts_total', 'Verdicts by tier and risk', ['tier', 'risk']);
  readonly #tierFailures = this.#counter(
    'indelible_tier_failures_total',
    'Tiers that failed, by cause; the next answered',
    ['tier', 'cause'],
  );
  readonly #repeatedSignals = this.#counter(
    'indelible_repeated_signals_total',
    'Signals whose source had its verdict already',
  );
  readonly #unknownSignals = this.#counter('indelible_unknown_signals_total', 'Signals without a source_id');
  readonly #judgingFailures = this.#counter(
    'indelible_judging_failures_total',
    'Times that judging stopped or has to be tried again',
  );
  readonly #modelCalls = this.#histogram(
    'indelible_model_call_seconds',
    'Calls to a model, retries included, by outcome',
    SLOW_BUCKETS_S,
    ['kind', 'outcome'],
  );
  readonly #modelRetries = this.#counter('indelible_model_retries_total', 'Calls to a model tried again, by cause', [
    'kind',
    'cause',
  ]);
  readonly #folds = this.#histogram(
    'indelible_projection_fold_seconds',
    'Folding what was committed into a projection, by projection',
    SLOW_BUCKETS_S,
    ['projection'],
  );
  readonly #foldedEvents = this.#counter('indelible_projection_folded_events_total', 'Events folded, by projection', [
    'projection',
  ]);
  readonly #foldedRows = this.#counter('indelible_projection_rows_total', 'Rows that folds added, by projection', [
    'projection',
  ]);
  readonly #foldFailures = this.#counter(
    'indelible_projection_failures_total',
    'Folds that failed and will be tried again; what is read is complete all the same',
  );
  readonly #errors = this.#counter('indelible_errors_total', 'Requests that ended in a problem, by kind', ['kind']);
  /** Label children by their values: looking one up is most of the cost of an observation. */
  readonly #requestChildren = new Map<string, { observe(value: number): void }>();

  constructor(readGauges: () => Gauges | Promise<Gauges>, options: { processMetrics?: boolean } = {}) {
    if (options.processMetrics !== false) collectDefaultMetrics({ register: this.registry });
    this.#gauge('indelible_wal_bytes', 'Bytes of the write-ahead log not yet sealed', readGauges, 'walBytes');
    this.#gauge('indelible_cache_bytes', 'Bytes of segments in the local cache', readGauges, 'cacheBytes');
    this.#gauge('indelible_seal_lag_events', 'Durable events not yet in the object store', readGauges, 'sealLagEvents');
    this.#gauge('indelible_mergeable_files', 'Files that wait for compaction', readGauges, 'mergeableFiles');
    this.#gauge('indelible_history_bytes', 'Bytes of history blocks on disk', readGauges, 'historyBytes');
    this.#gauge('indelible_worker_processes', 'Query worker processes alive', readGauges, 'workerProcesses');
    this.#gauge('indelible_signals_waiting', 'Signals taken up and not judged', readGauges, 'signalsWaiting');
    this.#gauge(
      'indelible_projection_lag_events',
      'Durable events that are in no table yet, of the projection that is furthest behind',
      readGauges,
      'projectionLagEvents',
    );
    this.#gauge('indelible_journals', 'Journals open in this process', readGauges, 'journals');
  }

  requestTimer(route: string, method: string, statusClass: number): { observe(seconds: number): void } {
    const key = `${method} ${statusClass} ${route}`;
    let child = this.#requestChildren.get(key);
    if (child === undefined) {
      child = this.#requests.labels({ route, method, status: `${statusClass}xx` });
      this.#requestChildren.set(key, child);
    }
    return child;
  }

  appendDone(ms: number, events: number): void {
    this.#appends.observe(ms / 1000);
    this.#appended.inc(events);
  }

  queryDone(kind: string, ms: number): void {
    this.#queries.labels({ kind }).observe(ms / 1000);
  }

  errorSeen(kind: string): void {
    this.#errors.labels({ kind }).inc();
  }

  groupCommitted(ms: number, events: number, bytes: number): void {
    this.#groups.observe(ms / 1000);
    this.#groupEvents.observe(events);
    this.#walWritten.inc(bytes);
  }

  sealed(ms: number, events: number, bytes: number): void {
    this.#seals.observe(ms / 1000);
    this.#sealedEvents.inc(events);
    this.#sealedBytes.inc(bytes);
  }

  sealFailed(_error: unknown): void {
    this.#sealFailures.inc();
  }

  merged({ ms, events, bytes }: { ms: number; events: number; bytes: number }): void {
    this.#merges.observe(ms / 1000);
    this.#mergedEvents.inc(events);
    this.#mergedBytes.inc(bytes);
  }

  compactionFailed(): void {
    this.#mergeFailures.inc();
  }

  cleaned({ bytes }: { bytes: number }): void {
    this.#deletedBytes.inc(bytes);
  }

  cacheHit(): void {
    this.#cacheHits.inc();
  }

  cacheMiss(ms: number, bytes: number): void {
    this.#cacheFetches.observe(ms / 1000);
    this.#cacheFetched.inc(bytes);
  }

  cacheEvicted(bytes: number): void {
    this.#cacheEvicted.inc(bytes);
  }

  historyLookUp(hits: number, misses: number): void {
    this.#historyHits.inc(hits);
    this.#historyMisses.inc(misses);
  }

  historyBuilt(ms: number): void {
    this.#historyBuilds.observe(ms / 1000);
  }

  historyBuildFailed(): void {
    this.#historyBuildFailures.inc();
  }

  judged(tier: string, risk: string, waitedMs: number, judgedMs: number): void {
    this.#signalWaits.observe(waitedMs / 1000);
    this.#judgings.labels({ tier }).observe(judgedMs / 1000);
    this.#verdicts.labels({ tier, risk }).inc();
  }

  tierFailed(tier: string, cause: string): void {
    this.#tierFailures.labels({ tier, cause }).inc();
  }

  signalRepeated(): void {
    this.#repeatedSignals.inc();
  }

  unknownTaken(signals: number): void {
    this.#unknownSignals.inc(signals);
  }

  judgingFailed(): void {
    this.#judgingFailures.inc();
  }

  callDone(kind: string, outcome: string, ms: number): void {
    this.#modelCalls.labels({ kind, outcome }).observe(ms / 1000);
  }

  retried(kind: string, cause: string): void {
    this.#modelRetries.labels({ kind, cause }).inc();
  }

  projectionFolded(folded: { projection: string; ms: number; events: number; rows: number }): void {
    const { projection } = folded;
    this.#folds.labels({ projection }).observe(folded.ms / 1000);
    this.#foldedEvents.labels({ projection }).inc(folded.events);
    this.#foldedRows.labels({ projection }).inc(folded.rows);
  }

  projectionFailed(): void {
    this.#foldFailures.inc();
  }

  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.registry.contentType, text: await this.registry.metrics() };
  }

  #histogram(name: string, help: string, buckets: number[], labelNames: string[] = []): Histogram {
    return new Histogram({ name, help, buckets, labelNames, registers: [this.registry] });
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  #gauge(name: string, help: string, read: () => Gauges | Promise<Gauges>, field: keyof Gauges): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      async collect() {
        this.set((await read())[field]);
      },
    });
  }
}
