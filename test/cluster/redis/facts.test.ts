import type { Redis as RedisClient } from 'ioredis';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import { checkRedis, readFacts } from '../../../src/cluster/redis/index.ts';
import { RedisLab } from '../../support/redis-lab.ts';
import { RedisCluster, RedisServer, type RedisServerOptions } from '../../support/redis-server.ts';

const lab = new RedisLab();
afterEach(() => lab.dispose());

async function startServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await RedisServer.start(options);
  onTestFinished(() => server.remove());
  return server;
}

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('what the service has to know of Redis', () => {
  const version = expect.stringMatching(/^\d+\.\d+\.\d+$/);

  it('is what a write survives', async () => {
    const always = await startServer({ appendonly: true });
    expect(await checkRedis(lab.open(always.url))).toEqual({ version, durability: 'always' });
    const redis = lab.open(always.url) as RedisClient;
    for (const setting of ['everysec', 'no']) {
      await redis.config('SET', 'appendfsync', setting);
      expect(await checkRedis(redis)).toEqual({ version, durability: setting });
    }
    await redis.config('SET', 'appendfsync', 'always', 'appendonly', 'no');
    expect(await checkRedis(redis)).toEqual({ version, durability: 'no' });
  });

  it('is not known where CONFIG is refused', async () => {
    const server = await startServer({ appendonly: true });
    const admin = lab.open(server.url) as RedisClient;
    await admin.acl('SETUSER', 'app', 'on', '>word', '~*', '&*', '+@all', '-config');
    const url = `redis://app:word@127.0.0.1:${server.port}`;
    expect(await checkRedis(lab.open(url))).toEqual({ version, durability: 'unknown' });
    const renamed = await startServer({ appendonly: true, config: ['--rename-command', 'CONFIG', ''] });
    expect(await checkRedis(lab.open(renamed.url))).toEqual({ version, durability: 'unknown' });
  });

  it('is that nothing is evicted, or how to have it so', async () => {
    const server = await startServer({ config: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] });
    const redis = lab.open(server.url) as RedisClient;
    await expect(checkRedis(redis)).rejects.toThrow(/allkeys-lru.*CONFIG SET maxmemory-policy noeviction/);
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
    expect(await checkRedis(redis)).toEqual({ version, durability: 'no' });
  });

  it('is told by every node of a cluster', async () => {
    const cluster = await RedisCluster.start();
    onTestFinished(() => cluster.remove());
    const nodes = cluster.nodes.map(({ url }) => lab.open(url) as RedisClient);
    for (const node of nodes) await node.config('SET', 'appendonly', 'yes', 'appendfsync', 'always');
    expect(await checkRedis(lab.open(cluster.url))).toEqual({ version, durability: 'always' });
    await nodes[2]?.config('SET', 'appendfsync', 'everysec');
    expect(await checkRedis(lab.open(cluster.url))).toEqual({ version, durability: 'everysec' });
    await nodes[1]?.config('SET', 'maxmemory-policy', 'volatile-ttl');
    await expect(checkRedis(lab.open(cluster.url))).rejects.toThrow('volatile-ttl');
  });

  it('is that it is there', async () => {
    const server = await startServer();
    await server.kill();
    await expect(checkRedis(lab.open(server.url))).rejects.toMatchObject({ kind: 'unavailable' });
    const cluster = lab.open(server.url.replace('redis:', 'redis-cluster:'));
    await expect(checkRedis(cluster)).rejects.toMatchObject({ kind: 'unavailable' });
  });
});

describe('INFO', () => {
  const info = (version: string) =>
    `# Server\r\nredis_version:${version}\r\nvalkey_version:8.1.0\r\n# Memory\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n`;

  it('names a version that is new enough, of Valkey the one that it is compatible with', () => {
    expect(readFacts(info('7.2.4'), 'always')).toEqual({ version: '7.2.4', durability: 'always' });
    expect(readFacts(info('10.0.0'), 'sometimes')).toEqual({ version: '10.0.0', durability: 'unknown' });
  });

  it('of an old version, or of none, is refused', () => {
    for (const version of ['6.2.14', '2.8.0', ''])
      expect(() => readFacts(info(version), 'always')).toThrow(/too old: use/);
    expect(() => readFacts('', undefined)).toThrow('Redis unknown is too old');
  });
});
