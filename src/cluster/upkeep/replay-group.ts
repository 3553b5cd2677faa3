import type { Redis as RedisClient } from 'ioredis';
import { canonicalTime, IndelibleError, invalid } from '../../../journal/index.ts';
import {
  AXIOMS,
  AXIOMS_HIGH,
  COMPLIANCE_GROUP,
  compareIds,
  groupsOf,
  idBefore,
  idOfMs,
  JOURNAL_GROUP,
  type Redis,
  redisError,
  runScript,
} from '../redis/index.ts';

export type ReplayRequest = {
  /** Name in Redis. */
  stream: string;
  group: string;
  /**
   * The first entry to be delivered: the id of an entry, or of a moment in milliseconds; `0` for the oldest that is there;
   * `$` for what comes from now on; or an RFC 3339 time.
   */
  fromId: string;
};

export type Replayed = {
  /** How many entries that are there now the group will be delivered. */
  entries: number;
  /** false: the group was there, and was moved. */
  isNew: boolean;
};

const GROUP_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const ID_PATTERN = /^(0|[1-9]\d{0,19})(?:-(0|[1-9]\d{0,19}))?$/;
const ID_NUMBER_MAX = 2n ** 64n - 1n;
const ZERO = '0-0';

/** Entries that are counted in one step: Redis does nothing else meanwhile, and copies them. */
const COUNTED_AT_ONCE = 100;

/** KEYS: the stream. What was added to it ever, and the id of the newest; the time by the clock of Redis, ms. */
const STREAM_END = `
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
if redis.call('EXISTS', KEYS[1]) == 0 then return { 0, '0-0', now } end
local pairs_of_stream, stream = redis.call('XINFO', 'STREAM', KEYS[1]), {}
for at = 1, #pairs_of_stream, 2 do stream[pairs_of_stream[at]] = pairs_of_stream[at + 1] end
return { stream['entries-added'], stream['last-generated-id'], now }
`;

/** KEYS: the stream. ARGV: from, to, and how many at most. Their number and the last one's id, without their bodies. */
const COUNT_ENTRIES = `
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
return { #entries, #entries > 0 and entries[#entries][1] or '' }
`;

/**
 * Has a group read a stream from a position on: makes the group, or moves it. What it has pending stays pending. The
 * service's own groups are moved back only: what they are not delivered is recorded, or judged, nowhere.
 * @throws IndelibleError invalid; conflict where one of the service's groups would pass over entries; unavailable
 */
export async function replayGroup(redis: Redis, { stream, group, fromId }: ReplayRequest): Promise<Replayed> {
  if (!GROUP_PATTERN.test(group)) throw invalid([{ pointer: '/group', message: `must match ${GROUP_PATTERN.source}` }]);
  const [added, lastId, nowMs] = (await runScript(redis, STREAM_END, stream, [])) as [number, string, string];
  const afterId = positionBefore(fromId, { lastId, nowMs });
  const found = (await groupsOf(redis, stream)).find(({ name }) => name === group);
  if (isOwn(stream, group)) {
    const skipped = await countEntries(redis, stream, found?.lastDeliveredId ?? ZERO, afterId);
    if (skipped > 0) {
      const message = `${skipped} entries were not delivered to the group ${group} yet, and would never be: it is the service's own, and is moved back only`;
      throw new IndelibleError('conflict', message);
    }
  }
  const entries = await countEntries(redis, stream, afterId, lastId);
  await placeGroup(redis, { stream, group, afterId, isNew: found === undefined, entriesRead: added - entries });
  return { entries, isNew: found === undefined };
}

function isOwn(stream: string, group: string): boolean {
  if (stream === AXIOMS || stream === AXIOMS_HIGH) return group === COMPLIANCE_GROUP;
  return group === JOURNAL_GROUP;
}

/** The id after which the group begins. @throws IndelibleError invalid */
function positionBefore(from: string, end: { lastId: string; nowMs: string }): string {
  if (from === '$') return end.lastId;
  const id = idOf(from);
  if (compareIds(id, ZERO) === 0) return ZERO;
  if (compareIds(id, end.lastId) > 0 && compareIds(id, end.nowMs) > 0) {
    throw invalidFrom(`lies in the future: the newest entry is ${end.lastId}, and it is ${end.nowMs} now`);
  }
  // Behind the end there is nothing to begin with but what comes.
  const before = idBefore(id);
  return compareIds(before, end.lastId) > 0 ? end.lastId : before;
}

/** @throws IndelibleError invalid */
function idOf(from: string): string {
  const [, ms, number = '0'] = ID_PATTERN.exec(from) ?? [];
  if (ms !== undefined) {
    if (BigInt(ms) <= ID_NUMBER_MAX && BigInt(number) <= ID_NUMBER_MAX) return `${ms}-${number}`;
    throw invalidFrom('is beyond what an id of a stream holds');
  }
  const time = canonicalTime(from);
  if (!time.ok) {
    throw invalidFrom('is no position: write the id of an entry (1767225600000-0), 0, $, or a time with its zone');
  }
  return idOfMs(Math.max(0, Date.parse(time.text)));
}

function invalidFrom(message: string): IndelibleError {
  return invalid([{ pointer: '/from', message }]);
}

/** Entries after one id up to another. */
async function countEntries(redis: Redis, stream: string, afterId: string, toId: string): Promise<number> {
  let total = 0;
  let after = afterId;
  while (compareIds(after, toId) < 0) {
    const [count, lastId] = (await runScript(redis, COUNT_ENTRIES, stream, [`(${after}`, toId, COUNTED_AT_ONCE])) as [
      number,
      string,
    ];
    total += count;
    if (count < COUNTED_AT_ONCE) break;
    after = lastId;
  }
  return total;
}

/** `entriesRead`: without it Redis does not know how far behind the group is. */
async function placeGroup(
  redis: Redis,
  place: { stream: string; group: string; afterId: string; isNew: boolean; entriesRead: number },
): Promise<void> {
  const { stream, group, afterId, isNew, entriesRead } = place;
  try {
    const client = redis as RedisClient;
    if (isNew) await client.xgroup('CREATE', stream, group, afterId, 'MKSTREAM', 'ENTRIESREAD', entriesRead);
    else await client.xgroup('SETID', stream, group, afterId, 'ENTRIESREAD', entriesRead);
  } catch (error) {
    throw redisError(error);
  }
}
