import type { LeaseKey } from './lease-keys.ts';

/** A lease as this process has it, and for how long it may rely on it by its own clock. */
export class OwnLease {
  readonly key: LeaseKey;
  /** undefined: it is being claimed, and nobody was told of it. */
  token: number | undefined;
  /** When it was claimed, by the clock of this process. */
  readonly takenMs: number;
  /** Set once its gain was told; resolves when that was taken in: false, it was refused. */
  told: Promise<boolean> | undefined;
  /** Set once it ends, for whatever reason; resolves when it is over. */
  ending: Promise<void> | undefined;
  #validUntilMs: number;
  readonly #validMs: number;

  /** @param validMs how long it is relied on after a command was sent that took or renewed it */
  constructor(key: LeaseKey, taken: { sentMs: number; validMs: number }) {
    this.key = key;
    this.takenMs = taken.sentMs;
    this.#validMs = taken.validMs;
    this.#validUntilMs = taken.sentMs + taken.validMs;
  }

  /** Time in which this process did not run, or no answer came, counts like any other. */
  isValid(nowMs: number): boolean {
    return nowMs < this.#validUntilMs;
  }

  /** A renewal that was sent at `sentMs` was answered. One that ran out before the answer came stays lost. */
  renewed(sentMs: number, nowMs: number): void {
    if (this.isValid(nowMs)) this.#validUntilMs = sentMs + this.#validMs;
  }

  lose(): void {
    this.#validUntilMs = Number.NEGATIVE_INFINITY;
  }
}
