import { Buffer } from 'node:buffer';
import type { Clock, ObjectStore, Random } from '../../../journal/index.ts';
import type { Redis } from '../redis/index.ts';
import { Backoff } from './backoff.ts';
import { fairShare } from './fair-share.ts';
import { type LeaseKey, leaseHolders, releaseLease, renewLease, takeLease } from './lease-keys.ts';
import { announceWorker } from './membership.ts';
import { OwnLease } from './own-lease.ts';
import { claimToken, newestToken } from './tokens.ts';

/** The right to write the journals of a partition. Of two leases of a partition the later has the higher token. */
export type Lease = { partition: number; token: number };

/**
 * expired    it could not be renewed in time
 * taken      Redis names another holder
 * given-up   on purpose: for another worker, at a stop, or because its term failed
 */
export type LossReason = 'expired' | 'taken' | 'given-up';

export type LeaseObserver = {
  gained?(lease: Lease): void;
  lost?(partition: number, reason: LossReason): void;
  /** The store did not give a token, or a term did not begin or end as it should; it is tried again. */
  failed?(partition: number, error: unknown): void;
  /** Said once, until everything that Redis was asked is answered again. */
  redisAway?(error: unknown): void;
  redisBack?(): void;
};

export type LeaseParts = {
  redis: Redis;
  store: ObjectStore;
  clock: Clock;
  random: Random;
  /** Of this process alone. */
  workerName: string;
  /** From 0; the same number for every worker. */
  partitions: number;
  /** How long a lease lasts that nobody renews; the same for every worker. */
  leaseMs?: number;
  /** A clock that never jumps or stops, from wherever it began. */
  monotonicMs?: () => number;
  observer: LeaseObserver;
  /** Where it rejects, the lease is given up and taken again later; `onLost` is not called for it. */
  onGained(lease: Lease): Promise<void> | void;
  /**
   * Called once for each lease whose `onGained` was fulfilled, and after it. A lease that is given up is still held
   * meanwhile, for what is left of its time; the partition is not taken again by this process before it resolves.
   */
  onLost(partition: number, reason: LossReason): Promise<void>;
};

/** Part of a lease's time that is not relied on: clocks do not run equally fast. */
const SAFETY = 0.1;
/** Leases given back at a time, so that no newcomer is handed more than it can open at once. */
const GIVEN_BACK_MAX = 2;

/**
 * The partitions that this process may write, an equal share for each live worker. Whether a lease is held is decided
 * by the clock of this process, which counts from before the last renewal was sent: no other worker holds it at the
 * same time, as long as clocks run about equally fast. Where they do not, the token decides: the table log refuses the
 * lower one.
 */
export class PartitionLeases {
  readonly #parts: LeaseParts;
  readonly #leaseMs: number;
  readonly #nowMs: () => number;
  readonly #own = new Map<number, OwnLease>();
  readonly #backoff: Backoff;
  #watch: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #spreading: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #isAway = false;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#leaseMs = parts.leaseMs ?? 10_000;
    this.#nowMs = parts.monotonicMs ?? (() => performance.now());
    this.#backoff = new Backoff({ firstMs: this.#leaseMs / 3, maxMs: this.#leaseMs * 3 });
  }

  start(): void {
    this.#watch = setInterval(() => this.#expire(), this.#leaseMs / 20).unref();
    this.#nextRound(0);
  }

  /** Gives every lease back, each after its `onLost`. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Whether this process may still act on the lease, now. To be asked before every act that others can see. */
  holds({ partition, token }: Lease): boolean {
    const own = this.#own.get(partition);
    return own !== undefined && own.token === token && own.isValid(this.#nowMs());
  }

  /** For a term that failed: gives its lease back, `onLost` included. This process takes it again, but not soon. */
  async giveUp(partition: number): Promise<void> {
    const own = this.#own.get(partition);
    if (!own) return;
    if (!own.ending) this.#noteFailure(own);
    await this.#end(own, 'given-up');
  }

  #nextRound(afterMs: number): void {
    this.#timer = setTimeout(() => {
      this.#round = this.#keep().finally(() => {
        if (!this.#stopped) this.#nextRound((this.#leaseMs / 3) * (0.8 + 0.2 * this.#unit()));
      });
    }, afterMs).unref();
  }

  /** Renews what is held, all at once, and then sees whether it is too much or too little. Never rejects. */
  async #keep(): Promise<void> {
    this.#expire();
    const kept = [...this.#own.values()].filter((own) => !own.ending);
    const [announced, ...renewed] = await Promise.allSettled([
      this.#announce(this.#isReady()),
      ...kept.map((own) => this.#renew(own)),
    ]);
    const failed = renewed.find((outcome) => outcome.status === 'rejected');
    if (failed) this.#sayAway(failed.reason);
    if (announced.status === 'rejected') return this.#sayAway(announced.reason);
    if (this.#stopped) return;
    // Not waited for: the store may be asked, and renewals do not wait for the store.
    this.#spreading ??= this.#spread(announced.value)
      .then(
        () => !failed && this.#sayBack(),
        (error: unknown) => this.#sayAway(error),
      )
      .then(() => {
        this.#spreading = undefined;
      });
  }

  /** What fails here, or does not end, may go well elsewhere: meanwhile the others share what this process has not. */
  #isReady(): boolean {
    const nowMs = this.#nowMs();
    const isStuck = [...this.#own.values()].some((own) => own.ending && !own.isValid(nowMs));
    return !isStuck && !this.#backoff.anyWaits(nowMs);
  }

  #announce(isReady: boolean): Promise<string[]> {
    const { redis, workerName } = this.#parts;
    return announceWorker(redis, { name: workerName, lastsMs: this.#leaseMs, isReady });
  }

  async #renew(own: OwnLease): Promise<void> {
    const sentMs = this.#nowMs();
    if (await renewLease(this.#parts.redis, own.key, this.#leaseMs)) return own.renewed(sentMs, this.#nowMs());
    own.lose();
    void this.#end(own, 'taken');
  }

  #expire(): void {
    const nowMs = this.#nowMs();
    for (const own of this.#own.values()) if (!own.isValid(nowMs)) void this.#end(own, 'expired');
  }

  async #spread(workers: readonly string[]): Promise<void> {
    const { redis, workerName, partitions } = this.#parts;
    const holders = await leaseHolders(redis, partitions);
    const holdings = new Map(workers.map((name) => [name, 0]));
    for (const name of holders) {
      const held = name === undefined ? undefined : holdings.get(name);
      if (name !== undefined && held !== undefined) holdings.set(name, held + 1);
    }
    const share = fairShare(holdings, workerName, partitions);
    const kept = [...this.#own.values()].filter((own) => !own.ending);
    const surplus = kept.length - share;
    // The newest go: what is held for long is what this process has in its memory.
    if (surplus > 0) for (const own of kept.slice(-Math.min(surplus, GIVEN_BACK_MAX))) void this.#end(own, 'given-up');
    const free = holders.flatMap((holder, partition) => (holder === undefined ? [partition] : []));
    await this.#takeSome(free, -surplus);
  }

  async #takeSome(free: readonly number[], count: number): Promise<void> {
    const nowMs = this.#nowMs();
    const open = free.filter((partition) => !this.#own.has(partition) && !this.#backoff.waits(partition, nowMs));
    const shuffled = open
      .map((partition) => ({ partition, at: this.#unit() }))
      .sort((a, b) => a.at - b.at)
      .map(({ partition }) => partition);
    for (let wanted = count; wanted > 0 && shuffled.length > 0 && !this.#stopped; ) {
      const taken = await Promise.all(shuffled.splice(0, wanted).map((partition) => this.#take(partition)));
      wanted -= taken.filter((isTaken) => isTaken).length;
    }
  }

  /** @returns whether there is a lease now, of which a token is being claimed */
  async #take(partition: number): Promise<boolean> {
    const { redis, store, workerName, random } = this.#parts;
    const nonce = Buffer.from(random.bytes(12)).toString('hex');
    const key = { partition, value: `${workerName}:${nonce}` };
    const leaseMs = this.#leaseMs;
    const sentMs = this.#nowMs();
    const outcome = await takeLease(redis, key, { leaseMs, isGuarded: true });
    if (outcome === 'taken') return this.#hold(key, sentMs);
    if (outcome === 'held') return false;
    const newest = await newestToken(store, partition).catch((error: unknown) => {
      this.#backoff.failed(partition, this.#nowMs(), 0);
      this.#parts.observer.failed?.(partition, error);
    });
    if (newest !== 0) return false;
    // Nobody ever had a lease of this partition, so that none can be lost: a new cluster need not wait.
    const againMs = this.#nowMs();
    const again = await takeLease(redis, key, { leaseMs, isGuarded: false });
    return again === 'taken' && this.#hold(key, againMs, 1);
  }

  #hold(key: LeaseKey, sentMs: number, onlyToken?: number): true {
    const own = new OwnLease(key, { sentMs, validMs: this.#leaseMs * (1 - SAFETY) });
    this.#own.set(key.partition, own);
    if (this.#stopped) void this.#end(own, 'given-up');
    else void this.#begin(own, onlyToken);
    return true;
  }

  /** @param onlyToken another one shows that somebody had a lease after all: this one is not to be relied on */
  async #begin(own: OwnLease, onlyToken: number | undefined): Promise<void> {
    const { store, clock, observer, onGained } = this.#parts;
    const { partition, value } = own.key;
    try {
      const token = await claimToken(store, partition, { lease: value, nowMs: clock.nowMs() });
      if (onlyToken !== undefined && token !== onlyToken) return await this.#end(own, 'given-up');
      if (own.ending || !own.isValid(this.#nowMs())) return;
      own.token = token;
      observer.gained?.({ partition, token });
      const told = Promise.withResolvers<boolean>();
      own.told = told.promise;
      try {
        await onGained({ partition, token });
        told.resolve(true);
      } catch (error) {
        told.resolve(false);
        throw error;
      }
    } catch (error) {
      observer.failed?.(partition, error);
      this.#noteFailure(own);
      await this.#end(own, 'given-up');
    }
  }

  #noteFailure(own: OwnLease): void {
    const nowMs = this.#nowMs();
    this.#backoff.failed(own.key.partition, nowMs, nowMs - own.takenMs);
  }

  /** Never rejects. What ends for one reason does not end for another. */
  #end(own: OwnLease, reason: LossReason): Promise<void> {
    own.ending ??= this.#finish(own, reason);
    return own.ending;
  }

  async #finish(own: OwnLease, reason: LossReason): Promise<void> {
    const { redis, observer, onLost } = this.#parts;
    const { partition } = own.key;
    const say = (error: unknown) => this.#sayAway(error);
    if (reason !== 'given-up') own.lose();
    // Once more, so that its term has all of a lease's time to end well; then no more, should it never end.
    const renewal = reason === 'given-up' && own.told ? this.#renew(own).catch(say) : undefined;
    if (await own.told) {
      await (async () => onLost(partition, reason))().catch((error: unknown) => observer.failed?.(partition, error));
      observer.lost?.(partition, reason);
    }
    own.lose();
    await renewal;
    await releaseLease(redis, own.key).catch(say);
    this.#own.delete(partition);
  }

  async #stop(): Promise<void> {
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
    const left = this.#announce(false).catch((error: unknown) => this.#sayAway(error));
    const endAll = () => Promise.all([...this.#own.values()].map((own) => this.#end(own, 'given-up')));
    await endAll();
    // What was under way may have taken more.
    await this.#round;
    await this.#spreading;
    await endAll();
    await left;
  }

  /** From 0 to below 1. */
  #unit(): number {
    return Buffer.from(this.#parts.random.bytes(4)).readUInt32LE() / 2 ** 32;
  }

  #sayAway(error: unknown): void {
    if (this.#isAway) return;
    this.#isAway = true;
    this.#parts.observer.redisAway?.(error);
  }

  #sayBack(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#parts.observer.redisBack?.();
  }
}
