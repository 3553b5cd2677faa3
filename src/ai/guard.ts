import {
  type BulkheadPolicy,
  bulkhead,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  DelegateBackoff,
  handleWhen,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  isTaskCancelledError,
  type RetryPolicy,
  retry,
  type TimeoutPolicy,
  TimeoutStrategy,
  timeout,
} from 'cockatiel';
import type { Random } from '../../journal/index.ts';
import { type AiCause, AiError } from '../judging/index.ts';
import type { CallBudget } from './call-budget.ts';
import { RetryLater } from './retry-later.ts';

/** What is called; each has a breaker of its own for each workspace. */
export type CallKind = 'model' | 'embedding';

export type BreakerState = 'closed' | 'open' | 'half-open';

/** Hears of every call; what it is told holds no key and no text. */
export type AiObserver = {
  /** A call as its caller sees it, retries and waits between them included. */
  callDone?(kind: CallKind, outcome: 'ok' | 'aborted' | AiCause | 'internal', ms: number): void;
  /** A failed attempt that is followed by another, `delayMs` later. */
  retried?(kind: CallKind, cause: AiCause, delayMs: number): void;
  breakerChanged?(workspace: string, kind: CallKind, state: BreakerState): void;
};

export type GuardSettings = {
  /** Of one attempt. */
  timeoutMs: number;
  /** Attempts after the first. */
  retries: number;
  /** Calls under way at one time; one more fails at once. */
  concurrency: number;
  /** The first wait; each further one is twice as long, less up to half of it by chance. */
  retryDelayMs: number;
  /** No wait is longer: where the service asks for more, the call has failed. */
  retryDelayMsMax: number;
  /** Failed attempts in a row that open the breaker. */
  breakerFailures: number;
  /** How long an open breaker lets no call through; then one call tries whether it may close. */
  breakerOpenMs: number;
};

export const GUARD_DEFAULTS = {
  retryDelayMs: 250,
  retryDelayMsMax: 10_000,
  breakerFailures: 5,
  breakerOpenMs: 30_000,
} as const;

export type GuardOptions = GuardSettings & {
  workspace: string;
  kind: CallKind;
  /** Of the workspace, shared by its guards. */
  budget: CallBudget;
  random: Random;
  observer: AiObserver;
};

/** Another attempt may succeed. */
const PASSING: ReadonlySet<AiCause> = new Set(['timeout', 'unreachable', 'rate-limited', 'server-error']);

/** The service works, and said something that is of no use. */
const ANSWERED: ReadonlySet<AiCause> = new Set(['refused', 'invalid-answer']);

const STATES: Partial<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.Open]: 'open',
  [CircuitState.HalfOpen]: 'half-open',
};

/**
 * Stands between one workspace and one endpoint: bulkhead → retries → circuit breaker → budget → timeout → call. Every
 * attempt is a call that the service counts, so each takes of the budget and has the whole of the timeout.
 */
export class Guard {
  readonly #options: GuardOptions;
  readonly #bulkhead: BulkheadPolicy;
  readonly #retry: RetryPolicy;
  readonly #breaker: CircuitBreakerPolicy;
  readonly #timeout: TimeoutPolicy;

  constructor(options: GuardOptions) {
    const { workspace, kind, observer } = options;
    this.#options = options;
    this.#bulkhead = bulkhead(options.concurrency);
    this.#breaker = circuitBreaker(
      handleWhen((error) => this.#isFailure(error)),
      { halfOpenAfter: options.breakerOpenMs, breaker: new ConsecutiveBreaker(options.breakerFailures) },
    );
    this.#breaker.onStateChange((changed) => {
      const state = STATES[changed];
      if (state) observer.breakerChanged?.(workspace, kind, state);
    });
    // The policy's own waits are not ended by a signal: `settled` does not wait for them, and neither may the process.
    this.#retry = retry(
      handleWhen((error) => this.#isWorthRetrying(error)),
      {
        maxAttempts: options.retries,
        backoff: new DelegateBackoff(({ attempt, result }) =>
          this.#delayMs(attempt, 'error' in result ? result.error : undefined),
        ),
      },
    ).dangerouslyUnref();
    this.#retry.onRetry((failed) => {
      const error = 'error' in failed ? failed.error : undefined;
      if (error instanceof AiError) observer.retried?.(kind, error.failure, failed.delay);
    });
    this.#timeout = timeout(options.timeoutMs, TimeoutStrategy.Aggressive);
  }

  /** @throws AiError; where the signal aborted, its reason, without waiting for anything */
  async run<T>(call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { kind, observer } = this.#options;
    const startedMs = performance.now();
    const done = (outcome: Parameters<NonNullable<AiObserver['callDone']>>[1]) =>
      observer.callDone?.(kind, outcome, performance.now() - startedMs);
    try {
      signal.throwIfAborted();
      const value = await settled(this.#inBulkhead(call, signal), signal);
      done('ok');
      return value;
    } catch (error) {
      if (signal.aborted) done('aborted');
      else done(error instanceof AiError ? error.failure : 'internal');
      throw error;
    }
  }

  async #inBulkhead<T>(call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await this.#bulkhead.execute(() => this.#retry.execute(() => this.#attempt(call, signal), signal), signal);
    } catch (error) {
      if (!isBulkheadRejectedError(error)) throw error;
      throw new AiError('budget', `${this.#options.concurrency} calls are under way, and no more are made at a time`);
    }
  }

  async #attempt<T>(call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    try {
      // While one call tries the service, cockatiel would let the others wait for its outcome: they have other answers.
      if (this.#breaker.state === CircuitState.HalfOpen) throw circuitOpen();
      return await this.#breaker.execute(() => this.#timed(call, signal), signal);
    } catch (error) {
      throw isBrokenCircuitError(error) ? circuitOpen() : error;
    }
  }

  async #timed<T>(call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    this.#options.budget.take();
    try {
      return await this.#timeout.execute(({ signal: ends }) => call(ends), signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isTaskCancelledError(error)) throw error;
      throw new AiError('timeout', `no answer within ${this.#options.timeoutMs} ms`);
    }
  }

  /** Whether the breaker counts it. */
  #isFailure(error: unknown): boolean {
    const cause = error instanceof AiError ? error.failure : undefined;
    if (cause !== undefined && ANSWERED.has(cause)) return false;
    if (cause !== undefined && cause !== 'budget') return true;
    // Nothing was learnt of the service. That opens no breaker, and it closes none either.
    return this.#breaker.state === CircuitState.HalfOpen;
  }

  #isWorthRetrying(error: unknown): boolean {
    if (!(error instanceof AiError) || !PASSING.has(error.failure)) return false;
    // Another attempt would only hide what went wrong behind `circuit-open`.
    if (this.#breaker.state !== CircuitState.Closed) return false;
    return !(error instanceof RetryLater) || error.retryAfterMs <= this.#options.retryDelayMsMax;
  }

  #delayMs(attempt: number, error: unknown): number {
    const { retryDelayMs, retryDelayMsMax, random } = this.#options;
    const wholeMs = Math.min(retryDelayMs * 2 ** (attempt - 1), retryDelayMsMax);
    const share = Buffer.from(random.bytes(4)).readUInt32LE() / 2 ** 32;
    const delayMs = wholeMs * (1 - share / 2);
    return error instanceof RetryLater ? Math.max(delayMs, error.retryAfterMs) : delayMs;
  }
}

function circuitOpen(): AiError {
  return new AiError('circuit-open', 'the last calls failed, and none are made for a while');
}

/** The outcome of the work, or the signal's reason as soon as it aborts. */
async function settled<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
