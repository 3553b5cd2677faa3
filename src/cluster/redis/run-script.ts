import type { Redis as RedisClient } from 'ioredis';
import { type Redis, redisError } from './connection.ts';

/**
 * Runs a Lua script on one key, or several of one slot: nothing else happens in Redis meanwhile.
 * @throws IndelibleError unavailable
 */
export async function runScript(
  redis: Redis,
  script: string,
  keys: string | readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    const all = [keys].flat();
    return await (redis as RedisClient).eval(script, all.length, ...all, ...args);
  } catch (error) {
    throw redisError(error);
  }
}
