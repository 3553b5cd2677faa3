import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterProcess, ClusterProcesses } from '../support/cluster-processes.ts';
import type { RedisServer } from '../support/redis-server.ts';

const KILL_EVERY_MS = 3_000;
const REDIS_AWAY_MS = 1_000;
const LOOK_MS = 100;

/** What is done to a cluster while it works. */
export class Faults {
  kills = 0;
  /** What the worker that was paused has logged since it woke. */
  saidOnWaking = '';
  readonly #cluster: ClusterProcesses;
  readonly #random: () => number;
  readonly #spared = new Set<ClusterProcess>();
  readonly #starting: Promise<unknown>[] = [];
  #isOver = false;

  constructor(cluster: ClusterProcesses, random: () => number) {
    this.#cluster = cluster;
    this.#random = random;
  }

  /** Kills a random worker every three seconds until it is over, and starts another on an empty disk at once. */
  async killWorkers(): Promise<void> {
    for (let at = performance.now() + KILL_EVERY_MS; !this.#isOver; await sleep(LOOK_MS)) {
      if (performance.now() < at) continue;
      at += KILL_EVERY_MS;
      const workers = this.#cluster.running('worker').filter((worker) => !this.#spared.has(worker));
      const victim = workers[Math.floor(this.#random() * workers.length)];
      if (victim === undefined) continue;
      await victim.kill();
      this.kills += 1;
      // It listens once Redis is there; until then it is nobody's victim.
      const starting = this.#cluster.add('worker');
      starting.catch(() => {});
      this.#starting.push(starting);
    }
    await Promise.all(this.#starting);
  }

  async restartRedis(redis: RedisServer): Promise<void> {
    await redis.kill();
    await sleep(REDIS_AWAY_MS);
    await redis.startAgain();
  }

  /** Stops the worker that took the partition last for `pausedMs`, and lets it wake. */
  async pauseWriterOf(partition: number, pausedMs: number): Promise<void> {
    const writer = await this.#writerOf(partition);
    this.#spared.add(writer);
    writer.pause();
    await sleep(pausedMs);
    const said = writer.log.length;
    writer.resume();
    // Long enough to find out what has become of its leases.
    await sleep(pausedMs);
    this.saidOnWaking = writer.log.slice(said);
    this.#spared.delete(writer);
  }

  end(): void {
    this.#isOver = true;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  async #writerOf(partition: number): Promise<ClusterProcess> {
    for (; !this.#isOver; await sleep(LOOK_MS)) {
      const writers = this.#cluster.running('worker').flatMap((worker) => {
        const took = lastLine(worker.log, `"partition":${partition},`, '"took a partition"');
        return took !== undefined && took === lastLine(worker.log, `"partition":${partition},`, '')
          ? [{ worker, token: (JSON.parse(took) as { token: number }).token }]
          : [];
      });
      const newest = writers.sort((a, b) => b.token - a.token)[0];
      if (newest !== undefined) return newest.worker;
    }
    throw new Error(`nobody was seen to write partition ${partition}`);
  }
}

function lastLine(log: string, ...parts: readonly string[]): string | undefined {
  return log.split('\n').findLast((line) => parts.every((part) => line.includes(part)));
}
