import type { Redis as RedisClient } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import {
  addAll,
  COMPLIANCE_GROUP,
  ensureGroup,
  JOURNAL_GROUP,
  length,
  type Redis,
  readNew,
} from '../../../src/cluster/redis/index.ts';
import * as names from '../../../src/cluster/redis/names.ts';
import { RedisLab } from '../../support/redis-lab.ts';
import { RedisCluster, RedisServer } from '../../support/redis-server.ts';

const { AXIOMS, AXIOMS_HIGH, committedKey, journalStream, judgedKey, leaseKey, replyChannel, replyKey } = names;

/** Names that belong to no partition. */
const others: unknown[] = [judgedKey, replyChannel, replyKey];
/** All others that are made for a partition: one that is added is among them. */
const namesOf = (partition: number) =>
  Object.values(names).flatMap((name) =>
    typeof name === 'function' && !others.includes(name) ? [(name as (partition: number) => string)(partition)] : [],
  );

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('names in a Redis Cluster', () => {
  const lab = new RedisLab();
  let cluster: RedisCluster;
  let redis: Redis;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
    redis = await lab.ready(cluster.url);
  });
  afterAll(async () => {
    lab.dispose();
    await cluster.remove();
  });
  const slotOf = (name: string) => (redis as RedisClient).cluster('KEYSLOT', name);
  const slotsOf = async (all: readonly string[]) => new Set(await Promise.all(all.map(slotOf)));

  it('of one partition lie in one slot, and partitions in different ones', async () => {
    expect(namesOf(3)).toEqual(expect.arrayContaining([journalStream(3), leaseKey(3), committedKey(3)]));
    expect((await slotsOf(namesOf(3))).size).toBe(1);
    expect((await slotsOf(Array.from({ length: 64 }, (_, partition) => journalStream(partition)))).size).toBe(64);
  });

  it('of both streams of axioms lie in one slot', async () => {
    expect((await slotsOf([AXIOMS, AXIOMS_HIGH])).size).toBe(1);
    await ensureGroup(redis, AXIOMS, COMPLIANCE_GROUP);
    await ensureGroup(redis, AXIOMS_HIGH, COMPLIANCE_GROUP);
    await addAll(redis, [
      { stream: AXIOMS, fields: { n: '1' } },
      { stream: AXIOMS_HIGH, fields: { n: '2' } },
    ]);
    const streams = [AXIOMS_HIGH, AXIOMS];
    const found = await readNew(redis, { streams, group: COMPLIANCE_GROUP, consumer: 'a', count: 10, blockMs: 10 });
    expect([...found.keys()]).toEqual(streams);
  });

  it('of a partition can be changed together with its stream', async () => {
    await ensureGroup(redis, journalStream(5), JOURNAL_GROUP);
    const multi = (redis as RedisClient).multi().xadd(journalStream(5), '*', 'n', '1').set(committedKey(5), '1-0');
    expect(await multi.exec()).toEqual([
      [null, expect.stringMatching(/^\d+-\d+$/)],
      [null, 'OK'],
    ]);
    const apart = addAll(redis, [
      { stream: journalStream(5), fields: { n: '2' } },
      { stream: journalStream(6), fields: { n: '2' } },
    ]);
    await expect(apart).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await length(redis, journalStream(5))).toBe(1);
  });
});

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('one entry', () => {
  it('is added without a transaction', async () => {
    const server = await RedisServer.start();
    const lab = new RedisLab();
    try {
      const redis = (await lab.ready(server.url)) as RedisClient;
      await addAll(redis, [{ stream: AXIOMS, fields: { n: '1' } }]);
      const stats = () => redis.info('commandstats');
      expect(await stats()).toContain('cmdstat_xadd:calls=1');
      expect(await stats()).not.toContain('cmdstat_multi');
      await addAll(
        redis,
        ['2', '3'].map((n) => ({ stream: AXIOMS, fields: { n } })),
      );
      expect(await stats()).toContain('cmdstat_multi:calls=1');
    } finally {
      lab.dispose();
      await server.remove();
    }
  });
});
