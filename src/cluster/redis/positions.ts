import { ask } from './ask.ts';
import type { Redis } from './connection.ts';
import { committedKey, replyChannel, replyKey } from './names.ts';
import { runScript } from './run-script.ts';
import { compareIds } from './stream-ids.ts';

/** How long an answer waits for whoever asked. */
const REPLY_MS = 60_000;

/** Sets the key to an id of a stream unless it holds a later one: a writer that is late moves nothing back. */
const ADVANCE = `
local function parts(id) local ms, n = string.match(id, '(%d+)-(%d+)') return tonumber(ms), tonumber(n) end
local known = redis.call('GET', KEYS[1])
if known then
  local ms, n = parts(known)
  local newMs, newN = parts(ARGV[1])
  if newMs < ms or (newMs == ms and newN <= n) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1`;

/** Tells that all entries of a partition up to this id are committed. @throws unavailable */
export async function advanceCommitted(redis: Redis, partition: number, id: string): Promise<void> {
  await runScript(redis, ADVANCE, committedKey(partition), [id]);
}

/** Whether all entries of the partition up to this id are committed. @throws unavailable */
export async function isCommitted(redis: Redis, partition: number, id: string): Promise<boolean> {
  const known = await ask(redis, (client) => client.get(committedKey(partition)));
  return known !== null && compareIds(known, id) >= 0;
}

/** Leaves an answer for a web process, and tells it. @throws unavailable */
export async function sendReply(
  redis: Redis,
  { webId, requestId, text }: { webId: string; requestId: string; text: string },
): Promise<void> {
  await ask(redis, (client) => client.set(replyKey(requestId), text, 'PX', REPLY_MS));
  await ask(redis, (client) => client.publish(replyChannel(webId), requestId));
}

/** Takes an answer; undefined: there is none yet. @throws unavailable */
export async function takeReply(redis: Redis, requestId: string): Promise<string | undefined> {
  return (await ask(redis, (client) => client.getdel(replyKey(requestId)))) ?? undefined;
}
