import type { Redis as RedisClient } from 'ioredis';
import { type Redis, redisError } from './redis/index.ts';

/**
 * Runs a Lua script on one key: nothing else happens in Redis meanwhile.
 * @throws IndelibleError unavailable
 */
export async function runScript(
  redis: Redis,
  script: string,
  key: string,
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await (redis as RedisClient).eval(script, 1, key, ...args);
  } catch (error) {
    throw redisError(error);
  }
}
