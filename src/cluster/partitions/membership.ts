import { type Redis, WORKERS, runScript } from '../redis/index.ts';

/** By the clock of Redis alone, which all workers share. */
const ANNOUNCE = `
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', nowMs))
if ARGV[3] == 'ready' then
  redis.call('ZADD', KEYS[1], string.format('%d', nowMs + ARGV[2]), ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return redis.call('ZRANGE', KEYS[1], 0, -1)`;

/**
 * Gives a sign of life that lasts for `lastsMs`, and removes the workers whose signs ran out. A worker that is not
 * ready takes its sign back: the others share what it cannot take.
 * @returns the names of the live workers
 * @throws unavailable
 */
export async function announceWorker(
  redis: Redis,
  worker: { name: string; lastsMs: number; isReady: boolean },
): Promise<string[]> {
  const { name, lastsMs, isReady } = worker;
  const live = await runScript(redis, ANNOUNCE, WORKERS, [name, lastsMs, isReady ? 'ready' : 'not-ready']);
  return live as string[];
}
