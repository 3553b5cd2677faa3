import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agreePartitions, partitionOf } from '../../../src/cluster/partitions/partition-of.ts';
import { PARTITIONS } from '../../../src/cluster/redis/index.ts';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import { RedisServer } from '../../support/redis-server.ts';
import { connect } from './lease-lab.ts';

describe('the partition of a workspace', () => {
  it.each([
    // The numbers are those that sha256sum prints.
    ['acme', 0x822b33ad],
    ['_system', 0xee3df397],
    ['a', 0xca978112],
    ['wörk', 0x8c4ff7cc],
  ])('of %s is what the format says', (workspace, number) => {
    for (const partitions of [1, 2, 16, 1_000]) expect(partitionOf(workspace, partitions)).toBe(number % partitions);
  });

  it('is one of those that there are, and each has some', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 9_999 }), (workspace, partitions) => {
        const partition = partitionOf(workspace, partitions);
        expect(Number.isInteger(partition) && partition >= 0 && partition < partitions).toBe(true);
      }),
    );
    const found = new Set(Array.from({ length: 1_000 }, (_, index) => partitionOf(`workspace-${index}`, 16)));
    expect(found.size).toBe(16);
  });
});

// reason: there is no redis-server 7 or newer; where CI is set the run has failed before.
describe.skipIf(!hasRedisServer())('the number of partitions', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.remove());

  it('is decided by whoever asks first; another number is refused by the name of the setting', async () => {
    const redis = connect(server.url);
    await agreePartitions(redis, 12);
    await agreePartitions(redis, 12);
    await expect(agreePartitions(redis, 13)).rejects.toThrow(/has 12 partitions, not 13: set INDELIBLE_PARTITIONS=12/);
    expect(await redis.get(PARTITIONS)).toBe('12');
    redis.disconnect();
  });

  it('is not known while Redis is away', async () => {
    const redis = connect(server.url);
    redis.disconnect();
    await expect(agreePartitions(redis, 12)).rejects.toMatchObject({ kind: 'unavailable' });
  });
});
