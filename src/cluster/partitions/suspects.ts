import { type Redis, suspectsKey } from '../redis/index.ts';

/** An entry that was delivered more often is tried by itself: processes may have died of it, or beside it. */
const DELIVERIES_MAX = 5;
/** A process that begins an entry by itself and never ends it, so many times, died of it. */
const TRIES_MAX = 3;

/** Entries of a partition that may be what kills the processes that take them. */
export class Suspects {
  readonly #redis: Redis;
  readonly #key: string;

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

  /** How often it was begun, this time too. */
  begin(id: string): Promise<number> {
    return this.#redis.hincrby(this.#key, id, 1);
  }

  async end(id: string): Promise<void> {
    await this.#redis.hdel(this.#key, id);
  }
}
