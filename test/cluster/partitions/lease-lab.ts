import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { vi } from 'vitest';
import { DirectoryStore } from '../../../journal/index.ts';
import { type Lease, type LeaseParts, PartitionLeases } from '../../../src/cluster/partitions/leases.ts';
import { openRedis, type Redis } from '../../../src/cluster/redis/index.ts';
import { FaultyStore } from '../../support/faulty-store.ts';
import { removeDir } from '../../support/remove-dir.ts';

export function connect(url: string): Redis {
  return openRedis({ url, log: pino({ level: 'silent' }), name: 'test' }, 'commands');
}

/** Waits for a condition, however long a busy machine takes. */
export function eventually(check: () => void | Promise<void>): Promise<void> {
  return vi.waitFor(check, { timeout: 25_000, interval: 10 });
}

/** A worker with a connection, a view of the store and a clock of its own. */
export class LabWorker {
  readonly name: string;
  readonly redis: Redis;
  readonly store: FaultyStore;
  readonly leases: PartitionLeases;
  /** What was gained and not lost, by partition. */
  readonly held = new Map<number, Lease>();
  /** What it was told and what its observer heard, in order: `gained 3`, `lost 3 expired`, `redis away`, `failed 3`. */
  readonly heard: string[] = [];
  /** How far its clock is ahead of the others'. */
  aheadMs = 0;
  onGained: (lease: Lease) => Promise<void> | void = () => {};
  onLost: (partition: number, reason: string) => Promise<void> = async () => {};

  constructor(lab: LeaseLab, name: string, url: string, options: Partial<LeaseParts>) {
    this.name = name;
    this.redis = connect(url);
    this.store = new FaultyStore(new DirectoryStore(join(lab.dir, 'store')));
    this.leases = new PartitionLeases({
      ...{ redis: this.redis, store: this.store, workerName: name, partitions: 6, leaseMs: 1_500 },
      clock: { nowMs: () => Date.now() },
      random: { bytes: (count) => randomBytes(count) },
      monotonicMs: () => performance.now() + this.aheadMs,
      observer: {
        failed: (partition) => void this.heard.push(`failed ${partition}`),
        redisAway: () => void this.heard.push('redis away'),
        redisBack: () => void this.heard.push('redis back'),
      },
      onGained: async (lease) => {
        lab.referee.granted(this, lease);
        this.heard.push(`gained ${lease.partition}`);
        await this.onGained(lease);
        this.held.set(lease.partition, lease);
      },
      onLost: async (partition, reason) => {
        await this.onLost(partition, reason);
        this.heard.push(`lost ${partition} ${reason}`);
        this.held.delete(partition);
      },
      ...options,
    });
  }

  /** Those that it may act on now. */
  get partitions(): number[] {
    return [...this.held.values()].filter((lease) => this.leases.holds(lease)).map(({ partition }) => partition);
  }
}

/** Sees to it that no two workers hold one partition, and that tokens rise. */
export class Referee {
  readonly grants: { worker: LabWorker; lease: Lease }[] = [];
  readonly faults: string[] = [];
  /** The newest of each worker and partition: that of an older one is never held again. */
  readonly #newest = new Map<number, Map<LabWorker, Lease>>();

  granted(worker: LabWorker, lease: Lease): void {
    const last = this.grants.findLast((grant) => grant.lease.partition === lease.partition);
    if (last && last.lease.token >= lease.token)
      this.faults.push(`token ${lease.token} of ${worker.name} after ${last.lease.token} of ${last.worker.name}`);
    this.grants.push({ worker, lease });
    const newest = this.#newest.get(lease.partition) ?? new Map<LabWorker, Lease>();
    this.#newest.set(lease.partition, newest.set(worker, lease));
    if (!worker.leases.holds(lease))
      this.faults.push(`${worker.name} was told of ${lease.partition} and does not hold it`);
    this.look();
  }

  look(): void {
    for (const [partition, newest] of this.#newest) {
      const holders = [...newest].filter(([worker, lease]) => worker.leases.holds(lease));
      if (holders.length > 1)
        this.faults.push(
          `${partition} is held by ${holders.map(([{ name }, { token }]) => `${name}:${token}`).join()}`,
        );
    }
  }
}

/** Workers on one Redis and one store. */
export class LeaseLab {
  readonly dir = mkdtempSync(join(tmpdir(), 'indelible-leases-'));
  readonly referee = new Referee();
  readonly workers: LabWorker[] = [];
  readonly #url: string;
  readonly #watch = setInterval(() => this.referee.look(), 2);

  constructor(url: string) {
    this.#url = url;
  }

  start(name: string, options: Partial<LeaseParts> & { url?: string; prepare?: (worker: LabWorker) => void } = {}) {
    const { url = this.#url, prepare, ...parts } = options;
    const worker = new LabWorker(this, name, url, parts);
    prepare?.(worker);
    this.workers.push(worker);
    worker.leases.start();
    return worker;
  }

  async dispose(): Promise<void> {
    clearInterval(this.#watch);
    await Promise.all(this.workers.map((worker) => worker.leases.stop()));
    for (const { redis } of this.workers) redis.disconnect();
    await removeDir(this.dir);
  }
}

/** How many partitions each of them may act on, most first; a partition that two hold counts twice. */
export function spreadOf(...workers: LabWorker[]): number[] {
  return workers.map(({ partitions }) => partitions.length).sort((a, b) => b - a);
}
