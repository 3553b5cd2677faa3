import { inspect } from 'node:util';
import type { Redis as RedisClient } from 'ioredis';
import { pino } from 'pino';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import { IndelibleError } from '../../../journal/index.ts';
import {
  ack,
  addAll,
  ensureGroup,
  length,
  NoGroupError,
  openRedis,
  readNew,
  readPending,
} from '../../../src/cluster/redis/index.ts';
import { LossyProxy } from '../../support/lossy-proxy.ts';
import { RedisLab } from '../../support/redis-lab.ts';
import { RedisCluster, RedisServer, type RedisServerOptions } from '../../support/redis-server.ts';

const stream = 'events';
const group = 'workers';
const request = { streams: [stream], group, consumer: 'a', count: 10 };
const one = [{ stream, fields: { value: '1' } }];
const unavailable = { name: 'IndelibleError', kind: 'unavailable', retryAfterS: expect.any(Number) };
/** How long a connection may take to be back. */
const back = { timeout: 15_000, interval: 50 };

const lab = new RedisLab();
afterEach(() => lab.dispose());

async function startServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await RedisServer.start(options);
  onTestFinished(() => server.remove());
  return server;
}

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('a connection for commands', () => {
  it('fails while Redis is away, and works again once it is back', async () => {
    const server = await startServer({ appendonly: true });
    const redis = lab.open(server.url);
    await addAll(redis, one);
    await server.kill();
    await expect(length(redis, stream)).rejects.toMatchObject(unavailable);
    await expect(addAll(redis, [...one, ...one])).rejects.toMatchObject(unavailable);
    await server.startAgain();
    await vi.waitFor(() => addAll(redis, one), back);
    expect(await length(redis, stream)).toBeGreaterThanOrEqual(2);
  });

  it('fails where nobody listens from the beginning', async () => {
    const server = await startServer();
    await server.kill();
    const redis = lab.open(server.url);
    await expect(length(redis, stream)).rejects.toMatchObject(unavailable);
    await server.startAgain();
    await vi.waitFor(async () => expect(await length(redis, stream)).toBe(0), back);
  });

  it('fails while Redis does not answer', async () => {
    const server = await startServer();
    const redis = lab.open(server.url);
    await addAll(redis, one);
    server.pause();
    await expect(length(redis, stream)).rejects.toMatchObject(unavailable);
    server.resume();
    await vi.waitFor(async () => expect(await length(redis, stream)).toBe(1), back);
  });

  it('fails while all nodes of a cluster are away, and works again once they are back', async () => {
    const cluster = await RedisCluster.start();
    onTestFinished(() => cluster.remove());
    const redis = await lab.ready(cluster.url);
    await addAll(redis, one);
    for (const node of cluster.nodes) await node.kill();
    await expect(length(redis, stream)).rejects.toMatchObject(unavailable);
    await expect(addAll(redis, [...one, ...one])).rejects.toMatchObject(unavailable);
    for (const node of cluster.nodes) await node.startAgain();
    await vi.waitFor(() => addAll(redis, one), back);
    expect(await length(redis, stream)).toBe(1);
  });

  it('says who it is, and that it is away, once', async () => {
    const server = await startServer({ config: ['--requirepass', 'secret/of:the@tests'] });
    const lines: Record<string, unknown>[] = [];
    const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) });
    const url = `redis://default:${encodeURIComponent('secret/of:the@tests')}@127.0.0.1:${server.port}/2`;
    const redis = openRedis({ url, log, name: 'web-1' }, 'commands') as RedisClient;
    onTestFinished(() => redis.disconnect());
    expect(await redis.client('INFO')).toMatch(/ name=web-1 .* db=2 /);
    await server.kill();
    for (let attempt = 0; attempt < 2; attempt += 1) await expect(length(redis, stream)).rejects.toThrow();
    await server.startAgain();
    await vi.waitFor(() => length(redis, stream), back);
    const words = lines.map(({ msg }) => String(msg));
    expect(words).toEqual(['connected to redis', expect.stringMatching(/away|closed/), 'connected to redis']);
    expect(JSON.stringify(lines)).not.toContain('secret');
  });

  it('is refused by name where the password is wrong', async () => {
    const server = await startServer({ config: ['--requirepass', 'right'] });
    const redis = lab.open(`redis://:a-password@127.0.0.1:${server.port}`);
    const error = await length(redis, stream).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ ...unavailable, message: expect.stringContaining('WRONGPASS') });
    expect(inspect(error, { depth: 9 })).not.toMatch(/a-password|args/);
  });

  it('keeps what was sent out of its errors', async () => {
    const server = await startServer();
    const redis = lab.open(server.url) as RedisClient;
    await redis.set(stream, 'no stream');
    const added = [{ stream, fields: { body: 'a-body' } }];
    const errors = [addAll(redis, added), addAll(redis, [...added, ...added]), readNew(redis, request)];
    for (const failed of errors) {
      const error = await failed.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(IndelibleError);
      expect(inspect(error, { depth: 9 })).not.toMatch(/a-body|args/);
    }
  });
});

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('a connection for blocking reads', () => {
  /** As consumers do: what is pending first, then what is new, from the beginning after every failure. */
  async function readUntil(url: string, enough: (values: readonly string[]) => boolean): Promise<string[]> {
    const redis = lab.open(url, 'blocking');
    const values: string[] = [];
    while (!enough(values)) {
      try {
        const pending = await readPending(redis, { stream, group, consumer: 'a', afterId: '0', count: 10 });
        const fresh =
          pending.entries.length > 0
            ? pending.entries
            : (await readNew(redis, { ...request, blockMs: 1_000 })).get(stream);
        for (const { id, fields } of fresh ?? []) {
          await ack(redis, stream, group, [id]);
          values.push(String(fields.get('value')));
        }
      } catch (error) {
        expect(error).toMatchObject({ kind: 'unavailable' });
      }
    }
    return values;
  }

  it('goes on by itself after Redis was away', async () => {
    const server = await startServer({ appendonly: true });
    const commands = lab.open(server.url);
    await ensureGroup(commands, stream, group);
    const reading = readUntil(server.url, (values) => values.at(-1) === 'last');
    await addAll(commands, one);
    await server.kill();
    await expect(addAll(commands, one)).rejects.toMatchObject(unavailable);
    await server.startAgain();
    await vi.waitFor(() => addAll(commands, [{ stream, fields: { value: 'last' } }]), back);
    expect((await reading).filter((value) => value !== '1')).toContain('last');
  });

  it('says that it may have lost what was delivered, which is pending then', async () => {
    const server = await startServer();
    const proxy = await LossyProxy.start(server.port);
    onTestFinished(() => proxy.close());
    const commands = lab.open(server.url);
    const reader = await lab.ready(`redis://127.0.0.1:${proxy.port}`, 'blocking');
    await ensureGroup(commands, stream, group);
    proxy.losesAnswers = true;
    const reading = readNew(reader, { ...request, blockMs: 9_000 });
    reading.catch(() => {});
    const [lost] = await addAll(commands, one);
    await vi.waitFor(() => expect(proxy.lostBytes).toBeGreaterThan(0), back);
    proxy.losesAnswers = false;
    proxy.cut();
    await expect(reading).rejects.toMatchObject(unavailable);
    const [next] = await addAll(commands, one);
    const pending = await vi.waitFor(
      () => readPending(reader, { stream, group, consumer: 'a', afterId: '0', count: 10 }),
      back,
    );
    expect(pending.entries.map(({ id }) => id)).toEqual([lost]);
    expect((await readNew(reader, request)).get(stream)?.map(({ id }) => id)).toEqual([next]);
  });

  it('is given up where Redis does not answer, and made anew', async () => {
    const server = await startServer();
    const commands = lab.open(server.url);
    await ensureGroup(commands, stream, group);
    const reader = await lab.ready(server.url, 'blocking');
    server.pause();
    await expect(readNew(reader, { ...request, blockMs: 1_000 })).rejects.toMatchObject(unavailable);
    server.resume();
    await vi.waitFor(() => addAll(commands, one), back);
    const values = await readUntil(server.url, ({ length: count }) => count > 0);
    expect(values).toEqual(['1']);
  });

  it('of a cluster goes on by itself too', async () => {
    const cluster = await RedisCluster.start();
    onTestFinished(() => cluster.remove());
    const commands = await lab.ready(cluster.url);
    await ensureGroup(commands, stream, group);
    const reader = await lab.ready(cluster.url, 'blocking');
    const reading = readNew(reader, { ...request, blockMs: 9_000 });
    reading.catch(() => {});
    for (const node of cluster.nodes) await node.kill();
    await expect(reading).rejects.toMatchObject(unavailable);
    for (const node of cluster.nodes) await node.startAgain();
    await vi.waitFor(() => ensureGroup(commands, stream, group), back);
    await addAll(commands, one);
    expect(await readUntil(cluster.url, ({ length: count }) => count > 0)).toEqual(['1']);
    const found = await vi.waitFor(() => readNew(reader, { ...request, blockMs: 10 }), back);
    expect(found).toEqual(new Map());
  });

  it('finds no group in a Redis that came back empty', async () => {
    const server = await startServer();
    const redis = lab.open(server.url, 'blocking');
    await ensureGroup(redis, stream, group);
    await server.kill();
    await server.startAgain();
    const asked = async () => {
      const error = await readNew(redis, { ...request, blockMs: 10 }).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(NoGroupError);
    };
    await vi.waitFor(asked, back);
    expect(await ensureGroup(redis, stream, group)).toBe(true);
    expect(await readNew(redis, { ...request, blockMs: 10 })).toEqual(new Map());
  });
});

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('a connection for subscriptions', () => {
  it('makes them again after Redis was away', async () => {
    const server = await startServer();
    const subscriber = lab.open(server.url, 'subscriber');
    const commands = lab.open(server.url);
    const heard: string[] = [];
    subscriber.on('message', (_channel: string, message: string) => heard.push(message));
    await subscriber.subscribe('replies');
    await commands.publish('replies', 'before');
    await vi.waitFor(() => expect(heard).toEqual(['before']), back);
    await server.kill();
    await server.startAgain();
    await vi.waitFor(async () => expect(await commands.publish('replies', 'after')).toBe(1), back);
    await vi.waitFor(() => expect(heard).toEqual(['before', 'after']), back);
  });
});

describe('the URL of Redis', () => {
  it('is refused in plain words, without its password', () => {
    const bad = [
      'http://localhost:6379',
      'redis://',
      'redis://a:1,b:2',
      'redis://user:secret@host:port',
      'redis-cluster://:secret@a:1,b:x',
      'redis://host:1/name',
    ];
    for (const url of bad) {
      const open = () => lab.open(url);
      expect(open, url).toThrow(/redis:\/\/host:port, rediss:\/\/host:port or redis-cluster:/);
      expect(open, url).not.toThrow(/secret/);
    }
  });
});
