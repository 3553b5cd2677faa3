import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import type { PressureLevel } from '../../../src/cluster/pressure/index.ts';
import {
  ack,
  addAll,
  AXIOMS,
  COMPLIANCE_GROUP,
  ensureGroup,
  groupsOf,
  JOURNAL_GROUP,
  journalStream,
  leaseKey,
  length,
  readNew,
  readPending,
  type Redis,
} from '../../../src/cluster/redis/index.ts';
import { StreamUpkeep, type UpkeepOptions } from '../../../src/cluster/upkeep/index.ts';
import { RedisLab } from '../../support/redis-lab.ts';
import { RedisServer } from '../../support/redis-server.ts';

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('upkeep of the streams', () => {
  const lab = new RedisLab();
  let server: RedisServer;
  let redis: Redis;
  let nowMs: number;
  let pressure: PressureLevel;
  let told: unknown[][];

  beforeEach(async () => {
    server = await RedisServer.start();
    redis = await lab.ready(server.url);
    nowMs = 5_000_000;
    pressure = 0;
    told = [];
  });
  afterEach(async () => {
    lab.dispose();
    await server.remove();
  });

  function upkeep(options: Partial<UpkeepOptions> = {}): StreamUpkeep {
    return new StreamUpkeep({
      redis,
      partitions: 1,
      clock: { nowMs: () => nowMs },
      pressure: () => pressure,
      observer: {
        groupMade: (...args) => told.push(['groupMade', ...args]),
        trimmed: (...args) => told.push(['trimmed', ...args]),
        consumersRemoved: (...args) => told.push(['consumersRemoved', ...args]),
        orphaned: (...args) => told.push(['orphaned', ...args]),
        failed: (stream, error) => told.push(['failed', stream, (error as Error).message]),
      },
      ...options,
    });
  }

  const add = (stream: string, count: number) =>
    addAll(
      redis,
      Array.from({ length: count }, () => ({ stream, fields: { body: 'x' } })),
    );
  const idsOf = async (stream: string) => (await redis.xrange(stream, '-', '+')).map(([id]) => id);

  /** Reads as many as are there, and acknowledges those at these places. */
  async function readAndAck(stream: string, group: string, count: number, isAcked: (at: number) => boolean) {
    const request = { streams: [stream], group, consumer: 'one', count };
    const entries = (await readNew(redis, request)).get(stream) ?? [];
    const ids = entries.map(({ id }) => id);
    await ack(
      redis,
      stream,
      group,
      ids.filter((_, at) => isAcked(at)),
    );
    return ids;
  }

  test('makes the groups, and says so louder where they were there before', async () => {
    const streams = upkeep();
    await streams.round();
    const made = [
      ['groupMade', 'axioms-high', COMPLIANCE_GROUP, false],
      ['groupMade', 'axioms', COMPLIANCE_GROUP, false],
      ['groupMade', 'journal-0', JOURNAL_GROUP, false],
    ];
    expect(told.toSorted()).toEqual(made.toSorted());
    await streams.round();
    expect(told).toHaveLength(3);
    told = [];
    await server.kill();
    await server.startAgain();
    // Before the round somebody already adds: the group must be given this too.
    await redis.ping().catch(() => {});
    await add(AXIOMS, 2);
    await streams.round();
    expect(told.toSorted()).toEqual(made.map((one) => [...one.slice(0, 3), true]).toSorted());
    expect(await groupsOf(redis, AXIOMS)).toMatchObject([{ name: COMPLIANCE_GROUP, lag: 2, pending: 0 }]);
  });

  test('trims what all groups have acknowledged, exactly up to the first that one has not', async () => {
    const stream = journalStream(0);
    const ids = await add(stream, 6);
    await ensureGroup(redis, stream, JOURNAL_GROUP);
    await ensureGroup(redis, stream, 'copy');
    const streams = upkeep({ keepMs: 0 });
    await streams.round();
    expect(await idsOf(stream)).toEqual(ids);
    await readAndAck(stream, JOURNAL_GROUP, 6, () => true);
    await streams.round();
    expect(await idsOf(stream)).toEqual(ids);
    await readAndAck(stream, 'copy', 4, (at) => at !== 2);
    await streams.round();
    expect(await idsOf(stream)).toEqual(ids.slice(2));
    await ack(redis, stream, 'copy', [ids[2] as string]);
    await streams.round();
    expect(await idsOf(stream)).toEqual(ids.slice(4));
    await readAndAck(stream, 'copy', 2, () => true);
    await streams.round();
    expect(await length(redis, stream)).toBe(0);
    expect(told.filter(([what]) => what === 'trimmed').map((one) => one[2])).toEqual([2, 2, 2]);
    // Redis still knows how far behind the groups are.
    await add(stream, 1);
    expect((await groupsOf(redis, stream)).map(({ lag }) => lag)).toEqual([1, 1]);
  });

  test('keeps what is done for a while, but not under pressure', async () => {
    const stream = journalStream(0);
    await ensureGroup(redis, stream, JOURNAL_GROUP);
    const [seconds] = await redis.time();
    const oldMs = (Number(seconds) - 700) * 1_000;
    await redis.xadd(stream, `${oldMs}-0`, 'body', 'x');
    const [young] = await add(stream, 1);
    await readAndAck(stream, JOURNAL_GROUP, 2, () => true);
    const streams = upkeep();
    await streams.round();
    expect(await idsOf(stream)).toEqual([young]);
    pressure = 1;
    // An entry of the millisecond that it is now stays.
    const timeMs = async () => {
      const [seconds, micros] = await redis.time();
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    };
    while ((await timeMs()) <= Number(young?.split('-')[0])) await redis.ping();
    await streams.round();
    expect(await idsOf(stream)).toEqual([]);
  });

  test('trims in a Redis that is full', async () => {
    const stream = journalStream(0);
    await ensureGroup(redis, stream, JOURNAL_GROUP);
    await ensureGroup(redis, AXIOMS, COMPLIANCE_GROUP);
    const ids = await add(stream, 3);
    await readAndAck(stream, JOURNAL_GROUP, 2, () => true);
    await redis.config('SET', 'maxmemory', '1mb');
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
    await expect(add(stream, 1)).rejects.toThrow('OOM');
    await upkeep({ keepMs: 0 }).round();
    expect(await idsOf(stream)).toEqual(ids.slice(2));
  });

  test('trims nothing where the group of the service is not there, whatever others have read', async () => {
    const stream = journalStream(0);
    const ids = await add(stream, 2);
    await ensureGroup(redis, stream, 'copy');
    await readAndAck(stream, 'copy', 2, () => true);
    await redis.config('SET', 'maxmemory', '1mb');
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
    await upkeep({ keepMs: 0 }).round();
    expect(await idsOf(stream)).toEqual(ids);
    expect(told).toContainEqual(['failed', 'journal-0', expect.stringContaining('OOM')]);
  });

  test('a group that was moved back gets what is still there, and nothing of it is trimmed', async () => {
    const stream = journalStream(0);
    await ensureGroup(redis, stream, JOURNAL_GROUP);
    const ids = await add(stream, 4);
    await readAndAck(stream, JOURNAL_GROUP, 4, (at) => at !== 3);
    await redis.xgroup('SETID', stream, JOURNAL_GROUP, ids[0] as string);
    await upkeep({ keepMs: 0 }).round();
    expect(await idsOf(stream)).toEqual(ids.slice(1));
  });

  test('removes consumers that are gone, and none that has something pending', async () => {
    await ensureGroup(redis, AXIOMS, COMPLIANCE_GROUP);
    await add(AXIOMS, 2);
    await readAndAck(AXIOMS, COMPLIANCE_GROUP, 1, () => true);
    await readNew(redis, { streams: [AXIOMS], group: COMPLIANCE_GROUP, consumer: 'busy', count: 1 });
    await upkeep().round();
    expect(told.filter(([what]) => what === 'consumersRemoved')).toEqual([]);
    // A real hour is not to be waited for; idle means longer than this.
    await upkeep({ consumerIdleMs: -1 }).round();
    expect(told.filter(([what]) => what === 'consumersRemoved')).toEqual([['consumersRemoved', 'axioms', ['one']]]);
    const request = { stream: AXIOMS, group: COMPLIANCE_GROUP, consumer: 'busy', afterId: '0', count: 5 };
    expect((await readPending(redis, request)).entries).toHaveLength(1);
  });

  test('tells of a partition whose events wait while nobody holds it', async () => {
    const stream = journalStream(0);
    const streams = upkeep();
    const orphans = () => told.filter(([what]) => what === 'orphaned');
    await streams.round();
    nowMs += 100_000;
    await streams.round();
    expect(orphans()).toEqual([]);
    await add(stream, 3);
    await redis.set(leaseKey(0), 'worker');
    await streams.round();
    nowMs += 100_000;
    await streams.round();
    expect(orphans()).toEqual([]);
    await redis.del(leaseKey(0));
    await streams.round();
    nowMs += 59_999;
    await streams.round();
    expect(orphans()).toEqual([]);
    nowMs += 1;
    await streams.round();
    expect(orphans()).toEqual([['orphaned', 0, 60_000, 3]]);
    await redis.set(leaseKey(0), 'worker');
    await streams.round();
    await redis.del(leaseKey(0));
    await streams.round();
    expect(orphans()).toHaveLength(1);
  });

  test('looks after the other streams where one cannot be, and goes on by itself', async () => {
    await redis.set(AXIOMS, 'no stream');
    await upkeep().round();
    expect(told.filter(([what]) => what === 'failed')).toEqual([
      ['failed', 'axioms', expect.stringContaining('WRONGTYPE')],
    ]);
    expect(told.filter(([what]) => what === 'groupMade')).toHaveLength(2);
  });
});
