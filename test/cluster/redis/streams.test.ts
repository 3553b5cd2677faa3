import { randomUUID } from 'node:crypto';
import { Cluster, type Redis as RedisClient } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import {
  ack,
  addAll,
  claimIdle,
  compareIds,
  deliveries,
  ensureGroup,
  groupsOf,
  idBefore,
  length,
  NoGroupError,
  pendingSummary,
  type Redis,
  readNew,
  readPending,
  type StreamEntry,
  trimBelow,
} from '../../../src/cluster/redis/index.ts';
import { RedisLab } from '../../support/redis-lab.ts';
import { RedisCluster, RedisServer } from '../../support/redis-server.ts';

const kinds = [
  { name: 'one server', start: () => RedisServer.start() },
  { name: 'a cluster of three nodes', start: () => RedisCluster.start() },
];

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer()).each(kinds)('streams in $name', ({ start }) => {
  const lab = new RedisLab();
  let server: RedisServer | RedisCluster;
  let redis: Redis;
  /** Streams of this test, in one slot. */
  let stream: string;
  let second: string;
  const group = 'workers';

  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server.remove());
  beforeEach(async () => {
    redis = await lab.ready(server.url);
    const tag = randomUUID();
    stream = `{${tag}}:first`;
    second = `{${tag}}:second`;
  });
  afterEach(() => lab.dispose());

  const add = (...values: string[]) =>
    addAll(
      redis,
      values.map((value) => ({ stream, fields: { value } })),
    );
  const read = (consumer: string, count = 100) => readNew(redis, { streams: [stream], group, consumer, count });
  const pendingOf = (consumer: string, afterId = '0', count = 100) =>
    readPending(redis, { stream, group, consumer, afterId, count });
  const claim = (consumer: string, idleMs: number, cursor = '0-0', count = 100) =>
    claimIdle(redis, { stream, group, consumer, idleMs, cursor, count });
  const deleteEntry = (id: string) => (redis as RedisClient).xdel(stream, id);

  it('takes one entry, of any bytes, and gives it to the group once', async () => {
    await ensureGroup(redis, stream, group);
    const bytes = Buffer.from([0, 255, 13, 10, 128, 36]);
    const ids = await addAll(redis, [{ stream, fields: { bytes, text: 'ü', empty: '' } }]);
    const found = await read('a');
    const fields = new Map([
      ['bytes', bytes],
      ['text', Buffer.from('ü')],
      ['empty', Buffer.alloc(0)],
    ]);
    expect(found).toEqual(new Map([[stream, [{ id: ids[0], fields }]]]));
    expect(await read('b')).toEqual(new Map());
  });

  it('takes entries of several streams together, in order, and nothing of others between them', async () => {
    await ensureGroup(redis, stream, group);
    await ensureGroup(redis, second, group);
    const other = await lab.ready(server.url);
    // More than Redis reads at a time from one connection.
    const body = Buffer.alloc(100_000);
    const batch = (name: number) =>
      ['1', '2', '3'].map((part) => ({ stream, fields: { name: String(name), part, body } }));
    const batches = Array.from({ length: 40 }, (_, name) =>
      addAll(name % 2 === 0 ? redis : other, [...batch(name), { stream: second, fields: { name: String(name) } }]),
    );
    const ids = await Promise.all(batches);
    const found = await readNew(redis, { streams: [stream, second], group, consumer: 'a', count: 1000 });
    expect([...found.keys()].sort()).toEqual([stream, second]);
    const parts = (found.get(stream) ?? []).map(textsOf).map(({ name, part }) => ({ name, part }));
    expect(parts).toHaveLength(120);
    for (let at = 0; at < parts.length; at += 3) {
      const name = parts[at]?.name;
      expect(parts.slice(at, at + 3)).toEqual(['1', '2', '3'].map((part) => ({ name, part })));
    }
    const byBatch = new Map((found.get(second) ?? []).map((entry) => [Number(textsOf(entry).name), entry.id]));
    ids.forEach((batchIds, name) => {
      expect(batchIds).toHaveLength(4);
      expect(batchIds[3]).toBe(byBatch.get(name));
      expect([...batchIds.slice(0, 3)].sort(compareIds)).toEqual(batchIds.slice(0, 3));
    });
  });

  it('takes all or nothing where one of them is refused', async () => {
    const noFields = { stream: second, fields: {} };
    await expect(addAll(redis, [{ stream, fields: { value: '1' } }, noFields])).rejects.toMatchObject({
      kind: 'unavailable',
    });
    expect(await length(redis, stream)).toBe(0);
  });

  it('takes all or nothing where Redis has no memory for all', async () => {
    await add('before');
    await configure(redis, 'maxmemory', '1');
    await expect(add('1', '2')).rejects.toMatchObject({ kind: 'unavailable', retryAfterS: expect.any(Number) });
    await expect(add('3')).rejects.toMatchObject({ kind: 'unavailable' });
    await configure(redis, 'maxmemory', '0');
    expect(await length(redis, stream)).toBe(1);
    await add('4', '5');
    expect(await length(redis, stream)).toBe(3);
  });

  it('makes a group once, from where it is asked to begin', async () => {
    expect(await ensureGroup(redis, stream, group)).toBe(true);
    expect(await ensureGroup(redis, stream, group)).toBe(false);
    const [first = '', next = ''] = await add('1', '2');
    expect(await ensureGroup(redis, stream, 'later', first)).toBe(true);
    expect(await ensureGroup(redis, stream, 'latest', '$')).toBe(true);
    const [last] = await add('3');
    const idsOf = async (name: string) => {
      const found = await readNew(redis, { streams: [stream], group: name, consumer: 'a', count: 10 });
      return found.get(stream)?.map(({ id }) => id);
    };
    expect(await idsOf(group)).toEqual([first, next, last]);
    expect(await idsOf('later')).toEqual([next, last]);
    expect(await idsOf('latest')).toEqual([last]);
    const text = `{${randomUUID()}}:text`;
    await redis.set(text, 'no stream');
    await expect(ensureGroup(redis, text, group)).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('gives at most as many of each stream as asked for, and waits only where it is asked to', async () => {
    await ensureGroup(redis, stream, group);
    await ensureGroup(redis, second, group);
    const ids = await add('1', '2', '3');
    expect((await read('a', 2)).get(stream)?.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect((await read('a', 2)).get(stream)?.map(({ id }) => id)).toEqual(ids.slice(2));
    const consumer = await lab.ready(server.url, 'blocking');
    const request = { streams: [stream, second], group, consumer: 'a', count: 10 };
    expect(await readNew(consumer, { ...request, blockMs: 10 })).toEqual(new Map());
    const waiting = readNew(consumer, { ...request, blockMs: 9_000 });
    await vi.waitFor(async () => expect(await blockedClients(redis)).toBe(1), 5_000);
    const [late] = await addAll(redis, [{ stream: second, fields: { value: '4' } }]);
    expect([...(await waiting)].map(([name, entries]) => [name, entries[0]?.id])).toEqual([[second, late]]);
  });

  it('says where the group or the stream is not there', async () => {
    await add('1');
    const asked = [
      () => read('a'),
      () => pendingOf('a'),
      () => claim('a', 0),
      () => deliveries(redis, stream, group, ['1-0']),
      () => pendingSummary(redis, stream, group),
    ];
    for (const ask of asked) await expect(ask()).rejects.toThrow(NoGroupError);
    await redis.del(stream);
    for (const ask of asked) await expect(ask()).rejects.toThrow(NoGroupError);
    expect(await groupsOf(redis, stream)).toEqual([]);
    expect(await length(redis, stream)).toBe(0);
  });

  it('gives a consumer its own pending entries again, page by page, and tells which are gone', async () => {
    await ensureGroup(redis, stream, group);
    const ids = await add('1', '2', '3', '4', '5');
    await read('a', 4);
    await read('b', 1);
    await deleteEntry(ids[1] ?? '');
    const first = await pendingOf('a', '0', 2);
    expect([first.entries.map(({ id }) => id), first.deleted, first.lastId]).toEqual([[ids[0]], [ids[1]], ids[1]]);
    const next = await pendingOf('a', first.lastId, 2);
    expect(next.entries.map(textsOf)).toEqual([{ value: '3' }, { value: '4' }]);
    expect(await pendingOf('a', next.lastId)).toEqual({ entries: [], deleted: [], lastId: ids[3] });
    expect((await pendingOf('b')).entries.map(({ id }) => id)).toEqual([ids[4]]);
    expect(await pendingOf('nobody')).toEqual({ entries: [], deleted: [], lastId: '0' });
  });

  it('takes acknowledgements once', async () => {
    await ensureGroup(redis, stream, group);
    const ids = await add('1', '2', '3');
    await read('a');
    expect(await ack(redis, stream, group, [])).toBe(0);
    expect(await ack(redis, stream, group, ids.slice(0, 2))).toBe(2);
    expect(await ack(redis, stream, group, ids)).toBe(1);
    expect((await pendingOf('a')).entries).toEqual([]);
    expect(await length(redis, stream)).toBe(3);
  });

  it('hands on what others left, in pages, counts its deliveries, and tells what is lost', async () => {
    await ensureGroup(redis, stream, group);
    const ids = await add('1', '2', '3', '4', '5');
    await read('a', 4);
    expect(await claim('b', 3_600_000)).toEqual({ cursor: '0-0', entries: [], deleted: [] });
    await deleteEntry(ids[2] ?? '');
    const claimed: string[] = [];
    const lost: string[] = [];
    let cursor = '0-0';
    do {
      const page = await claim('b', 0, cursor, 2);
      claimed.push(...page.entries.map(({ id }) => id));
      lost.push(...page.deleted);
      cursor = page.cursor;
    } while (cursor !== '0-0');
    expect([claimed, lost]).toEqual([[ids[0], ids[1], ids[3]], [ids[2]]]);
    await claim('c', 0, ids[3], 1);
    expect(await deliveries(redis, stream, group, [...ids, '1-1'])).toEqual(
      new Map([
        [ids[0], 2],
        [ids[1], 2],
        [ids[3], 3],
      ]),
    );
    expect(await deliveries(redis, stream, group, [])).toEqual(new Map());
    expect((await pendingOf('a')).entries).toEqual([]);
    expect((await pendingOf('b')).entries.map(({ id }) => id)).toEqual(ids.slice(0, 2));
  });

  it('tells of its groups what they were given and what waits', async () => {
    await ensureGroup(redis, stream, group);
    await ensureGroup(redis, stream, 'idle');
    const ids = await add('1', '2', '3', '4');
    await read('a', 1);
    await read('b', 1);
    await ack(redis, stream, group, ids.slice(0, 1));
    const idle = { name: 'idle', consumers: 0, pending: 0, lastDeliveredId: '0-0', lag: 4 };
    const busy = { name: group, consumers: 2, pending: 1, lastDeliveredId: ids[1], lag: 2 };
    expect(await groupsOf(redis, stream)).toEqual([idle, busy]);
    await deleteEntry(ids[2] ?? '');
    expect(await groupsOf(redis, stream)).toEqual([
      { ...idle, lag: undefined },
      { ...busy, lag: undefined },
    ]);
  });

  it('tells what of a group is pending', async () => {
    await ensureGroup(redis, stream, group);
    const nothing = { count: 0, minId: undefined, maxId: undefined, oldestIdleMs: undefined };
    expect(await pendingSummary(redis, stream, group)).toEqual(nothing);
    const ids = await add('1', '2', '3');
    await read('a', 2);
    await read('b', 1);
    const oldestIdleMs = expect.any(Number);
    expect(await pendingSummary(redis, stream, group)).toEqual({
      count: 3,
      minId: ids[0],
      maxId: ids[2],
      oldestIdleMs,
    });
    await ack(redis, stream, group, [ids[0] ?? '', ids[1] ?? '']);
    expect(await pendingSummary(redis, stream, group)).toEqual({
      count: 1,
      minId: ids[2],
      maxId: ids[2],
      oldestIdleMs,
    });
  });

  it('is trimmed exactly', async () => {
    // Enough entries for several nodes of the stream: an approximate trim would leave some.
    const ids = await add(...Array.from({ length: 250 }, (_, index) => String(index)));
    expect(await trimBelow(redis, stream, idBefore(ids[0] ?? ''))).toBe(0);
    expect(await trimBelow(redis, stream, ids[130] ?? '')).toBe(130);
    expect(await length(redis, stream)).toBe(120);
    await ensureGroup(redis, stream, group);
    expect((await read('a', 1)).get(stream)?.[0]?.id).toBe(ids[130]);
    expect(await trimBelow(redis, second, '5-0')).toBe(0);
  });
});

function textsOf(entry: StreamEntry): Record<string, string> {
  return Object.fromEntries([...entry.fields].map(([name, bytes]) => [name, bytes.toString()]));
}

function nodesOf(redis: Redis): RedisClient[] {
  return redis instanceof Cluster ? redis.nodes('master') : [redis];
}

async function configure(redis: Redis, name: string, value: string): Promise<void> {
  for (const node of nodesOf(redis)) await node.config('SET', name, value);
}

/** Clients that wait in a blocking command. */
async function blockedClients(redis: Redis): Promise<number> {
  const infos = await Promise.all(nodesOf(redis).map((node) => node.info('clients')));
  return infos.reduce((sum, info) => sum + Number(/blocked_clients:(\d+)/.exec(info)?.[1]), 0);
}
