import type { Redis as RedisClient } from 'ioredis';
import { COMPLIANCE_GROUP, type Redis, redisError, type StreamEntry } from '../redis/index.ts';

/** Ids in one XCLAIM. */
const IDS_AT_ONCE = 1_000;

/** The stream entries that this process works on: none is taken up twice, and none seems idle while it is here. */
export class InHand {
  readonly #redis: Redis;
  readonly #consumer: string;
  readonly #ids = new Map<string, Set<string>>();

  constructor(redis: Redis, consumer: string) {
    this.#redis = redis;
    this.#consumer = consumer;
  }

  /** Those of the entries that are not in hand already; from now on they are. */
  take(stream: string, entries: readonly StreamEntry[]): StreamEntry[] {
    let ids = this.#ids.get(stream);
    if (!ids) {
      ids = new Set();
      this.#ids.set(stream, ids);
    }
    const taken: StreamEntry[] = [];
    for (const entry of entries) {
      if (ids.has(entry.id)) continue;
      ids.add(entry.id);
      taken.push(entry);
    }
    return taken;
  }

  release(stream: string, ids: Iterable<string>): void {
    const held = this.#ids.get(stream);
    for (const id of ids) held?.delete(id);
  }

  /** They count as delivered now, and no more often: nobody claims them from a worker that lives. @throws unavailable */
  async touch(): Promise<void> {
    for (const [stream, held] of this.#ids) {
      const ids = [...held];
      for (let at = 0; at < ids.length; at += IDS_AT_ONCE) await this.#claim(stream, ids.slice(at, at + IDS_AT_ONCE));
    }
  }

  async #claim(stream: string, ids: readonly string[]): Promise<void> {
    try {
      // Of an entry that was acknowledged meanwhile nothing is made pending again.
      await (this.#redis as RedisClient).xclaim(stream, COMPLIANCE_GROUP, this.#consumer, 0, ...ids, 'JUSTID');
    } catch (error) {
      throw redisError(error);
    }
  }
}
