/** Our service as a cluster on this machine: a Redis that keeps what it answers, and a process for each role. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installRedisServer, redisServerPath } from '../../scripts/redis-server.mjs';
import { type Child, start, waitFor } from './children.ts';
import { freePort } from './free-port.ts';
import { type Service, startService } from './service.ts';

const SETTLED_WITHIN_MS = 60_000;
const LOOK_MS = 100;

export type RoleProcesses = {
  readonly web: Service;
  readonly workers: readonly Service[];
  readonly redis: Child;
  stop(): Promise<void>;
};

/** One web and so many workers over a new Redis and a new store; resolves when they share the partitions fairly. */
export async function startRoles(
  directory: string,
  shape: { workers: number; partitions: number; env: Record<string, string> },
): Promise<RoleProcesses> {
  mkdirSync(directory, { recursive: true });
  const { redis, url } = await startRedis(directory);
  const key = randomBytes(24).toString('hex');
  const shared = {
    ...shape.env,
    INDELIBLE_REDIS_URL: url,
    INDELIBLE_STORE: join(directory, 'store'),
    INDELIBLE_SECRET: randomBytes(32).toString('hex'),
    INDELIBLE_PARTITIONS: String(shape.partitions),
  };
  const startRole = async (role: string, name: string): Promise<Service> =>
    startService(join(directory, name), await freePort(), { env: { ...shared, INDELIBLE_ROLE: role } }, key);
  const web = await startRole('web', 'web');
  const workers: Service[] = [];
  for (let index = 0; index < shape.workers; index += 1) workers.push(await startRole('worker', `worker-${index}`));
  await partitionsShared(workers, shape.partitions);
  return {
    ...{ web, workers, redis },
    async stop() {
      await Promise.all([web, ...workers].map(({ child }) => child.stop()));
      await redis.stop();
    },
  };
}

async function startRedis(directory: string): Promise<{ redis: Child; url: string }> {
  installRedisServer();
  const path = redisServerPath();
  if (path === undefined) throw new Error('there is no redis-server');
  const port = await freePort();
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory];
  const durable = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always'];
  const redis = start(path, [...place, ...durable], { logPath: join(directory, 'redis.log') });
  await waitFor(redis, 'Redis', () => accepts(port));
  return { redis, url: `redis://127.0.0.1:${port}` };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Each partition has its worker, and no worker more than its share. */
async function partitionsShared(workers: readonly Service[], partitions: number): Promise<void> {
  const share = Math.ceil(partitions / workers.length);
  for (const untilMs = performance.now() + SETTLED_WITHIN_MS; performance.now() < untilMs; await sleep(LOOK_MS)) {
    const held = await Promise.all(workers.map(partitionsHeld));
    const sum = held.reduce((all, one) => all + one, 0);
    if (sum === partitions && held.every((one) => one <= share)) return;
  }
  throw new Error('the workers did not come to share the partitions');
}

async function partitionsHeld({ url, headers }: Service): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers })).text();
  return Number(/^indelible_partitions_held (\d+)$/m.exec(text)?.[1] ?? 0);
}
