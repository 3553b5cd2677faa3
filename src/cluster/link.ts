import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Clock, IndelibleError, type Random } from '../../journal/index.ts';
import { agreePartitions, type JournalLetter } from './partitions/index.ts';
import { PressureGauge, type PressureObserver } from './pressure/index.ts';
import { checkRedis, openRedis, type Redis, type RedisFacts, type RedisUse } from './redis/index.ts';
import { DeadLetters, type DeadLettersObserver } from './upkeep/index.ts';
import { RedisWrites } from './writes.ts';

const RETRY_MS = 1_000;

export type LinkOptions = {
  url: string;
  /** Of this process alone: names its connections and its leases. */
  name: string;
  partitions: number;
  clock: Clock;
  random: Random;
  log: Logger;
  /** Aborted where nobody waits for Redis any more. */
  stopping: AbortSignal;
  observer: PressureObserver & DeadLettersObserver;
};

/** What a process of a cluster has in Redis, whatever its roles. */
export class ClusterLink {
  readonly facts: RedisFacts;
  readonly commands: Redis;
  readonly writes: RedisWrites;
  readonly gauge: PressureGauge;
  readonly deadLetters: DeadLetters;
  readonly #options: LinkOptions;
  readonly #connections = new Set<Redis>();

  /**
   * Waits until Redis is there.
   * @throws Error where it cannot be used, or the cluster has another number of partitions
   */
  static async open(options: LinkOptions): Promise<ClusterLink> {
    const commands = openRedis(options, 'commands');
    try {
      const facts = await whenThere(() => checkRedis(commands), options);
      await whenThere(() => agreePartitions(commands, options.partitions), options);
      return new ClusterLink(options, commands, facts);
    } catch (error) {
      commands.disconnect();
      throw error;
    }
  }

  private constructor(options: LinkOptions, commands: Redis, facts: RedisFacts) {
    const { partitions, clock, random, observer } = options;
    this.#options = options;
    this.facts = facts;
    this.commands = commands;
    this.#connections.add(commands);
    this.gauge = new PressureGauge({ redis: commands, partitions, clock, observer });
    this.deadLetters = new DeadLetters(commands, observer);
    this.writes = new RedisWrites({
      ...{ commands, partitions, clock, random },
      subscriber: this.connect('subscriber'),
      waitingEntries: () => (this.gauge.load?.lagEntries ?? 0) + (this.gauge.load?.pending ?? 0),
    });
    this.gauge.start();
  }

  /** Whether Redis answered when it was asked last. */
  get isThere(): boolean {
    return this.gauge.load !== undefined;
  }

  /** A connection more; closed with this, if its user does not close it before. */
  connect(use: RedisUse): Redis {
    const redis = openRedis(this.#options, use);
    this.#connections.add(redis);
    redis.once('end', () => this.#connections.delete(redis));
    return redis;
  }

  /** Sets an entry of a journal aside. @throws unavailable */
  async setAside({ fields, ...letter }: JournalLetter): Promise<void> {
    const kept = new Map(Object.entries(fields).map(([name, value]) => [name, Buffer.from(value)]));
    await this.deadLetters.add({ ...letter, fields: kept });
  }

  async close(): Promise<void> {
    await this.gauge.stop();
    this.writes.close();
    for (const redis of this.#connections) redis.disconnect();
  }
}

async function whenThere<T>(work: () => Promise<T>, { log, stopping }: LinkOptions): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof IndelibleError) || error.kind !== 'unavailable') throw error;
      if (tries === 0) log.warn({ err: error }, 'waiting for redis');
      await sleep(RETRY_MS, undefined, { signal: stopping });
    }
  }
}
