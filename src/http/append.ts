import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Ack,
  type DraftBatch,
  type DraftEvent,
  invalid,
  type JournalQueue,
  LIMITS,
  readEvents,
  scanEvents,
} from '../../journal/index.ts';
import { progressJson, type Taken, takenJson } from './append-answer.ts';
import { appendDrafts, enqueueDrafts } from './append-drafts.ts';
import { type AppendQuery, appendQuery } from './append-query.ts';
import { authenticate, requireRole, workspaceOf } from './auth.ts';
import { type BodyBudget, decoded, readDecoded, utf8Text } from './body.ts';
import { giveIds, keyedId, refuseOtherContent } from './idempotency.ts';
import { type LineChunk, lineChunks, rebased } from './ndjson.ts';
import { permissionOf } from './permissions.ts';
import { type Priority, priorityOf } from './priority.ts';
import { EdgeError, PartialError, type Progress } from './problem.ts';
import type { Observed, RequestLog } from './request-log.ts';
import type { Principal, Services } from './services.ts';

export const APPEND_PATH = '/journal/events';

type Append = {
  principal: Principal;
  workspace: string;
  ack: Exclude<Ack, 'queued'>;
  /** Takes the events in place of the journal. */
  queue: JournalQueue | undefined;
  withReceipts: boolean;
  priority: Priority;
  shape: 'json' | 'ndjson';
  idempotencyKey: string | undefined;
};

/**
 * POST /journal/events on node's own request and response. The route of almost every request: on the way of the other
 * routes it would spend half of its time in the framework. It shares their authentication, problems, log and measures.
 */
export class AppendHandler {
  readonly #services: Services;
  readonly #requestLog: RequestLog;
  readonly #budget: BodyBudget;
  readonly #permission = permissionOf('post', APPEND_PATH);

  constructor(services: Services, requestLog: RequestLog, budget: BodyBudget) {
    this.#services = services;
    this.#requestLog = requestLog;
    this.#budget = budget;
  }

  /** Answers the request; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const observed = this.#requestLog.begin(request, 'POST', APPEND_PATH);
    let held = 0;
    try {
      const asked = this.#accept(request, observed);
      held = this.#budget.take(request);
      const isJson = asked.shape === 'json';
      const text = await (isJson ? this.#appendWhole(request, asked) : this.#appendLines(request, asked));
      const bytes = Buffer.byteLength(text);
      const status = asked.queue === undefined ? 201 : 202;
      response.writeHead(status, [
        'Content-Type',
        'application/json',
        'Content-Length',
        String(bytes),
        'X-Request-Id',
        observed.requestId,
        'Cache-Control',
        'no-store',
      ]);
      response.end(text, bytes === text.length ? 'latin1' : 'utf8');
      this.#requestLog.endAppend(observed, status);
    } catch (error) {
      this.#requestLog.fail(observed, error, request, response);
    } finally {
      if (held > 0) this.#budget.give(held);
    }
  }

  #accept(request: IncomingMessage, observed: Observed): Append {
    const principal = authenticate(this.#services.keys, request);
    observed.principal = principal;
    requireRole(this.#permission, principal);
    const query = appendQuery(request.url ?? '');
    const header = request.headers['x-workspace'] as string | undefined;
    const workspace = workspaceOf(principal, header, query.workspace);
    observed.workspace = workspace;
    const asked = {
      principal,
      workspace,
      ...this.#wayOf(query),
      withReceipts: query.receipts === 'full',
      priority: priorityOf(request.headers.priority as string | undefined, 'normal'),
      shape: bodyShape(request),
      idempotencyKey: idempotencyKeyOf(request),
    };
    this.#services.admission.admit(asked.priority);
    return asked;
  }

  /** @throws IndelibleError invalid */
  #wayOf({ ack }: AppendQuery): Pick<Append, 'ack' | 'queue'> {
    const { queue } = this.#services.journals;
    if (ack === 'durable' || ack === 'committed') return { ack, queue: undefined };
    if (ack === 'queued' && queue === undefined) {
      const message =
        'is for a cluster: this service has no queue. Ask for durable or committed, or give the service INDELIBLE_REDIS_URL';
      throw invalid([{ pointer: '/ack', message }]);
    }
    return { ack: 'durable', queue };
  }

  async #appendWhole(request: IncomingMessage, asked: Append): Promise<string> {
    const bytes = await readDecoded(request, LIMITS.bodyBytesMax);
    // Ids that come from the request's key are given to objects; without one most bodies need not become any.
    const scanned = asked.idempotencyKey === undefined ? scanEvents(bytes, asked.workspace) : undefined;
    const taken = scanned
      ? await this.#append(scanned, asked)
      : await this.#appendAll(readEvents(utf8Text(bytes), 'json', asked.workspace), asked);
    return takenJson(taken, asked.withReceipts);
  }

  /** All or nothing: the whole request at once. */
  #appendAll(drafts: DraftEvent[], asked: Append): Promise<Taken> {
    const key = asked.idempotencyKey;
    return key === undefined ? this.#append(drafts, asked) : this.#appendKeyed(drafts, asked, key);
  }

  async #appendKeyed(drafts: DraftEvent[], asked: Append, key: string): Promise<Taken> {
    const idOf = (index: number) => keyedId(asked.workspace, key, index);
    // Of what is only queued nothing can be looked up: other content under the key is found out by who records it.
    if (asked.queue === undefined) await refuseOtherContent(this.#services.journals, asked.workspace, drafts, idOf);
    giveIds(drafts, 0, idOf);
    return this.#append(drafts, asked);
  }

  async #append(drafts: readonly DraftEvent[] | DraftBatch, asked: Append): Promise<Taken> {
    const startedMs = performance.now();
    const { keys, metrics } = this.#services;
    const { queue } = asked;
    const taken =
      queue === undefined
        ? await appendDrafts(this.#services, asked, drafts, asked.ack)
        : await enqueueDrafts({ keys, queue }, asked, drafts);
    metrics.appendDone(performance.now() - startedMs, drafts.length);
    return taken;
  }

  /** NDJSON: at once if it fits one append, else in chunks that are each all or nothing. */
  async #appendLines(request: IncomingMessage, asked: Append): Promise<string> {
    const progress: Progress = { events: 0, duplicates: 0, lines: 0, first_seq: null, last_seq: null };
    let headHash: string | undefined;
    try {
      for await (const chunk of lineChunks(decoded(request))) {
        const isWhole = chunk.last && chunk.firstLine === 0;
        if (isWhole) {
          const drafts = readEvents(chunk.text, 'ndjson', asked.workspace);
          return takenJson(await this.#appendAll(drafts, asked), asked.withReceipts);
        }
        if (chunk.filled > 0) {
          // The first part was admitted with the request.
          if (chunk.firstLine > 0) this.#services.admission.admit(asked.priority);
          const taken = await this.#appendChunk(chunk, progress.events + progress.duplicates, asked);
          if ('head_hash' in taken) headHash = taken.head_hash;
          addProgress(progress, taken);
        }
        progress.lines += chunk.lines;
      }
    } catch (error) {
      throw progress.lines === 0 ? error : new PartialError(error, progress);
    }
    return progressJson(progress, headHash);
  }

  async #appendChunk(chunk: LineChunk, firstIndex: number, asked: Append): Promise<Taken> {
    try {
      const drafts = readEvents(chunk.text, 'ndjson', asked.workspace);
      const key = asked.idempotencyKey;
      if (key !== undefined) giveIds(drafts, firstIndex, (index) => keyedId(asked.workspace, key, index));
      return await this.#append(drafts, asked);
    } catch (error) {
      throw rebased(error, chunk.firstLine);
    }
  }
}

export function addProgress(progress: Progress, taken: Taken): void {
  if ('position' in taken) {
    progress.events += taken.queued;
    progress.position = taken.position;
  } else {
    progress.events += taken.count;
    progress.duplicates += taken.duplicates;
    progress.first_seq ??= taken.first_seq;
    progress.last_seq = taken.last_seq ?? progress.last_seq;
  }
}

const SHAPES: Record<string, 'json' | 'ndjson'> = {
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'application/ndjson': 'ndjson',
  'application/jsonl': 'ndjson',
};

/** @throws EdgeError for a body of another type. */
export function bodyShape(request: IncomingMessage): 'json' | 'ndjson' {
  const header = request.headers['content-type'] ?? '';
  const known = SHAPES[header] ?? SHAPES[(header.split(';')[0] ?? '').trim().toLowerCase()];
  if (known !== undefined && !/charset=(?!"?utf-?8)/i.test(header)) return known;
  throw new EdgeError('unsupported-media-type', 'send application/json or application/x-ndjson, in UTF-8', {
    'Accept-Post': 'application/json, application/x-ndjson',
  });
}

/** @throws IndelibleError invalid */
export function idempotencyKeyOf(request: IncomingMessage): string | undefined {
  const header = request.headers['idempotency-key'] as string | undefined;
  if (header === undefined || /^[\x21-\x7e]{1,255}$/.test(header)) return header;
  throw invalid([{ pointer: '/Idempotency-Key', message: 'must be 1 to 255 visible ASCII characters' }]);
}
