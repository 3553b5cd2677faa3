import { setTimeout as sleep } from 'node:timers/promises';

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;
/** What is still to be done when all ends is tried so often. */
const LAST_TRIES = 5;

/** Waits for what is away, longer from time to time, and tells of it once until it is back. */
export class Patience {
  readonly #stopping: AbortSignal;
  readonly #onWaiting: (error: unknown) => void;
  #failures = 0;

  constructor(stopping: AbortSignal, onWaiting: (error: unknown) => void) {
    this.#stopping = stopping;
    this.#onWaiting = onWaiting;
  }

  /** It answered. */
  calm(): void {
    this.#failures = 0;
  }

  /** Waits before the next try; not where all ends. */
  async pause(error: unknown): Promise<void> {
    if (this.#failures === 0) this.#onWaiting(error);
    const ms = Math.min(RETRY_MS_MIN * 2 ** this.#failures, RETRY_MS_MAX);
    this.#failures += 1;
    await sleep(ms, undefined, { signal: this.#stopping, ref: false }).catch(() => {});
  }

  /** Does it until it succeeds. @throws what it failed with, where all ends meanwhile */
  async insist<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const done = await work();
        this.calm();
        return done;
      } catch (error) {
        if (this.#stopping.aborted) throw error;
        await this.pause(error);
      }
    }
  }

  /** The same, and some times more where all ends: for what is worth it then. */
  async insistToTheLast<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.insist(work);
      } catch (error) {
        if (tries === LAST_TRIES) throw error;
        await sleep(RETRY_MS_MIN, undefined, { ref: false });
      }
    }
  }
}
