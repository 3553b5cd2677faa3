import type { TakenAxiom, Verdict } from '../../projections/index.ts';
import { type JudgePorts, judge } from '../judging/index.ts';

export type FlaggedQueueOptions<Open extends { axiom: TakenAxiom }> = {
  /** Signals judged at once. */
  concurrency: number;
  /** Aborts when nothing more is to be judged. */
  signal: AbortSignal;
  /** What this signal is judged with now. */
  ports: (open: Open) => Promise<JudgePorts>;
  /** Since it was recorded. */
  waitedMs: (open: Open) => number;
  /** Signals alike wait for it. */
  record: (open: Open, verdict: Verdict) => Promise<void>;
  /** Hears of what `ports` and `record` reject with, and of the abort: no verdict was recorded. */
  failed: (open: Open, error: unknown) => void;
  /** A place in the queue became free. */
  roomMade: () => void;
};

/**
 * Signals of one workspace that reached the threshold and wait for the cache and the model: several are judged at once,
 * signals alike one after another, so that the second finds the verdict on the first.
 */
export class FlaggedQueue<Open extends { axiom: TakenAxiom }> {
  readonly #options: FlaggedQueueOptions<Open>;
  readonly #waiting: Open[] = [];
  readonly #byFingerprint = new Map<string, Promise<void>>();
  /** What is under way; none of it rejects. */
  readonly #running = new Set<Promise<void>>();

  constructor(options: FlaggedQueueOptions<Open>) {
    this.#options = options;
  }

  /** Signals that nobody has begun with. */
  get waiting(): number {
    return this.#waiting.length;
  }

  add(open: Open): void {
    this.#waiting.push(open);
    this.#start();
  }

  /** Resolves once nothing is under way; after the abort, promptly. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  #start(): void {
    const { concurrency, signal, roomMade } = this.#options;
    while (this.#running.size < concurrency && !signal.aborted) {
      const open = this.#waiting.shift();
      if (!open) break;
      const judging = this.#judge(open).then(() => {
        this.#running.delete(judging);
        this.#start();
      });
      this.#running.add(judging);
    }
    roomMade();
  }

  /** Never rejects. */
  async #judge(open: Open): Promise<void> {
    const { waitedMs, record, failed, signal } = this.#options;
    try {
      const ports = await this.#options.ports(open);
      const fingerprint = ports.fingerprintOf(open.axiom);
      const before = this.#byFingerprint.get(fingerprint);
      const mine = (async () => {
        await before;
        signal.throwIfAborted();
        await record(open, await judge(open.axiom, ports, waitedMs(open), signal));
      })();
      const settled = mine.catch(() => {});
      this.#byFingerprint.set(fingerprint, settled);
      await mine.finally(() => {
        if (this.#byFingerprint.get(fingerprint) === settled) this.#byFingerprint.delete(fingerprint);
      });
    } catch (error) {
      failed(open, error);
    }
  }
}
