import type { Clock } from '../../../journal/index.ts';
import { type ClusterStream, clusterStreams } from '../cluster-streams.ts';
import { groupLoad, type PressureLevel } from '../pressure/index.ts';
import { COMPLIANCE_GROUP, ensureGroup, groupsOf, leaseKey, type Redis, redisError } from '../redis/index.ts';
import { Repeated } from '../repeat.ts';
import { removeIdleConsumers } from './idle-consumers.ts';
import { trimDone } from './trim.ts';

/** `stream` is the name for operators: `axioms`, `axioms-high`, `journal-<partition>`. */
export type UpkeepObserver = {
  /**
   * A group was not there and was made, from the beginning of its stream. `wasThere`: this process has seen it before, so
   * Redis lost its data, or somebody removed the group.
   */
  groupMade?(stream: string, group: string, wasThere: boolean): void;
  trimmed?(stream: string, entries: number): void;
  consumersRemoved?(stream: string, names: readonly string[]): void;
  /** Events of a partition wait, and nobody has held it for `forMs`. Told again in every round. */
  orphaned?(partition: number, forMs: number, entries: number): void;
  /** A stream could not be looked after; the next round tries again. */
  failed?(stream: string, error: unknown): void;
};

export type UpkeepOptions = {
  redis: Redis;
  partitions: number;
  clock: Clock;
  pressure(): PressureLevel;
  observer?: UpkeepObserver;
  /** Between two rounds; default 30 seconds. */
  intervalMs?: number;
  /** How long done entries stay, for groups that are made later; default 10 minutes. Under pressure they go at once. */
  keepMs?: number;
  /** A consumer of the compliance group is removed after so long without a sign of life; default one hour. */
  consumerIdleMs?: number;
  /** How long a partition may be without a worker before it is told of; default one minute. */
  orphanedMs?: number;
};

const DEFAULTS = { intervalMs: 30_000, keepMs: 600_000, consumerIdleMs: 3_600_000, orphanedMs: 60_000 };

/** Keeps the streams in order. Each step is safe at any time: any number of processes may do this at once. */
export class StreamUpkeep {
  readonly #options: UpkeepOptions & typeof DEFAULTS;
  readonly #streams: readonly ClusterStream[];
  readonly #rounds: Repeated;
  /** Streams whose group was there in an earlier round. */
  readonly #seen = new Set<string>();
  /** Since when each partition has waited for a worker. */
  readonly #orphanedSinceMs = new Map<number, number>();

  constructor(options: UpkeepOptions) {
    this.#options = { ...DEFAULTS, ...options };
    this.#streams = clusterStreams(options.partitions);
    this.#rounds = new Repeated(() => this.round(), this.#options.intervalMs);
  }

  start(): void {
    this.#rounds.start();
  }

  async stop(): Promise<void> {
    await this.#rounds.stop();
  }

  /** Looks after every stream once. What fails is reported, and the others are looked after all the same. */
  async round(): Promise<void> {
    await Promise.all(
      this.#streams.map((stream) =>
        this.#lookAfter(stream).catch((error: unknown) => this.#options.observer?.failed?.(stream.name, error)),
      ),
    );
  }

  async #lookAfter(stream: ClusterStream): Promise<void> {
    const { redis, observer, pressure, keepMs, consumerIdleMs } = this.#options;
    const { name, group } = stream;
    // Looked for first: a Redis that is full refuses to make a group, also one that is there, and must be trimmed.
    const isThere = (await groupsOf(redis, stream.stream)).some((one) => one.name === group);
    if (!isThere && (await ensureGroup(redis, stream.stream, group)))
      observer?.groupMade?.(name, group, this.#seen.has(name));
    this.#seen.add(name);
    const trimmed = await trimDone(redis, stream, pressure() === 0 ? keepMs : 0);
    if (trimmed > 0) observer?.trimmed?.(name, trimmed);
    if (group === COMPLIANCE_GROUP) {
      const removed = await removeIdleConsumers(redis, stream, consumerIdleMs);
      if (removed.length > 0) observer?.consumersRemoved?.(name, removed);
    }
    if (stream.partition !== undefined) await this.#findOrphan(stream, stream.partition);
  }

  async #findOrphan(stream: ClusterStream, partition: number): Promise<void> {
    const { redis, clock, observer, orphanedMs } = this.#options;
    const isHeld = await redis.exists(leaseKey(partition)).catch((error: unknown) => {
      throw redisError(error);
    });
    const { lag, pending } = await groupLoad(redis, stream);
    if (isHeld > 0 || lag + pending === 0) {
      this.#orphanedSinceMs.delete(partition);
      return;
    }
    const nowMs = clock.nowMs();
    const sinceMs = Math.min(this.#orphanedSinceMs.get(partition) ?? nowMs, nowMs);
    this.#orphanedSinceMs.set(partition, sinceMs);
    if (nowMs - sinceMs >= orphanedMs) observer?.orphaned?.(partition, nowMs - sinceMs, lag + pending);
  }
}
