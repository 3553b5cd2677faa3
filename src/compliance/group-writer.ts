type Group<Item, Result> = { items: readonly Item[]; done: PromiseWithResolvers<Result[]> };

export type GroupWriterOptions<Item, Result> = {
  /** Writes items, and tells of each in their order; of none where there is nothing to tell. */
  write(items: readonly Item[]): Promise<readonly Result[]>;
  /** Of all items of one write, unless a single call has more. */
  limits: readonly { of(item: Item): number; max: number }[];
};

/** What is to be written while a write is under way goes with the next. */
export class GroupWriter<Item, Result> {
  readonly #options: GroupWriterOptions<Item, Result>;
  readonly #waiting: Group<Item, Result>[] = [];
  #isRunning = false;

  constructor(options: GroupWriterOptions<Item, Result>) {
    this.#options = options;
  }

  /** Resolves once the items are written. @throws what the write failed with */
  write(items: readonly Item[]): Promise<Result[]> {
    const done = Promise.withResolvers<Result[]>();
    this.#waiting.push({ items, done });
    if (!this.#isRunning) void this.#run();
    return done.promise;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // What else this turn of the event loop has to say goes with it.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const groups = this.#next();
      try {
        const written = await this.#options.write(groups.flatMap(({ items }) => items));
        let at = 0;
        for (const { items, done } of groups) {
          done.resolve(written.slice(at, at + items.length));
          at += items.length;
        }
      } catch (error) {
        for (const { done } of groups) done.reject(error);
      }
    }
    this.#isRunning = false;
  }

  #next(): Group<Item, Result>[] {
    const limits = this.#options.limits.map(({ of, max }) => ({ of, max, sum: 0 }));
    const beyond = this.#waiting.findIndex(({ items }) => {
      for (const limit of limits) for (const item of items) limit.sum += limit.of(item);
      return limits.some(({ sum, max }) => sum > max);
    });
    return this.#waiting.splice(0, beyond === -1 ? this.#waiting.length : Math.max(beyond, 1));
  }
}
