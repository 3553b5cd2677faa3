import { type Redis, suspectsKey } from '../redis/index.ts';

/** An entry that was delivered more often is tried by itself: processes may have died of it, or beside it. */
const DELIVERIES_MAX = 5;
/** A process that begins an entry by itself and never ends it, so many times, died of it. */
const TRIES_MAX = 3;

/** Entries of a partition that may be what kills the processes that take them. */
export class Suspects {
  readonly #redis: Redis;
  readonly #key: string;
  /** It has its place, and Redis does not know that yet. */
  #ended: string | undefined;

  constructor(redis: Redis, partition: number) {
    this.#redis = redis;
    this.#key = suspectsKey(partition);
  }

  isSuspect(deliveries: number): boolean {
    return deliveries > DELIVERIES_MAX;
  }

  /** @param tries with the one that begins now */
  isPoison(tries: number): boolean {
    return tries > TRIES_MAX;
  }

  /** How often it was begun, this time too. The one before is ended by the same write. @throws unavailable */
  async begin(id: string): Promise<number> {
    const ended = this.#ended;
    if (ended === undefined) return this.#redis.hincrby(this.#key, id, 1);
    const replies = await this.#redis.multi().hdel(this.#key, ended).hincrby(this.#key, id, 1).exec();
    this.#ended = undefined;
    return replies?.[1]?.[1] as number;
  }

  /** It has its place. Told to Redis with the next that begins, or by `flush`. */
  end(id: string): void {
    this.#ended = id;
  }

  /** @throws unavailable */
  async flush(): Promise<void> {
    if (this.#ended === undefined) return;
    await this.#redis.hdel(this.#key, this.#ended);
    this.#ended = undefined;
  }
}
