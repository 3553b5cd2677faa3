type Failed = { times: number; untilMs: number };

/** Which partitions are left alone for a while, because their last tries failed: twice as long after each. */
export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #failed = new Map<number, Failed>();

  constructor(limits: { firstMs: number; maxMs: number }) {
    this.#firstMs = limits.firstMs;
    this.#maxMs = limits.maxMs;
  }

  /**
   * Notes a failure at `nowMs` of a partition that was held for `heldMs`: what went well for long begins anew.
   * @returns after how many milliseconds it is tried again
   */
  failed(partition: number, nowMs: number, heldMs: number): number {
    const before = heldMs > this.#maxMs ? 0 : (this.#failed.get(partition)?.times ?? 0);
    const waitMs = Math.min(this.#firstMs * 2 ** before, this.#maxMs);
    this.#failed.set(partition, { times: before + 1, untilMs: nowMs + waitMs });
    return waitMs;
  }

  waits(partition: number, nowMs: number): boolean {
    return nowMs < (this.#failed.get(partition)?.untilMs ?? nowMs);
  }

  anyWaits(nowMs: number): boolean {
    for (const partition of this.#failed.keys()) if (this.waits(partition, nowMs)) return true;
    return false;
  }
}
