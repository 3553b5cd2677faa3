import { Cluster, type Redis as RedisClient } from 'ioredis';
import { type Redis, redisError } from '../redis/index.ts';

/** How long Redis remembers that a source has its verdict: after that its row in the store says so. */
const REMEMBERED_S = 86_400;

/** Which of these keys are set. In a Redis Cluster they lie in many slots, and are asked one by one. @throws unavailable */
export async function areJudged(redis: Redis, keys: readonly string[]): Promise<boolean[]> {
  if (keys.length === 0) return [];
  try {
    if (redis instanceof Cluster) {
      const found = await Promise.all(keys.map((key) => redis.exists(key)));
      return found.map((count) => count === 1);
    }
    const values = await (redis as RedisClient).mget(...keys);
    return values.map((value) => value !== null);
  } catch (error) {
    throw redisError(error);
  }
}

/** @throws unavailable: some of them may be set */
export async function setJudged(redis: Redis, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  try {
    if (redis instanceof Cluster) {
      await Promise.all(keys.map((key) => redis.set(key, '1', 'EX', REMEMBERED_S)));
      return;
    }
    const pipeline = (redis as RedisClient).pipeline();
    for (const key of keys) pipeline.set(key, '1', 'EX', REMEMBERED_S);
    const replies = (await pipeline.exec()) ?? [];
    const failed = replies.find(([error]) => error !== null);
    if (failed) throw failed[0];
  } catch (error) {
    throw redisError(error);
  }
}
