import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { DirectoryStore, FollowedJournals, type ObjectStore, TermWriters } from '../../journal/index.ts';
import { type JournalLetter, JournalWorker, type WorkerObserver } from '../../src/cluster/partitions/index.ts';
import { openRedis, type Redis } from '../../src/cluster/redis/index.ts';
import { RedisWrites } from '../../src/cluster/writes.ts';
import { systemClock, systemRandom } from '../../src/system.ts';
import type { RedisServer } from './redis-server.ts';

export const LAB_PARTITIONS = 4;
const MEMORY_BYTES = 256 * 1024 * 1024;

export type NodeOptions = {
  store?: ObjectStore;
  worker?: boolean;
  leaseMs?: number;
  flushAgeMs?: number;
  flushEvents?: number;
  observer?: WorkerObserver;
};

/** One process of a cluster, in this one: journals that are followed, and perhaps a worker. */
export type ClusterNode = {
  journals: FollowedJournals;
  writes: RedisWrites;
  commands: Redis;
  worker: JournalWorker | undefined;
  letters: JournalLetter[];
  /** What its worker failed to seal with. */
  sealFailures: unknown[];
  /** Lets go of everything in peace. */
  stop(): Promise<void>;
  /** Does nothing more from now on, and says nothing to anybody. */
  vanish(): void;
};

/** A directory with a store that several nodes share, and a Redis. */
export class ClusterLab {
  readonly dir = mkdtempSync(join(tmpdir(), 'indelible-cluster-'));
  readonly store = new DirectoryStore(join(this.dir, 'store'));
  readonly partitions = LAB_PARTITIONS;
  readonly redis: RedisServer;
  readonly failures: unknown[] = [];
  readonly #nodes = new Set<ClusterNode>();
  #count = 0;

  constructor(redis: RedisServer) {
    this.redis = redis;
  }

  connect(use: 'commands' | 'blocking' | 'subscriber', name = 'lab'): Redis {
    return openRedis({ url: this.redis.url, log: pino({ level: 'silent' }), name }, use);
  }

  async open(options: NodeOptions = {}): Promise<ClusterNode> {
    this.#count += 1;
    const name = `node-${this.#count}`;
    const store = options.store ?? this.store;
    const dataDir = join(this.dir, name);
    const connections = [this.connect('commands', name), this.connect('subscriber', name)] as const;
    const readers: Redis[] = [];
    const [commands, subscriber] = connections;
    const shared = { clock: systemClock, random: systemRandom };
    const writes = new RedisWrites({
      ...shared,
      commands,
      subscriber,
      partitions: LAB_PARTITIONS,
      waitingEntries: () => 0,
    });
    const journals = await FollowedJournals.open({
      ...{ ...shared, dataDir, store, writes, takeOver: false, staleMs: 50, flushEvents: 1_000 },
      writerId: 'cluster-lab',
      cacheBytesMax: 1 << 30,
      engineMemoryBytes: MEMORY_BYTES,
      engineThreads: 1,
      compaction: { isAutomatic: false },
      observer: { followFailed: (error) => this.failures.push(error) },
    });
    const letters: JournalLetter[] = [];
    const sealFailures: unknown[] = [];
    const tempDir = join(dataDir, 'spool');
    mkdirSync(tempDir, { recursive: true });
    const { engine, storage } = journals;
    const writers = new TermWriters({
      ...{ ...storage, engine, tempDir, memoryLimitBytes: MEMORY_BYTES, threads: 1 },
      observer: { sealFailed: (error) => sealFailures.push(error) },
      settings: {
        flushEvents: options.flushEvents ?? 100_000,
        flushBytes: 1 << 26,
        flushAgeMs: options.flushAgeMs ?? 100,
        walBytesMax: 1 << 27,
        sealRetryMs: 20,
      },
    });
    const worker =
      options.worker === false
        ? undefined
        : this.#worker({ name, commands, readers, writers, letters, journals, options });
    worker?.start();
    const node: ClusterNode = {
      ...{ journals, writes, commands, worker, letters, sealFailures },
      stop: async () => {
        this.#nodes.delete(node);
        await worker?.stop();
        writers.close();
        writes.close();
        await journals.close();
        node.vanish();
      },
      vanish: () => {
        for (const connection of [...connections, ...readers]) connection.disconnect();
      },
    };
    this.#nodes.add(node);
    return node;
  }

  #worker(parts: {
    name: string;
    commands: Redis;
    readers: Redis[];
    writers: TermWriters;
    letters: JournalLetter[];
    journals: FollowedJournals;
    options: NodeOptions;
  }): JournalWorker {
    const { name, commands, readers, writers, letters, journals, options } = parts;
    return new JournalWorker({
      ...{ commands, writers, workerName: name, partitions: LAB_PARTITIONS, leaseMs: options.leaseMs ?? 2_000 },
      ...{ store: options.store ?? this.store, clock: systemClock, random: systemRandom },
      openReader: () => {
        const reader = this.connect('blocking', name);
        readers.push(reader);
        return reader;
      },
      readCount: (max) => max,
      deadLetter: async (letter) => {
        letters.push(letter);
      },
      onCommitted: (workspaces) => {
        for (const workspace of workspaces) void journals.look(workspace).catch(() => {});
      },
      observer: { termFailed: (_partition, error) => this.failures.push(error), ...options.observer },
    });
  }

  async dispose(): Promise<void> {
    for (const node of this.#nodes) await node.stop().catch(() => {});
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}
