import { isAway, tryAgain } from './try-again.ts';

export type OutageObserver = {
  /** Redis is away, or has too much to do: what was asked for is tried again. Told once, until `recovered`. */
  failed?(error: unknown): void;
  recovered?(): void;
};

/** Counts what fails and is tried again, and tells of the first and when all is well again. */
export class Outage {
  readonly #observer: OutageObserver;
  readonly #signal: AbortSignal;
  #failing = 0;

  constructor(observer: OutageObserver, signal: AbortSignal) {
    this.#observer = observer;
    this.#signal = signal;
  }

  /** Until it succeeds. @throws what does not pass by itself, and where the service stops */
  async persist<T>(step: () => Promise<T>): Promise<T> {
    let isFailing = false;
    const onRetry = (error: unknown) => {
      if (!isFailing) this.begin(error);
      isFailing = true;
    };
    try {
      return await tryAgain(step, { signal: this.#signal, onRetry, mayPass: isAway });
    } finally {
      if (isFailing) this.end();
    }
  }

  begin(error: unknown): void {
    this.#failing += 1;
    if (this.#failing === 1) this.#observer.failed?.(error);
  }

  end(): void {
    this.#failing -= 1;
    if (this.#failing === 0 && !this.#signal.aborted) this.#observer.recovered?.();
  }
}
