import { setTimeout as sleep } from 'node:timers/promises';

/** Work of a role that is done again and again, one round at a time; the first round begins at once. */
export class Repeated {
  readonly #round: (stopping: AbortSignal) => Promise<void>;
  readonly #pauseMs: number;
  readonly #stop = new AbortController();
  #rounds: Promise<void> | undefined;

  /** `round` never rejects: whose work it is reports what fails. It ends early once `stopping` is aborted. */
  constructor(round: (stopping: AbortSignal) => Promise<void>, pauseMs: number) {
    this.#round = round;
    this.#pauseMs = pauseMs;
  }

  start(): void {
    this.#rounds ??= this.#run();
  }

  /** Resolves once the round that is under way has ended; there is no other one after it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#rounds;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#round(signal);
      await sleep(this.#pauseMs, undefined, { signal }).catch(() => {});
    }
  }
}
