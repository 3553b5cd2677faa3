import type { Random } from '../../../journal/index.ts';
import { AXIOM_STREAMS, type ClusterStream } from '../cluster-streams.ts';
import {
  ack,
  claimIdle,
  deliveries,
  RECLAIMER_LOCK,
  type Redis,
  redisError,
  type StreamEntry,
} from '../redis/index.ts';
import { Repeated } from '../repeat.ts';
import type { DeadLetters } from './dead-letters.ts';
import { RedisLock } from './redis-lock.ts';

/** `stream` is the name for operators: `axioms` or `axioms-high`. */
export type ReclaimerObserver = {
  /** Entries that were taken over, and of those how many became dead letters. */
  reclaimed?(stream: string, entries: number, dead: number): void;
  /** Entries that were delivered, never acknowledged, and are gone from the stream: they are lost. */
  deleted?(stream: string, ids: readonly string[]): void;
  /** Entries could not be taken over or handled: they stay pending, and a later round takes them over again. */
  failed?(stream: string, error: unknown): void;
};

export type ReclaimerOptions = {
  /** A connection for commands. */
  redis: Redis;
  /** Whom the entries are delivered to. */
  consumer: string;
  deadLetters: DeadLetters;
  random: Random;
  /**
   * Processes the entries as their first consumer would have, and acknowledges them. `stream` is the name in Redis.
   * What it throws is reported; the entries stay pending.
   */
  handle(entries: readonly StreamEntry[], stream: string): Promise<void>;
  observer?: ReclaimerObserver;
  /** Between two rounds; default 30 seconds. */
  intervalMs?: number;
  /** An entry is taken over after so long without an acknowledgement; default one minute. */
  idleMs?: number;
  /** An entry delivered more often than this is not handled any more; default 5. */
  deliveriesMax?: number;
  /** Entries that are taken over at once; default 100. */
  count?: number;
};

const DEFAULTS = { intervalMs: 30_000, idleMs: 60_000, deliveriesMax: 5, count: 100 };
const LOCK_MS = 60_000;
/** Delivered so often, an entry is handled by itself: if it ends its process, it takes no others with it. */
const ALONE_FROM = 3;
const FIRST_CURSOR = '0-0';

/** Takes over signals whose consumer is gone. Any number of processes may run one; one at a time works. */
export class Reclaimer {
  readonly #options: ReclaimerOptions & typeof DEFAULTS;
  readonly #lock: RedisLock;
  readonly #rounds: Repeated;

  constructor(options: ReclaimerOptions) {
    this.#options = { ...DEFAULTS, ...options };
    this.#lock = new RedisLock(options.redis, RECLAIMER_LOCK, { random: options.random, expiryMs: LOCK_MS });
    this.#rounds = new Repeated((stopping) => this.round(stopping), this.#options.intervalMs);
  }

  start(): void {
    this.#rounds.start();
  }

  /** Resolves once what was taken over is handled. */
  async stop(): Promise<void> {
    await this.#rounds.stop();
  }

  /** Takes over all that is idle, unless another process does so just now. */
  async round(stopping: AbortSignal): Promise<void> {
    try {
      await this.#lock.run(async (lost) => {
        const ending = AbortSignal.any([stopping, lost]);
        for (const stream of AXIOM_STREAMS) {
          await this.#takeOver(stream, ending).catch((error: unknown) => this.#failed(stream, error));
        }
      });
    } catch (error) {
      for (const stream of AXIOM_STREAMS) this.#failed(stream, error);
    }
  }

  async #takeOver(stream: ClusterStream, ending: AbortSignal): Promise<void> {
    const { redis, consumer, idleMs, count, observer } = this.#options;
    let cursor = FIRST_CURSOR;
    while (!ending.aborted) {
      const claimed = await claimIdle(redis, { ...stream, consumer, idleMs, cursor, count });
      if (claimed.deleted.length > 0) observer?.deleted?.(stream.name, claimed.deleted);
      if (claimed.entries.length > 0) await this.#process(stream, claimed.entries);
      cursor = claimed.cursor;
      if (cursor === FIRST_CURSOR) return;
    }
  }

  async #process({ name, stream, group }: ClusterStream, entries: readonly StreamEntry[]): Promise<void> {
    const { redis, deliveriesMax, observer } = this.#options;
    const ids = entries.map(({ id }) => id);
    const counts = await deliveries(redis, stream, group, ids);
    const together: StreamEntry[] = [];
    const alone: StreamEntry[] = [];
    let dead = 0;
    for (const entry of entries) {
      const count = counts.get(entry.id) ?? 0;
      if (count > deliveriesMax) {
        await this.#bury({ stream, group }, entry, count);
        dead += 1;
      } else (count >= ALONE_FROM ? alone : together).push(entry);
    }
    observer?.reclaimed?.(name, entries.length, dead);
    if (together.length > 0) await this.#handle(name, stream, together);
    // From the other end every other time: what lies behind an entry that ends its process has its turn before it.
    if (Math.max(...counts.values()) % 2 === 0) alone.reverse();
    for (const entry of alone) await this.#handle(name, stream, [entry]);
  }

  /** An entry that fails must not keep those behind it waiting. */
  async #handle(name: string, stream: string, entries: readonly StreamEntry[]): Promise<void> {
    try {
      await this.#options.handle(entries, stream);
    } catch (error) {
      this.#options.observer?.failed?.(name, error);
    }
  }

  async #bury(
    { stream, group }: { stream: string; group: string },
    { id, fields }: StreamEntry,
    count: number,
  ): Promise<void> {
    const { deadLetters, redis } = this.#options;
    await deadLetters.add({
      stream,
      id,
      workspace: fields.get('workspace')?.toString(),
      kind: 'poison',
      reason: `delivered ${count} times and never acknowledged`,
      deliveries: count,
      fields,
    });
    await ack(redis, stream, group, [id]);
  }

  #failed(stream: ClusterStream, error: unknown): void {
    this.#options.observer?.failed?.(stream.name, redisError(error));
  }
}
