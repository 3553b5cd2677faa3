import { Cluster } from 'ioredis';
import type { ClusterStream } from '../cluster-streams.ts';
import { type Redis, redisError, runScript } from '../redis/index.ts';
import type { Load } from './pressure-level.ts';

/** What one group has to do in one stream. */
export type GroupLoad = {
  /** Not delivered yet. Redis may not know after a group was moved: then 0, and the age tells of it. */
  lag: number;
  /** Delivered, and not acknowledged. */
  pending: number;
  /** Of the oldest of both, by the clock of Redis; 0 where there is none. */
  oldestMs: number;
};

/**
 * KEYS: the stream. ARGV: the group. All in one step and without the entries' bodies. A group that is not there yet has
 * everything to do.
 */
const GROUP_LOAD = `
local found = redis.call('EXISTS', KEYS[1]) == 1 and redis.call('XINFO', 'GROUPS', KEYS[1]) or {}
local lag, pending, after, oldest = redis.call('XLEN', KEYS[1]), 0, '-', nil
for _, pairs_of_group in ipairs(found) do
  local group = {}
  for at = 1, #pairs_of_group, 2 do group[pairs_of_group[at]] = pairs_of_group[at + 1] end
  if group['name'] == ARGV[1] then
    lag, pending, after = group['lag'], group['pending'], '(' .. group['last-delivered-id']
  end
end
local function take(id)
  local ms = tonumber(string.match(id, '^%d+'))
  if oldest == nil or ms < oldest then oldest = ms end
end
if pending > 0 then take(redis.call('XPENDING', KEYS[1], ARGV[1])[2]) end
if lag ~= 0 then
  local first = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', 1)[1]
  if first then take(first[1]) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return { lag or 0, pending, oldest and math.max(0, now - oldest) or 0 }
`;

/** @throws IndelibleError unavailable */
export async function groupLoad(redis: Redis, { stream, group }: ClusterStream): Promise<GroupLoad> {
  const [lag, pending, oldestMs] = (await runScript(redis, GROUP_LOAD, stream, [group])) as [number, number, number];
  return { lag, pending, oldestMs };
}

/**
 * The load of all streams, asked for in one turn. Only the groups of the service count: a slow group of somebody else
 * is no reason to take less, until what it holds back fills the memory.
 * @throws IndelibleError unavailable
 */
export async function readLoad(redis: Redis, streams: readonly ClusterStream[]): Promise<Load> {
  const [memoryRatio, ...groups] = await Promise.all([
    readMemoryRatio(redis),
    ...streams.map((stream) => groupLoad(redis, stream)),
  ]);
  const load: Load = { lagEntries: 0, pending: 0, lagMs: 0, memoryRatio };
  for (const { lag, pending, oldestMs } of groups) {
    load.lagEntries += lag;
    load.pending += pending;
    load.lagMs = Math.max(load.lagMs, oldestMs);
  }
  return load;
}

async function readMemoryRatio(redis: Redis): Promise<number | undefined> {
  try {
    const servers = redis instanceof Cluster ? redis.nodes('master') : [redis];
    const texts = await Promise.all(servers.map((server) => server.info('memory')));
    const ratios = texts.map(memoryRatioOf).filter((ratio) => ratio !== undefined);
    return ratios.length === 0 ? undefined : Math.max(...ratios);
  } catch (error) {
    throw redisError(error);
  }
}

/** Of the answer to INFO memory; undefined where there is no limit. */
function memoryRatioOf(info: string): number | undefined {
  const used = Number(/^used_memory:(\d+)/m.exec(info)?.[1]);
  const limit = Number(/^maxmemory:(\d+)/m.exec(info)?.[1]);
  return used >= 0 && limit > 0 ? used / limit : undefined;
}
