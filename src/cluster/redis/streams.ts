import { Cluster } from 'ioredis';
import { assert } from '../../../journal/index.ts';
import { ask } from './ask.ts';
import { type Redis, redisError, SILENCE_MAX_MS } from './connection.ts';

/** An entry as it lies in a stream. Ids are `<ms>-<number>`. */
export type StreamEntry = { id: string; fields: Map<string, Buffer> };

export type Added = readonly { stream: string; fields: Readonly<Record<string, string | Buffer>> }[];

/** Entries as Redis sends them: `null` fields where the entry was deleted from the stream. */
type RawEntry = [id: Buffer, fields: Buffer[] | null];

/**
 * Adds entries to the ends of streams in one slot, all or none, with nothing of others between them.
 * @returns their ids, in order
 * @throws unavailable: perhaps they were added, and perhaps twice
 */
export async function addAll(redis: Redis, added: Added): Promise<string[]> {
  writeTogether(redis);
  const [only] = added;
  if (added.length === 1 && only) {
    const id = await ask(redis, (client) => client.xadd(only.stream, '*', ...fieldList(only.fields)));
    return [idOf(id)];
  }
  const replies = await ask(redis, (client) => {
    const multi = client.multi();
    for (const { stream, fields } of added) multi.xadd(stream, '*', ...fieldList(fields));
    return multi.exec();
  });
  assert(replies?.length === added.length, 'a transaction answers for each of its commands');
  return replies.map(([error, id]) => {
    if (error) throw redisError(error);
    return idOf(id);
  });
}

/** Sockets that hold back what is written to them until this turn of the event loop is over. */
const corked = new WeakSet<object>();

/** Requests come many at a time: one write for all of their commands costs a sixth less of this process than one for each. */
function writeTogether(redis: Redis): void {
  if (redis instanceof Cluster) return;
  const { stream } = redis;
  if (!stream || corked.has(stream)) return;
  corked.add(stream);
  stream.cork();
  setImmediate(() => {
    corked.delete(stream);
    stream.uncork();
  });
}

function fieldList(fields: Readonly<Record<string, string | Buffer>>): (string | Buffer)[] {
  const list: (string | Buffer)[] = [];
  for (const name in fields) list.push(name, fields[name] as string | Buffer);
  return list;
}

function idOf(reply: unknown): string {
  assert(typeof reply === 'string', 'XADD answers with an id');
  return reply;
}

/**
 * Makes the group where it is not there, and the stream with it. It begins after `fromId`; `$`: with what comes now.
 * @returns true: it was made now
 */
export async function ensureGroup(redis: Redis, stream: string, group: string, fromId = '0'): Promise<boolean> {
  try {
    await redis.xgroup('CREATE', stream, group, fromId, 'MKSTREAM');
    return true;
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('BUSYGROUP')) return false;
    throw redisError(error);
  }
}

/**
 * Delivers to the consumer what nobody of the group was given yet, at most `count` entries of each stream; streams
 * without any are not in the answer. Waits up to `blockMs` for the first; undefined: does not wait.
 * @throws NoGroupError; unavailable: then entries may have been delivered that never arrived, and a consumer that keeps
 * order reads what is pending before it goes on
 */
export async function readNew(
  redis: Redis,
  request: { streams: readonly string[]; group: string; consumer: string; count: number; blockMs?: number | undefined },
): Promise<Map<string, StreamEntry[]>> {
  const { streams, group, consumer, count, blockMs } = request;
  const from = [...streams, ...streams.map(() => '>')];
  // BLOCK 0 would wait for ever.
  assert(blockMs === undefined || (blockMs > 0 && blockMs < SILENCE_MAX_MS), 'a read waits for some seconds at most');
  const reply = await ask(redis, (client) =>
    blockMs === undefined
      ? client.xreadgroupBuffer('GROUP', group, consumer, 'COUNT', count, 'STREAMS', ...from)
      : client.xreadgroupBuffer('GROUP', group, consumer, 'COUNT', count, 'BLOCK', blockMs, 'STREAMS', ...from),
  );
  const found = new Map<string, StreamEntry[]>();
  for (const [stream, entries] of reply ?? []) found.set(stream.toString(), sorted(entries).entries);
  return found;
}

/**
 * What the consumer was given and has not acknowledged, after `afterId`, which may be `0`; none where it has no more.
 * `deleted` are ids whose entries are gone from the stream; `lastId` is where to go on, `afterId` where there is no more.
 * @throws NoGroupError, unavailable
 */
export async function readPending(
  redis: Redis,
  request: { stream: string; group: string; consumer: string; afterId: string; count: number },
): Promise<{ entries: StreamEntry[]; deleted: string[]; lastId: string }> {
  const { stream, group, consumer, afterId, count } = request;
  const reply = await ask(redis, (client) =>
    client.xreadgroupBuffer('GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, afterId),
  );
  const raw = reply?.[0]?.[1] ?? [];
  return { ...sorted(raw), lastId: raw.at(-1)?.[0].toString() ?? afterId };
}

function sorted(raw: readonly RawEntry[]): { entries: StreamEntry[]; deleted: string[] } {
  const entries: StreamEntry[] = [];
  const deleted: string[] = [];
  for (const [idBytes, list] of raw) {
    const id = idBytes.toString('latin1');
    if (list === null) {
      deleted.push(id);
      continue;
    }
    const fields = new Map<string, Buffer>();
    for (let at = 0; at + 1 < list.length; at += 2) fields.set((list[at] as Buffer).toString(), list[at + 1] as Buffer);
    entries.push({ id, fields });
  }
  return { entries, deleted };
}

/** @returns how many of them were pending until now */
export async function ack(redis: Redis, stream: string, group: string, ids: readonly string[]): Promise<number> {
  if (ids.length === 0) return 0;
  return ask(redis, (client) => client.xack(stream, group, ...ids));
}

/**
 * Gives the consumer what others were given, have not acknowledged and not been asked about for `idleMs`; each is
 * counted as delivered once more. Begin with the cursor `0-0` and go on until it comes back. `deleted` are ids whose
 * entries are gone from the stream: lost, and no longer pending.
 * @throws NoGroupError, unavailable
 */
export async function claimIdle(
  redis: Redis,
  request: { stream: string; group: string; consumer: string; idleMs: number; cursor: string; count: number },
): Promise<{ cursor: string; entries: StreamEntry[]; deleted: string[] }> {
  const { stream, group, consumer, idleMs, cursor, count } = request;
  const reply = await ask(redis, (client) =>
    client.callBuffer('xautoclaim', stream, group, consumer, idleMs, cursor, 'COUNT', count),
  );
  const [next, raw, deleted] = reply as [Buffer, RawEntry[], Buffer[]];
  const { entries, deleted: emptied } = sorted(raw);
  return { cursor: next.toString(), entries, deleted: [...deleted.map(String), ...emptied] };
}
