/** Load on several journals at once, and how long, how much processor and how much memory it takes until all is committed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { partitionOf } from '../../src/cluster/index.ts';
import { type LoadResult, postBodies, writeBodies } from '../harness/load.ts';
import { watchMemory } from '../harness/memory.ts';
import { processorSeconds } from '../harness/processor.ts';
import { say } from '../harness/progress.ts';
import { median } from '../harness/report.ts';
import type { Service } from '../harness/service.ts';
import type { World } from '../harness/world.ts';

/** As many journals, each in a partition of its own, so that there is work for each worker. */
export const PARTITIONS = 4;
const COMMITTED_WITHIN_MS = 300_000;
const LOOK_MS = 100;
/** `ceiling`: more events a second than anything here can take. */
export type Load = {
  name: string;
  perBody: number;
  connections: number;
  pauseMs: number;
  ceiling: number;
  stream: number;
};

/** One process or a cluster, as the load sees it. */
export type Target = {
  name: string;
  web: Service;
  pids: number[];
  redisPid: number | undefined;
  /** What is asked of an append where it is not to wait for the commit. */
  ack: 'queued' | 'durable';
};

export type Figures = {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** From the first request until all is committed. */
  committedPerSecond: number;
  /** After the last request, where anything was left to do. */
  drainedPerSecond: number | undefined;
  /** Processor time of an event, microseconds: of our processes, and with Redis. */
  oursUs: number;
  withRedisUs: number;
  memoryBytes: number;
};

/** Names of workspaces, the first that lies in each partition. */
const WORKSPACES = Array.from({ length: PARTITIONS }, (_, partition) => {
  for (let index = 0; ; index += 1) {
    const name = `bench-${index}`;
    if (partitionOf(name, PARTITIONS) === partition) return name;
  }
});

const bodiesPath = (world: World, load: Load, journal: number): string =>
  `${world.directory}/cluster-${load.name}-${journal}`;

/** The bodies of a load, for each journal its own. */
export function writeLoad(world: World, load: Load): void {
  const events = (load.ceiling * world.options.seconds) / PARTITIONS;
  for (const journal of WORKSPACES.keys()) {
    writeBodies(bodiesPath(world, load, journal), {
      bodies: Math.ceil(events / load.perBody),
      perBody: load.perBody,
      stream: load.stream + journal,
      ids: world.options.ids,
    });
  }
}

/** The first append to a workspace makes it, which waits for a commit: that is no part of any measure. */
export async function makeWorkspaces({ web }: Target): Promise<void> {
  for (const id of WORKSPACES) await web.call('POST', '/workspaces', JSON.stringify({ id }));
}

async function committedEvents({ web }: Target): Promise<number> {
  const counts = await Promise.all(
    WORKSPACES.map(async (workspace) => {
      const answer = await fetch(`${web.url}/journal/stats`, { headers: headersOf(web, workspace) });
      const stats = (await answer.json()) as { committed_seq?: number };
      // There is no such workspace until its first event is there.
      return answer.ok ? (stats.committed_seq ?? -1) + 1 : 0;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

async function post(world: World, target: Target, load: Load, ack: string): Promise<LoadResult[]> {
  return Promise.all(
    WORKSPACES.map((workspace, journal) =>
      postBodies({
        url: `${target.web.url}/journal/events?ack=${ack}&receipts=summary`,
        headers: headersOf(target.web, workspace),
        bodies: bodiesPath(world, load, journal),
        connections: load.connections / PARTITIONS,
        seconds: world.options.seconds,
        pauseMs: load.pauseMs,
      }),
    ),
  );
}

/** Waits until nothing more comes; what was on its way when the load ended may or may not have been taken. */
async function allCommitted(target: Target, atLeast: number): Promise<number> {
  const limitMs = performance.now() + COMMITTED_WITHIN_MS;
  for (let before = -1; performance.now() < limitMs; ) {
    const now = await committedEvents(target);
    if (now >= atLeast && now === before) return now;
    before = now;
    await sleep(LOOK_MS);
  }
  throw new Error(`${target.name}: not everything was committed`);
}

/** Posts for as long as the options say, and waits until all of it is committed. */
export async function measureLoad(world: World, target: Target, load: Load, ack: string): Promise<Figures> {
  const processor = () => ({
    ours: processorSeconds(target.pids),
    redis: target.redisPid === undefined ? 0 : processorSeconds([target.redisPid]),
  });
  const committedBefore = await committedEvents(target);
  const [used, stopWatching, began] = [processor(), watchMemory(target.pids), performance.now()];
  const results = await post(world, target, load, ack);
  const loadedS = Math.max(...results.map(({ seconds }) => seconds));
  const sinceLoad = performance.now();
  const atEnd = (await committedEvents(target)) - committedBefore;
  const acknowledged = results.reduce((sum, { requests }) => sum + requests, 0) * load.perBody;
  // What waits for others to be sealed with would make it a measure of that wait.
  if (ack !== 'committed') await flushAll(target);
  const events = (await allCommitted(target, committedBefore + acknowledged)) - committedBefore;
  const doneMs = performance.now();
  const after = processor();
  const memoryBytes = stopWatching();
  const oursUs = ((after.ours - used.ours) / events) * 1e6;
  const figures: Figures = {
    perSecond: acknowledged / loadedS,
    p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
    p99Ms: Math.max(...results.map(({ p99Ms }) => p99Ms)),
    committedPerSecond: (events / (doneMs - began)) * 1_000,
    drainedPerSecond: events > atEnd ? ((events - atEnd) / (doneMs - sinceLoad)) * 1_000 : undefined,
    oursUs,
    withRedisUs: oursUs + ((after.redis - used.redis) / events) * 1e6,
    memoryBytes,
  };
  tell(target, load, figures);
  return figures;
}

async function flushAll({ web }: Target): Promise<void> {
  await Promise.all(
    WORKSPACES.map(async (workspace) => {
      const answer = await fetch(`${web.url}/journal/flush`, { method: 'POST', headers: headersOf(web, workspace) });
      if (!answer.ok) throw new Error(`POST /journal/flush answered ${answer.status}: ${await answer.text()}`);
    }),
  );
}

function headersOf(web: Service, workspace: string): Record<string, string> {
  return { ...web.headers, 'x-workspace': workspace };
}

function tell(target: Target, load: Load, figures: Figures): void {
  const whole = (value: number) => Math.round(value).toLocaleString('en');
  say(
    `${target.name}, ${load.name}: ${whole(figures.perSecond)} events/s taken, p50 ${figures.p50Ms.toFixed(1)} ms, p99 ${figures.p99Ms.toFixed(1)} ms; ` +
      `${whole(figures.committedPerSecond)} committed/s, ${figures.drainedPerSecond === undefined ? '-' : whole(figures.drainedPerSecond)} after the load; ` +
      `${figures.oursUs.toFixed(1)} us of processor an event, ${figures.withRedisUs.toFixed(1)} with Redis`,
  );
}
