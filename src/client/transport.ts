import { abortedError, IndelibleClientError, problemText } from './errors.ts';
import { nextDelayMs, RETRIED_STATUSES, type RetryPolicy, retryAfterMs } from './retry.ts';
import { sleep, type Timer } from './timer.ts';
import type { Problem } from './types.ts';
import { type RandomBytes, randomFraction } from './uuid.ts';

export type TransportOptions = {
  /** Base address, e.g. `http://127.0.0.1:8080`. */
  url: string;
  key: string | undefined;
  workspace: string | undefined;
  fetch: typeof globalThis.fetch;
  timer: Timer;
  random: RandomBytes;
  /** For one try, until the answer was read; for a stream, until it began. */
  timeoutMs: number;
  retry: RetryPolicy;
};

export type QueryValue = string | number | boolean | undefined;
export type Call = {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  query?: Readonly<Record<string, QueryValue>>;
  accept?: string;
  headers?: Readonly<Record<string, string>>;
  /** Made anew for each try. */
  body?: () => NonNullable<RequestInit['body']>;
  contentType?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Whether sending it twice does what sending it once does. Default true. */
  repeatable?: boolean;
  /** 0: as long as it takes. */
  timeoutMs?: number | undefined;
};

type Failure = { error: IndelibleClientError; retryable: boolean; retryAfterMs: number | undefined };
type Outcome<T> = { ok: true; value: T } | ({ ok: false } & Failure);

/** Requests with time limits and retries. Only what may be sent twice is sent again. */
export class Transport {
  readonly #options: TransportOptions;
  readonly baseUrl: string;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.baseUrl = options.url.replace(/\/+$/, '');
  }

  /** The body as text. */
  text(call: Call): Promise<string> {
    return this.#send(call, (response) => response.text());
  }

  /** The answer whose body has not been read: errors of the body are the reader's. */
  stream(call: Call): Promise<Response> {
    return this.#send(call, async (response) => response);
  }

  async #send<T>(call: Call, read: (response: Response) => Promise<T>): Promise<T> {
    const { timer, retry, random } = this.#options;
    const startedMs = timer.nowMs();
    for (let triesMade = 1; ; triesMade++) {
      const outcome = await this.#try(call, read);
      if (outcome.ok) return outcome.value;
      if (!outcome.retryable || call.repeatable === false) throw outcome.error;
      const delayMs = nextDelayMs(retry, {
        triesMade,
        elapsedMs: timer.nowMs() - startedMs,
        retryAfterMs: outcome.retryAfterMs,
        fraction: randomFraction(random),
      });
      if (delayMs === undefined) throw outcome.error;
      await sleep(timer, delayMs, call.signal);
    }
  }

  async #try<T>(call: Call, read: (response: Response) => Promise<T>): Promise<Outcome<T>> {
    if (call.signal?.aborted) throw abortedError(call.signal);
    const overdue = new AbortController();
    const timeoutMs = call.timeoutMs ?? this.#options.timeoutMs;
    const cancelTimeout = timeoutMs > 0 ? this.#options.timer.after(timeoutMs, () => overdue.abort()) : () => {};
    const signal = call.signal ? AbortSignal.any([call.signal, overdue.signal]) : overdue.signal;
    try {
      const { fetch } = this.#options;
      const response = await fetch(this.address(call), this.#init(call, signal));
      if (response.ok) return { ok: true, value: await read(response) };
      return { ok: false, ...this.#refusal(response, await response.text()) };
    } catch (error) {
      if (error instanceof IndelibleClientError) throw error;
      if (call.signal?.aborted) throw abortedError(call.signal);
      const why = overdue.signal.aborted ? `no answer within ${timeoutMs} ms` : networkReason(error);
      const message = `cannot reach ${this.baseUrl}: ${why}`;
      const failure = new IndelibleClientError('unreachable', message, { cause: error });
      return { ok: false, error: failure, retryable: this.#options.retry.networkErrors, retryAfterMs: undefined };
    } finally {
      cancelTimeout();
    }
  }

  address(call: Pick<Call, 'path' | 'query'>): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) query.set(name, String(value));
    }
    const text = query.toString();
    return `${this.baseUrl}${call.path}${text === '' ? '' : `?${text}`}`;
  }

  #init(call: Call, signal: AbortSignal): RequestInit {
    const { key, workspace } = this.#options;
    const headers: Record<string, string> = { accept: call.accept ?? 'application/json', ...call.headers };
    if (key !== undefined) headers.authorization = `Bearer ${key}`;
    if (workspace !== undefined) headers['x-workspace'] = workspace;
    if (call.contentType !== undefined) headers['content-type'] = call.contentType;
    // A redirect would carry the key to an address that nobody chose.
    const init: RequestInit = { method: call.method, headers, signal, redirect: 'manual' };
    if (call.body) init.body = call.body();
    return init;
  }

  #refusal(response: Response, body: string): Failure {
    const problem = parseProblem(response.headers.get('content-type'), body);
    const isFinal = FINAL_PROBLEMS.has(problem?.type ?? '');
    const retryable = RETRIED_STATUSES.has(response.status) && !isFinal;
    const message = problemText(response.status, problem);
    return {
      error: new IndelibleClientError(retryable ? 'unavailable' : 'refused', message, {
        status: response.status,
        problem,
      }),
      retryable,
      retryAfterMs: retryAfterMs(response.headers.get('retry-after'), this.#options.timer.nowMs()),
    };
  }
}

/** Not passing: a question that takes too long will take too long again, and a fenced journal has another owner. */
const FINAL_PROBLEMS: ReadonlySet<string> = new Set(['urn:indelible:problem:timeout', 'urn:indelible:problem:fenced']);

function parseProblem(contentType: string | null, body: string): Problem | undefined {
  if (!/^application\/(problem\+)?json\b/.test(contentType ?? '')) return undefined;
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as Problem) : undefined;
  } catch {
    return undefined;
  }
}

/** fetch says only 'fetch failed'; the reason is its cause. */
function networkReason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  const code = (cause as { code?: unknown }).code;
  return cause.message || (typeof code === 'string' ? code : cause.name);
}
