import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import {
  ack,
  addAll,
  AXIOMS,
  AXIOMS_HIGH,
  COMPLIANCE_GROUP,
  JOURNAL_GROUP,
  journalStream,
  readNew,
  type Redis,
} from '../../../src/cluster/redis/index.ts';
import { DeadLetters, Reclaimer, StreamAdmin, StreamUpkeep } from '../../../src/cluster/upkeep/index.ts';
import { systemRandom } from '../../../src/system.ts';
import { RedisLab } from '../../support/redis-lab.ts';
import { RedisCluster } from '../../support/redis-server.ts';

const PARTITIONS = 6;

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('in a Redis Cluster, whose nodes share the streams', () => {
  const lab = new RedisLab();
  const failures: unknown[] = [];
  const failed = (...args: unknown[]) => void failures.push(args);
  let cluster: RedisCluster;
  let redis: Redis;
  let letters: DeadLetters;
  let upkeep: StreamUpkeep;
  let admin: StreamAdmin;

  beforeAll(async () => {
    cluster = await RedisCluster.start();
    redis = await lab.ready(cluster.url);
    letters = new DeadLetters(redis);
    const shared = { redis, partitions: PARTITIONS, pressure: () => 0 as const };
    upkeep = new StreamUpkeep({ ...shared, clock: { nowMs: () => 0 }, keepMs: 0, observer: { failed } });
    admin = new StreamAdmin({ ...shared, deadLetters: letters });
    await upkeep.round();
  });
  afterAll(async () => {
    lab.dispose();
    await cluster.remove();
  });

  test('every stream is looked after, shown and replayed', async () => {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const stream = journalStream(partition);
      await addAll(redis, [
        { stream, fields: { body: 'x' } },
        { stream, fields: { body: 'y' } },
      ]);
      const request = { streams: [stream], group: JOURNAL_GROUP, consumer: 'writer', count: 1 };
      const [entry] = (await readNew(redis, request)).get(stream) ?? [];
      await ack(redis, stream, JOURNAL_GROUP, [entry?.id as string]);
    }
    await upkeep.round();
    const { streams } = await admin.streams();
    expect(streams).toHaveLength(PARTITIONS + 2);
    for (const { name, length, groups } of streams) {
      const isJournal = name.startsWith('journal-');
      expect([name, length, groups[0]?.lag]).toEqual([name, isJournal ? 1 : 0, isJournal ? 1 : 0]);
      expect(await admin.replay(name, { group: 'copy', from: '0' })).toEqual({ entries: length, created: true });
    }
    expect(failures).toEqual([]);
  });

  test('signals of both streams are taken over, and dead letters replayed from another node', async () => {
    for (const stream of [AXIOMS, AXIOMS_HIGH]) {
      await addAll(redis, [{ stream, fields: { body: stream } }]);
      await readNew(redis, { streams: [stream], group: COMPLIANCE_GROUP, consumer: 'gone', count: 1 });
    }
    const handled: string[] = [];
    const options = { redis, consumer: 'reclaimer', deadLetters: letters, random: systemRandom, idleMs: 0 };
    const reclaimer = new Reclaimer({
      ...options,
      deliveriesMax: 1,
      handle: async (_, stream) => void handled.push(stream),
      observer: { failed },
    });
    await reclaimer.round(new AbortController().signal);
    expect([failures, handled, await letters.depth()]).toEqual([[], [], 2]);
    const { dead_letters } = await admin.deadLetters({ cursor: undefined, limit: 10 });
    for (const { id } of dead_letters) await admin.replayDeadLetter(id);
    expect((await admin.streams()).streams.slice(0, 2).map(({ groups }) => groups[0]?.lag)).toEqual([1, 1]);
    expect(await letters.depth()).toBe(0);
  });
});
