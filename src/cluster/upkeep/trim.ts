import type { ClusterStream } from '../cluster-streams.ts';
import { type Redis, runScript } from '../redis/index.ts';

/**
 * KEYS: the stream. ARGV: the group that must be there, milliseconds that entries are kept for. The bound is the smallest id that some group has not
 * acknowledged: its lowest pending one, or what comes after the last that it was delivered. It is found and cut at in one
 * step, so that no group can be made, or moved back, in between. Ids are compared as text: their numbers have 64 bits.
 */
const TRIM = `
local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return ms, number
end
local function before(a, b)
  local a_ms, a_number = parts(a)
  local b_ms, b_number = parts(b)
  if #a_ms ~= #b_ms then return #a_ms < #b_ms end
  if a_ms ~= b_ms then return a_ms < b_ms end
  if #a_number ~= #b_number then return #a_number < #b_number end
  return a_number < b_number
end
-- A number that a double may not hold is left as it is: one entry more stays.
local function after(id)
  local ms, number = parts(id)
  if #number > 15 then return id end
  return ms .. '-' .. string.format('%.0f', tonumber(number) + 1)
end
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local bound = string.format('%.0f', math.max(0, now - ARGV[2])) .. '-0'
local is_there = false
local function lower(id) if before(id, bound) then bound = id end end
for _, pairs_of_group in ipairs(groups) do
  local group = {}
  for at = 1, #pairs_of_group, 2 do group[pairs_of_group[at]] = pairs_of_group[at + 1] end
  is_there = is_there or group['name'] == ARGV[1]
  lower(after(group['last-delivered-id']))
  if group['pending'] > 0 then lower(redis.call('XPENDING', KEYS[1], group['name'])[2]) end
end
if not is_there then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', '=', bound)
`;

/**
 * Removes what every group has acknowledged and what is older than `keepMs`. A stream without the service's own group
 * keeps everything: nobody says that it is done.
 * @returns how many entries
 * @throws IndelibleError unavailable
 */
export async function trimDone(redis: Redis, { stream, group }: ClusterStream, keepMs: number): Promise<number> {
  return (await runScript(redis, TRIM, stream, [group, keepMs])) as number;
}
