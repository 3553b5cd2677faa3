import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import type { Redis } from '../../../src/cluster/redis/index.ts';
import { RedisLock } from '../../../src/cluster/upkeep/redis-lock.ts';
import { systemRandom } from '../../../src/system.ts';
import { RedisLab } from '../../support/redis-lab.ts';
import { RedisServer } from '../../support/redis-server.ts';

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('a lock in Redis', () => {
  const lab = new RedisLab();
  let server: RedisServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await RedisServer.start();
    redis = await lab.ready(server.url);
  });
  afterAll(async () => {
    lab.dispose();
    await server.remove();
  });

  const lockOf = (key: string, expiryMs: number) => new RedisLock(redis, key, { random: systemRandom, expiryMs });

  test('is held by one, renewed while the work lasts, and released after it', async () => {
    const lock = lockOf('renewed', 600);
    const ran = await lock.run(async (lost) => {
      // The time left never grows by itself.
      let least = Number.POSITIVE_INFINITY;
      await vi.waitFor(
        async () => {
          const left = await redis.pttl('renewed');
          const isRenewed = left > least;
          least = Math.min(least, left);
          expect(isRenewed).toBe(true);
        },
        { timeout: 10_000, interval: 10 },
      );
      expect(await lockOf('renewed', 600).run(async () => expect.unreachable())).toBe(false);
      expect(lost.aborted).toBe(false);
    });
    expect(ran).toBe(true);
    expect(await redis.exists('renewed')).toBe(0);
  });

  test('is released where the work fails', async () => {
    const lock = lockOf('failed', 60_000);
    await expect(lock.run(() => Promise.reject(new Error('it failed')))).rejects.toThrow('it failed');
    expect(await redis.exists('failed')).toBe(0);
  });

  test('tells the work when another has it', async () => {
    await lockOf('lost', 300).run(async (lost) => {
      await redis.set('lost', 'another');
      await vi.waitFor(() => expect(lost.aborted).toBe(true), { timeout: 10_000, interval: 10 });
    });
    expect(await redis.get('lost')).toBe('another');
  });
});
