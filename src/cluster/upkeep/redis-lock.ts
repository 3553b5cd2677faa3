import type { Redis as RedisClient } from 'ioredis';
import type { Random } from '../../../journal/index.ts';
import { type Redis, redisError, runScript } from '../redis/index.ts';

const RENEW = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`;
const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/** Renewed so many times before it would expire. */
const RENEWALS = 3;

/**
 * Keeps others from doing the same at the same time. It saves work and proves nothing: where Redis loses it, or a holder
 * sleeps longer than it lasts, two work at once.
 */
export class RedisLock {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #token: string;
  readonly #expiryMs: number;

  constructor(redis: Redis, key: string, { random, expiryMs }: { random: Random; expiryMs: number }) {
    this.#redis = redis;
    this.#key = key;
    this.#token = Buffer.from(random.bytes(16)).toString('hex');
    this.#expiryMs = expiryMs;
  }

  /**
   * Does the work while nobody else does.
   * @param work `lost` is aborted where somebody else has the lock meanwhile
   * @returns false: somebody else has it, and nothing was done
   * @throws what the work throws; IndelibleError unavailable
   */
  async run(work: (lost: AbortSignal) => Promise<void>): Promise<boolean> {
    if (!(await this.#take())) return false;
    const lost = new AbortController();
    const renewal = setInterval(() => void this.#renew(lost), this.#expiryMs / RENEWALS);
    try {
      await work(lost.signal);
    } finally {
      clearInterval(renewal);
      // What is not released expires.
      await runScript(this.#redis, RELEASE, this.#key, [this.#token]).catch(() => {});
    }
    return true;
  }

  async #take(): Promise<boolean> {
    try {
      const client = this.#redis as RedisClient;
      return (await client.set(this.#key, this.#token, 'PX', this.#expiryMs, 'NX')) === 'OK';
    } catch (error) {
      throw redisError(error);
    }
  }

  /** Where Redis is away nobody else can take it either: it is renewed the next time. */
  async #renew(lost: AbortController): Promise<void> {
    const renewed = await runScript(this.#redis, RENEW, this.#key, [this.#token, this.#expiryMs]).catch(() => 1);
    if (renewed === 0) lost.abort();
  }
}
