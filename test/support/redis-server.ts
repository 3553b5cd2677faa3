import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { redisServerPath } from '../../scripts/redis-server.mjs';

const HOST = '127.0.0.1';
const SLOTS = 16_384;

export type RedisServerOptions = {
  /** Keeps what it answered when it is killed (appendfsync always). Otherwise it starts again empty. */
  appendonly?: boolean;
  /** More of its configuration, as arguments: `['--maxmemory', '10mb']`. */
  config?: readonly string[];
};

/** A real Redis on loopback, with a directory of its own. */
export class RedisServer {
  readonly dir = mkdtempSync(join(tmpdir(), 'indelible-redis-'));
  readonly port: number;
  readonly url: string;
  readonly #options: RedisServerOptions;
  #process: ChildProcess | undefined;

  private constructor(port: number, options: RedisServerOptions) {
    this.port = port;
    this.url = `redis://${HOST}:${port}`;
    this.#options = options;
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), options);
    await server.startAgain();
    return server;
  }

  /** Starts it over the same directory, on the same port; resolves when it answers. */
  async startAgain(): Promise<void> {
    const log = this.#options.appendonly === true ? ['yes', '--appendfsync', 'always'] : ['no'];
    const args = ['--port', String(this.port), '--bind', HOST, '--dir', this.dir, '--save', '', '--appendonly', ...log];
    const path = redisServerPath();
    if (path === undefined) throw new Error('there is no redis-server');
    const child = spawn(path, [...args, ...(this.#options.config ?? [])], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text) => {
        said += text;
      });
    this.#process = child;
    if (!(await answers(this.port, () => child.exitCode === null))) throw new Error(`redis-server ended: ${said}`);
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGSTOP: its connections stay, and nothing is answered. */
  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A Redis Cluster of three nodes that share the slots, without replicas. */
export class RedisCluster {
  readonly nodes: readonly RedisServer[];
  readonly url: string;

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
    this.url = `redis-cluster://${nodes.map(({ port }) => `${HOST}:${port}`).join(',')}`;
  }

  static async start(): Promise<RedisCluster> {
    const busPorts = [await freePort(), await freePort(), await freePort()];
    const nodes = await Promise.all(
      busPorts.map((port) =>
        RedisServer.start({ config: ['--cluster-enabled', 'yes', '--cluster-port', String(port)] }),
      ),
    );
    const clients = nodes.map(({ port }) => new Redis({ host: HOST, port }));
    try {
      for (const [index, client] of clients.entries()) {
        const from = Math.ceil((index * SLOTS) / nodes.length);
        const until = Math.ceil(((index + 1) * SLOTS) / nodes.length);
        await client.cluster('ADDSLOTSRANGE', from, until - 1);
        if (index > 0) await client.call('CLUSTER', 'MEET', HOST, nodes[0]?.port ?? 0, busPorts[0] ?? 0);
      }
      for (const client of clients) await isWhole(client, nodes.length);
    } finally {
      for (const client of clients) client.disconnect();
    }
    return new RedisCluster(nodes);
  }

  async remove(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.remove()));
  }
}

/** Resolves when the node knows all the others, and who has each slot. */
async function isWhole(client: Redis, nodes: number): Promise<void> {
  for (;;) {
    const info = String(await client.cluster('INFO'));
    if (info.includes('cluster_state:ok') && info.includes(`cluster_size:${nodes}`)) return;
    await sleep(20);
  }
}

/**
 * Below the ports that the system gives to outgoing connections: a client that tries again and again to reach a server
 * that is down would otherwise now and then be given the server's own port, and be connected to itself.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      server.listen(port, HOST, () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

/** Whether it comes to answer; false: it ended before. */
async function answers(port: number, isRunning: () => boolean): Promise<boolean> {
  while (isRunning()) {
    const hasAnswered = await new Promise<boolean>((resolve) => {
      let isUp = false;
      const socket = connect(port, HOST, () => socket.write('PING\r\n'));
      socket.once('error', () => socket.destroy());
      socket.once('data', (reply) => {
        // Anything but that it still reads its log: one with a password answers that it wants it.
        isUp = !String(reply).startsWith('-LOADING');
        socket.destroy();
      });
      socket.once('close', () => setTimeout(resolve, isUp ? 0 : 10, isUp));
    });
    if (hasAnswered) return true;
  }
  return false;
}
