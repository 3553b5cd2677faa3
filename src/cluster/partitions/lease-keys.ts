import { leaseGuardKey, leaseKey, type Redis, redisError, runScript } from '../redis/index.ts';

/** A partition's lease in Redis: a key that runs out, with whose it is. `value` is `<worker>:<nonce>`, new for each. */
export type LeaseKey = { partition: number; value: string };

/** guarded: Redis may have lost a lease that somebody still relies on; nobody takes one until that has run out. */
export type TakeOutcome = 'taken' | 'held' | 'guarded';

/**
 * Takes a lease that is free. A Redis that was started again, replaced by its replica or emptied may have lost leases;
 * it is known by its run_id, which the guard remembers. From when that was first seen, free leases are left alone for
 * as long as one lasts: their holders put them back in that time (RENEW), or have lost them by their own clocks.
 * Sent twice because an answer was lost, it is taken once.
 */
const TAKE = `
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local seen = redis.call('HMGET', KEYS[2], 'run_id', 'since_ms')
local sinceMs = tonumber(seen[2])
if seen[1] ~= run then
  sinceMs = nowMs
  redis.call('HSET', KEYS[2], 'run_id', run, 'since_ms', string.format('%d', nowMs))
end
local value = redis.call('GET', KEYS[1])
if value == ARGV[1] then return 'taken' end
if value then return 'held' end
if ARGV[3] ~= 'unguarded' and nowMs < sinceMs + ARGV[2] then return 'guarded' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'taken'`;

/** A key that is gone is put back: had it run out, or been another's since, its holder would not ask any more (TAKE). */
const RENEW = `
local value = redis.call('GET', KEYS[1])
if value == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if value then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

/**
 * @param isGuarded false: takes it although Redis may have lost a lease, because nobody can have had one
 * @throws unavailable; the lease may then have been taken, and runs out by itself
 */
export async function takeLease(
  redis: Redis,
  { partition, value }: LeaseKey,
  { leaseMs, isGuarded }: { leaseMs: number; isGuarded: boolean },
): Promise<TakeOutcome> {
  const keys = [leaseKey(partition), leaseGuardKey(partition)];
  const outcome = await runScript(redis, TAKE, keys, [value, leaseMs, isGuarded ? 'guarded' : 'unguarded']);
  return outcome as TakeOutcome;
}

/** @returns false: it is another's. @throws unavailable */
export async function renewLease(redis: Redis, { partition, value }: LeaseKey, leaseMs: number): Promise<boolean> {
  return (await runScript(redis, RENEW, leaseKey(partition), [value, leaseMs])) === 1;
}

/** Deletes the lease if it is still this one. @throws unavailable */
export async function releaseLease(redis: Redis, { partition, value }: LeaseKey): Promise<void> {
  await runScript(redis, RELEASE, leaseKey(partition), [value]);
}

/** The worker that has the lease of each partition, as Redis sees it; undefined: nobody. @throws unavailable */
export async function leaseHolders(redis: Redis, partitions: number): Promise<(string | undefined)[]> {
  const asked = Array.from({ length: partitions }, (_, partition) => redis.get(leaseKey(partition)));
  const values = await Promise.all(asked).catch((error: unknown) => {
    throw redisError(error);
  });
  return values.map((value) => value?.slice(0, value.lastIndexOf(':')));
}
