import { ask, askAll } from './ask.ts';
import type { Redis } from './connection.ts';

export type GroupFacts = {
  name: string;
  consumers: number;
  /** Delivered and not acknowledged. */
  pending: number;
  lastDeliveredId: string;
  /** Entries not delivered yet; undefined where Redis cannot tell, after entries in the middle were deleted. */
  lag: number | undefined;
};

/** The consumer groups of a stream; none where there is no stream. @throws unavailable */
export async function groupsOf(redis: Redis, stream: string): Promise<GroupFacts[]> {
  const isThere = await ask(redis, (client) => client.exists(stream));
  if (isThere === 0) return [];
  const groups = await ask(redis, (client) => client.xinfo('GROUPS', stream));
  return (groups as (string | number | null)[][]).map((members) => {
    const facts = new Map<unknown, string | number | null | undefined>();
    for (let at = 0; at < members.length; at += 2) facts.set(members[at], members[at + 1]);
    const lag = facts.get('lag');
    return {
      name: String(facts.get('name')),
      consumers: Number(facts.get('consumers')),
      pending: Number(facts.get('pending')),
      lastDeliveredId: String(facts.get('last-delivered-id')),
      lag: typeof lag === 'number' ? lag : undefined,
    };
  });
}

export type PendingSummary = {
  count: number;
  minId: string | undefined;
  maxId: string | undefined;
  /** Since the entry of the smallest id was delivered last; undefined where none is pending. */
  oldestIdleMs: number | undefined;
};

/** What a group was given and has not acknowledged. @throws NoGroupError, unavailable */
export async function pendingSummary(redis: Redis, stream: string, group: string): Promise<PendingSummary> {
  const [summary, rows] = (await askAll(redis, (pipeline) => {
    pipeline.xpending(stream, group).xpending(stream, group, '-', '+', 1);
  })) as [[count: number, minId: string | null, maxId: string | null], PendingRow[]];
  const [count, minId, maxId] = summary;
  return { count, minId: minId ?? undefined, maxId: maxId ?? undefined, oldestIdleMs: rows[0]?.[2] };
}

type PendingRow = [id: string, consumer: string, idleMs: number, deliveries: number];

/**
 * How often each of these pending entries was delivered; those that are not pending are left out.
 * @throws NoGroupError, unavailable
 */
export async function deliveries(
  redis: Redis,
  stream: string,
  group: string,
  ids: readonly string[],
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  if (ids.length === 0) return counts;
  const replies = await askAll(redis, (pipeline) => {
    for (const id of ids) pipeline.xpending(stream, group, id, id, 1);
  });
  for (const [row] of replies as PendingRow[][]) if (row !== undefined) counts.set(row[0], row[3]);
  return counts;
}

/**
 * Whether the consumer was given entries between these two, both left out, and has not acknowledged them. undefined: from
 * the first on, to the last.
 * @throws NoGroupError, unavailable
 */
export async function hasPending(
  redis: Redis,
  asked: { stream: string; group: string; consumer: string; afterId: string | undefined; beforeId: string | undefined },
): Promise<boolean> {
  const { stream, group, consumer, afterId, beforeId } = asked;
  const from = afterId === undefined ? '-' : `(${afterId}`;
  const until = beforeId === undefined ? '+' : `(${beforeId}`;
  return (await ask(redis, (client) => client.xpending(stream, group, from, until, 1, consumer))).length > 0;
}

/** Entries of a stream; 0 where there is none. @throws unavailable */
export function length(redis: Redis, stream: string): Promise<number> {
  return ask(redis, (client) => client.xlen(stream));
}

/** Removes the entries before `minId`, exactly. @returns how many. @throws unavailable */
export function trimBelow(redis: Redis, stream: string, minId: string): Promise<number> {
  return ask(redis, (client) => client.xtrim(stream, 'MINID', '=', minId));
}
