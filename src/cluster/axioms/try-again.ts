import { setTimeout as sleep } from 'node:timers/promises';
import { IndelibleError } from '../../../journal/index.ts';

/** The first wait and the longest before what failed is tried again. */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 5_000;

/** Waits longer from one failure to the next. */
export class Backoff {
  #nextMs = RETRY_MS_MIN;

  /** It went well: the next failure is a first one. */
  reset(): void {
    this.#nextMs = RETRY_MS_MIN;
  }

  /** @throws where the signal aborts */
  async wait(signal: AbortSignal): Promise<void> {
    const ms = this.#nextMs;
    this.#nextMs = Math.min(ms * 2, RETRY_MS_MAX);
    await sleep(ms, undefined, { signal });
  }
}

export type TryAgainOptions = {
  signal: AbortSignal;
  /** Hears of each failure that is waited for. */
  onRetry: (error: unknown) => void;
  /** Whether it may pass by itself. */
  mayPass: (error: unknown) => boolean;
};

/** Until it succeeds. @throws what does not pass, and where the signal aborts */
export async function tryAgain<T>(step: () => Promise<T>, { signal, onRetry, mayPass }: TryAgainOptions): Promise<T> {
  const backoff = new Backoff();
  for (;;) {
    signal.throwIfAborted();
    try {
      return await orAborted(step(), signal);
    } catch (error) {
      if (signal.aborted || !mayPass(error)) throw error;
      onRetry(error);
      await backoff.wait(signal);
    }
  }
}

/** Whoever stops does not wait for the outcome. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Something that is needed is away, or has too much to do. */
export function isAway(error: unknown): boolean {
  return error instanceof IndelibleError && (error.kind === 'unavailable' || error.kind === 'busy');
}
