import { type Redis, runScript } from '../redis/index.ts';

/**
 * KEYS: the stream. ARGV: the group, milliseconds. In one step: with a consumer goes what is pending for it, so none may
 * be delivered to it in between.
 */
const REMOVE_IDLE = `
local removed = {}
for _, pairs_of_consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for at = 1, #pairs_of_consumer, 2 do consumer[pairs_of_consumer[at]] = pairs_of_consumer[at + 1] end
  if consumer['pending'] == 0 and consumer['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name'])
    removed[#removed + 1] = consumer['name']
  end
end
return removed
`;

/**
 * Removes the consumers that have nothing pending and did not ask for anything for so long: workers that are gone.
 * @returns their names
 * @throws IndelibleError unavailable, also where the group is not there
 */
export async function removeIdleConsumers(
  redis: Redis,
  { stream, group }: { stream: string; group: string },
  idleMs: number,
): Promise<string[]> {
  return (await runScript(redis, REMOVE_IDLE, stream, [group, idleMs])) as string[];
}
