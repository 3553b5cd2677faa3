import type { FaultyStore, StoreFault } from './faulty-store.ts';

/** Which of those who wait goes on, and whether its call fails then. */
export type Step = { pick: number; fault: StoreFault | undefined };

/**
 * Plays actors over one store in a given order: each of their calls waits until every actor that is not done waits too;
 * then a step says whose is let through. After the last step they are let through in turn, without faults.
 */
export class Interleaving {
  readonly #steps: readonly Step[];
  #waiting: { actor: number; go: () => void }[] = [];
  #running = 0;
  #played = 0;

  constructor(steps: readonly Step[]) {
    this.#steps = steps;
  }

  /** `store` is this actor's own look at the shared store; calls for other keys than these are let through at once. */
  join(actor: number, store: FaultyStore, isPlayed: (key: string) => boolean = () => true): void {
    let fault: StoreFault | undefined;
    store.hold = async (_, key) => {
      if (!isPlayed(key)) return;
      await new Promise<void>((go) => {
        this.#waiting.push({ actor, go });
        this.#next();
      });
      fault = this.#steps[this.#played++]?.fault;
    };
    store.decide = () => {
      const now = fault;
      fault = undefined;
      return now;
    };
  }

  /** Resolves when all are done; rejects as the first of them does. */
  async play(actors: readonly (() => Promise<void>)[]): Promise<void> {
    this.#running = actors.length;
    await Promise.all(
      actors.map(async (act) => {
        try {
          await act();
        } finally {
          this.#running--;
          this.#next();
        }
      }),
    );
  }

  #next(): void {
    const actors = new Set(this.#waiting.map(({ actor }) => actor));
    if (actors.size === 0 || actors.size < this.#running) return;
    const pick = this.#steps[this.#played]?.pick ?? this.#played;
    const [chosen] = this.#waiting.splice(pick % this.#waiting.length, 1);
    chosen?.go();
  }
}
