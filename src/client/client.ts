import { AiKeysClient, HoldsClient, KeysClient, WorkspacesClient } from './admin.ts';
import { settleBatch } from './batch.ts';
import {
  bodyOf,
  entityPath,
  jsonBody,
  jsonLine,
  linesBody,
  pages,
  priorityHeader,
  readCall,
  segment,
  sqlCall,
} from './calls.ts';
import {
  type ChangeContext,
  deleteEvent,
  type Entity,
  type IngestedFile,
  ingestEvent,
  insertEvent,
  updateEvents,
} from './changes.ts';
import { ClusterClient } from './cluster.ts';
import type {
  AxiomInput,
  AxiomsResult,
  ComplianceEvent,
  ComplianceExportQuery,
  ComplianceQuery,
  ComplianceSource,
  ComplianceStats,
  RebuildCertificate,
} from './compliance-types.ts';
import { IndelibleClientError } from './errors.ts';
import { type IngestOptions, ingestFile } from './ingest.ts';
import type { AppendOptions, CallOptions, ClientOptions, ReadOptions, Recorded } from './options.ts';
import { Recorder, type RecorderOptions } from './recorder.ts';
import { RETRY_DEFAULTS, type RetryPolicy } from './retry.ts';
import { type TailOptions, tailEvents } from './tail.ts';
import { systemTimer, type Timer } from './timer.ts';
import { type Call, Transport } from './transport.ts';
import type {
  Ack,
  AppendResult,
  AppendResultOf,
  Compaction,
  EntityState,
  EventInput,
  ExportQuery,
  HistoryQuery,
  IngestResult,
  JsonValue,
  Page,
  Paging,
  Queued,
  QueuedReceipt,
  ReceiptOf,
  RecentQuery,
  RecordedEvent,
  Retention,
  RetentionOrder,
  SqlFormat,
  SqlParam,
  SqlResult,
  SqlStream,
  Stats,
  Verification,
} from './types.ts';
import { type RandomBytes, systemRandom, uuidV7 } from './uuid.ts';

const BATCH_DEFAULTS: Omit<RecorderOptions, 'timer'> = {
  maxBatchEvents: 500,
  maxBatchBytes: 4 * 1024 * 1024,
  maxDelayMs: 5,
  maxBufferedEvents: 10_000,
  overflow: 'wait',
};

/**
 * Everything the service can do, for Node and the browser. Methods throw IndelibleClientError and nothing else; a
 * stream that was handed out errors as fetch has it.
 */
export class IndelibleClient<A extends Ack = Recorded> {
  readonly keys: KeysClient;
  readonly workspaces: WorkspacesClient;
  readonly holds: HoldsClient;
  readonly aiKeys: AiKeysClient;
  readonly cluster: ClusterClient;
  readonly #transport: Transport;
  readonly #recorder: Recorder<ReceiptOf<A>>;
  readonly #timer: Timer;
  readonly #random: RandomBytes;
  readonly #retry: RetryPolicy;
  readonly #parseJson: (text: string) => unknown;

  constructor(options: ClientOptions<A>) {
    this.#timer = options.timer ?? systemTimer;
    this.#random = options.random ?? systemRandom;
    this.#retry = { ...RETRY_DEFAULTS, ...options.retry };
    this.#parseJson = options.parseJson ?? JSON.parse;
    this.#transport = new Transport({
      url: options.url,
      key: options.key,
      workspace: options.workspace,
      fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
      timer: this.#timer,
      random: this.#random,
      timeoutMs: options.timeoutMs ?? 30_000,
      retry: this.#retry,
    });
    this.#recorder = new Recorder({ ...BATCH_DEFAULTS, ...options.batch, timer: this.#timer }, (batch) =>
      settleBatch(batch, (lines) => this.#sendRecorded(lines, options)),
    );
    this.keys = new KeysClient((call) => this.#json(call));
    this.workspaces = new WorkspacesClient((call) => this.#json(call));
    this.holds = new HoldsClient((call) => this.#json(call));
    this.aiKeys = new AiKeysClient((call) => this.#json(call));
    this.cluster = new ClusterClient((call) => this.#json(call));
  }

  /** Events taken by the record methods and not yet answered. */
  get buffered(): number {
    return this.#recorder.buffered;
  }

  /** Records one event, in a batch with its neighbours; resolves with its receipt. */
  async record(event: EventInput, { signal }: CallOptions = {}): Promise<ReceiptOf<A>> {
    return this.#recorder.record(this.#line(event), signal);
  }

  async recordInsert(
    entity: Entity,
    value: JsonValue,
    context: ChangeContext,
    options?: CallOptions,
  ): Promise<ReceiptOf<A>> {
    return this.record(insertEvent(entity, value, context), options);
  }

  /** One event for each top-level field that differs; none where nothing does. */
  async recordUpdate(
    entity: Entity,
    before: { [key: string]: JsonValue },
    after: { [key: string]: JsonValue },
    context: ChangeContext,
    options?: CallOptions,
  ): Promise<ReceiptOf<A>[]> {
    return Promise.all(updateEvents(entity, before, after, context).map((event) => this.record(event, options)));
  }

  /** `value`: the last known content, or undefined. */
  async recordDelete(
    entity: Entity,
    value: JsonValue | undefined,
    context: ChangeContext,
    options?: CallOptions,
  ): Promise<ReceiptOf<A>> {
    return this.record(deleteEvent(entity, value, context), options);
  }

  /** Records that your application took in a file. To have the service take one in, see ingest(). */
  async recordIngest(file: IngestedFile, context: ChangeContext, options?: CallOptions): Promise<ReceiptOf<A>> {
    return this.record(ingestEvent(file, context), options);
  }

  /** Sends what the record methods took so far; resolves when each event has its receipt or its error. */
  async flush(): Promise<void> {
    return this.#recorder.flush();
  }

  /** Takes no more events, and flushes. */
  async close(): Promise<void> {
    return this.#recorder.close();
  }

  /** Up to 10,000 events and 16 MB, all or nothing, in a request of their own. */
  async append<B extends Ack = Recorded>(
    events: readonly EventInput[],
    options: AppendOptions<B> = {},
  ): Promise<AppendResultOf<B>> {
    const lines = events.map((event) => this.#line(event));
    return (await this.#sendLines(lines, options)) as AppendResultOf<B>;
  }

  async history(entityId: string, query: HistoryQuery = {}, options: ReadOptions = {}): Promise<Page> {
    return this.#json(readCall(entityPath(entityId), options, query));
  }

  /** The whole history, page by page. */
  async *historyEvents(
    entityId: string,
    query: HistoryQuery = {},
    options?: ReadOptions,
  ): AsyncGenerator<RecordedEvent> {
    yield* pages((page) => this.history(entityId, { ...query, ...page }, options));
  }

  /** The entity's fields as of a time or a seq; default now. */
  async state(
    entityId: string,
    query: { type?: string | undefined; at?: string | number | undefined } = {},
    options: ReadOptions = {},
  ): Promise<EntityState> {
    return this.#json(readCall(`${entityPath(entityId)}/state`, options, query));
  }

  /** Newest first. */
  async recent(query: RecentQuery = {}, options: ReadOptions = {}): Promise<Page> {
    return this.#json(readCall('/journal/recent', options, query));
  }

  async event(eventId: string, options: ReadOptions = {}): Promise<RecordedEvent & Record<string, unknown>> {
    return this.#json(readCall(`/journal/events/${segment(eventId)}`, options));
  }

  async stats(options: ReadOptions = {}): Promise<Stats> {
    return this.#json(readCall('/journal/stats', options));
  }

  /** Has the service write what it holds into Parquet now; answers how many events that were. */
  async seal({ signal }: CallOptions = {}): Promise<{ events: number }> {
    return this.#json({ method: 'POST', path: '/journal/flush', signal, timeoutMs: 0 });
  }

  /** Has the service merge segments and delete what is no longer read; it may take minutes. For operators. */
  async compact({ signal }: CallOptions = {}): Promise<Compaction> {
    return this.#json({ method: 'POST', path: '/journal/compact', signal, timeoutMs: 0 });
  }

  /**
   * Removes the workspace's events before a time of recording or a position. For operators. Doing it again removes
   * nothing more.
   */
  async retain(order: RetentionOrder, { signal }: CallOptions = {}): Promise<Retention> {
    const { dryRun: dry_run, ...asked } = order;
    const body = jsonBody({ ...asked, dry_run });
    return this.#json({ method: 'POST', path: '/journal/retention', ...body, signal, timeoutMs: 0 });
  }

  /** One SELECT over the views `journal` and those of the projections. */
  async sql(sql: string, params: readonly SqlParam[] = [], options: ReadOptions = {}): Promise<SqlResult> {
    return this.#json(sqlCall(sql, params, 'json', options));
  }

  /** The same as a stream of bytes. */
  async sqlStream(
    sql: string,
    params: readonly SqlParam[],
    format: SqlFormat,
    options: ReadOptions = {},
  ): Promise<SqlStream> {
    const response = await this.#transport.stream(sqlCall(sql, params, format, options));
    const rows = response.headers.get('x-row-count');
    return {
      body: bodyOf(response),
      rows: rows === null ? undefined : Number(rows),
      truncated: response.headers.get('x-truncated') === 'true',
    };
  }

  /** All events, or those that match, in seq order. The stream errors where the answer is not complete. */
  async export(query: ExportQuery = {}, options: ReadOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return this.#file(readCall('/journal/export', options, query));
  }

  /** Recomputes every hash and link of the journal. */
  async verify(options: ReadOptions = {}): Promise<Verification> {
    return this.#json({ ...readCall('/journal/verify', options), timeoutMs: 0 });
  }

  /** Events as they become durable; resumes by itself after a lost connection. */
  tail(options: TailOptions = {}): AsyncGenerator<RecordedEvent> {
    const tools = {
      transport: this.#transport,
      timer: this.#timer,
      random: this.#random,
      retry: this.#retry,
      parseJson: this.#parseJson,
    };
    return tailEvents(tools, options);
  }

  /** Has the service take in a file (NDJSON, CSV, Parquet, each also gzipped). */
  async ingest(body: Blob, options: IngestOptions = {}): Promise<IngestResult> {
    return ingestFile(this.#transport, body, options);
  }

  /** Records signals to be judged; up to 10,000 and 16 MB of them all or nothing, more in such parts. */
  async axioms(
    axioms: readonly AxiomInput[],
    { signal, priority }: Omit<AppendOptions, 'ack'> = {},
  ): Promise<AxiomsResult> {
    const lines = axioms.map((axiom) => jsonLine(axiom, 'the signal'));
    // Without a source_id a second try would record it a second time.
    const repeatable = axioms.every(({ source_id }) => source_id !== undefined && source_id !== 'unknown');
    const headers = priorityHeader(priority);
    return this.#json({ method: 'POST', path: '/axioms', headers, ...linesBody(lines), signal, repeatable });
  }

  /** Verdicts, newest first, page by page. */
  complianceEvents(query: ComplianceQuery = {}, options: ReadOptions = {}): AsyncGenerator<ComplianceEvent> {
    return pages((page) => this.#json(readCall('/compliance/events', options, { ...query, ...page })));
  }

  /** The verdict on a source, with its events. */
  async complianceEvent(sourceId: string, query: Paging = {}, options: ReadOptions = {}): Promise<ComplianceSource> {
    return this.#json(readCall(`/compliance/events/${segment(sourceId)}`, options, query));
  }

  async complianceStats(options: ReadOptions = {}): Promise<ComplianceStats> {
    return this.#json(readCall('/compliance/stats', options));
  }

  /** CSV. The stream errors where the answer is not complete. */
  async complianceExport(
    query: ComplianceExportQuery = {},
    options: ReadOptions = {},
  ): Promise<ReadableStream<Uint8Array>> {
    return this.#file(readCall('/compliance/export', options, query));
  }

  /** Has a projection made anew and proved; it may take minutes. Default: compliance_events. For operators. */
  async rebuild(
    query: { projection?: string | undefined; force?: true | undefined } = {},
    { signal }: CallOptions = {},
  ): Promise<RebuildCertificate> {
    return this.#json({ method: 'POST', path: '/compliance/rebuild', query, signal, timeoutMs: 0, repeatable: false });
  }

  #line(event: EventInput): string {
    const identified =
      event.event_id === undefined ? { ...event, event_id: uuidV7(this.#timer.nowMs(), this.#random) } : event;
    return jsonLine(identified, 'the event');
  }

  async #sendRecorded(lines: readonly string[], { ack, priority }: AppendOptions<A>): Promise<ReceiptOf<A>[]> {
    const taken = await this.#sendLines(lines, { ack, priority });
    const { receipts } = 'position' in taken ? positioned(taken) : taken;
    return receipts as ReceiptOf<A>[];
  }

  /** Always says what it waits for: a service has a default of its own. */
  #sendLines(
    lines: readonly string[],
    { ack = 'durable', priority, signal }: AppendOptions,
  ): Promise<AppendResult | Queued> {
    const headers = priorityHeader(priority);
    return this.#json({
      method: 'POST',
      path: '/journal/events',
      query: { ack },
      headers,
      ...linesBody(lines),
      signal,
    });
  }

  async #file(call: Call): Promise<ReadableStream<Uint8Array>> {
    return bodyOf(await this.#transport.stream({ ...call, accept: '*/*', timeoutMs: 0 }));
  }

  async #json<T>(call: Call): Promise<T> {
    const text = await this.#transport.text(call);
    try {
      return (text === '' ? undefined : this.#parseJson(text)) as T;
    } catch (cause) {
      const message = `${this.#transport.baseUrl}${call.path} did not answer with JSON: is it the address of an Indelible service?`;
      throw new IndelibleClientError('protocol', message, { cause });
    }
  }
}

/** Each receipt with the position that a read can wait for. */
function positioned({ receipts, position }: Queued): { receipts: QueuedReceipt[] } {
  return { receipts: receipts.map((receipt) => ({ ...receipt, position })) };
}
