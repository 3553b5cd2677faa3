/**
 * What the two append measurements share: rounds of load, ours and the peer in turn over the same bodies, each id new.
 * The medians of the rounds are compared, and both sides must afterwards hold what they acknowledged.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { postBodies, writeBodies } from '../harness/load.ts';
import { watchMemory } from '../harness/memory.ts';
import { say } from '../harness/progress.ts';
import { median, type Side } from '../harness/report.ts';
import type { Service } from '../harness/service.ts';
import { WORKSPACE } from '../harness/service.ts';
import type { Peer, World } from '../harness/world.ts';

const ROUNDS = 3;
const WARM_UP_SECONDS = 3;

export type AppendLoad = {
  perBody: number;
  connections: number;
  /** More events a second than either side can take: how many bodies to prepare. */
  ceiling: number;
  /** First stream number; one more is used for each round. */
  stream: number;
  startMs: number;
};

export type AppendFigures = {
  perSecond: Partial<Record<Side, number>>;
  p99Ms: Partial<Record<Side, number>>;
  memory: Partial<Record<Side, number>>;
};

type Target = {
  side: Side;
  url: string;
  headers: Record<string, string>;
  pids: number[];
  count: () => Promise<number>;
  acknowledged: number;
};

async function targets(service: Service | undefined, peer: Peer | undefined): Promise<Target[]> {
  const found: Target[] = [];
  if (peer) {
    found.push({
      side: 'peer',
      url: `${peer.service.url}/events`,
      headers: { 'X-Workspace': WORKSPACE },
      acknowledged: 0,
      pids: [peer.cluster.child.pid, peer.service.child.pid],
      count: async () => Number((await peer.cluster.query<{ count: string }>('select count(*) from audit'))[0]?.count),
    });
  }
  if (service) {
    found.push({
      side: 'ours',
      url: `${service.url}/journal/events?receipts=summary`,
      headers: service.headers,
      pids: [service.child.pid],
      acknowledged: 0,
      count: async () => (await service.call<{ total_events: number }>('GET', '/journal/stats')).total_events,
    });
  }
  return found;
}

export async function appendLoad(
  world: World,
  load: AppendLoad,
  sides: { service: Service | undefined; peer: Peer | undefined },
): Promise<AppendFigures> {
  const all = await targets(sides.service, sides.peer);
  const before = new Map<Side, number>();
  for (const target of all) before.set(target.side, await target.count().catch(() => 0));
  const rates = new Map<Side, number[]>(all.map((target) => [target.side, []]));
  const figures: AppendFigures = { perSecond: {}, p99Ms: {}, memory: {} };

  for (let round = 0; round <= ROUNDS; round += 1) {
    // Round 0 warms both up and counts for nothing.
    const seconds = round === 0 ? WARM_UP_SECONDS : world.options.seconds;
    const bodies = join(world.directory, `bodies-${load.perBody}-${round}`);
    const shape = { perBody: load.perBody, bodies: Math.ceil((load.ceiling * seconds) / load.perBody) };
    writeBodies(bodies, {
      ...shape,
      stream: load.stream + round,
      ids: world.options.ids,
      startMs: load.startMs + round * 86_400_000,
    });
    for (const target of all) {
      const stopWatching = watchMemory(target.pids);
      const result = await postBodies({ ...target, bodies, connections: load.connections, seconds });
      const peak = stopWatching();
      target.acknowledged += result.requests * load.perBody;
      if (round === 0) continue;
      const perSecond = result.requestsPerSecond * load.perBody;
      say(
        `round ${round} of ${ROUNDS}, ${target.side}: ${Math.round(perSecond).toLocaleString('en')} events/s, p50 ${result.p50Ms.toFixed(1)} ms, p99 ${result.p99Ms.toFixed(1)} ms`,
      );
      rates.get(target.side)?.push(perSecond);
      figures.perSecond[target.side] = median(rates.get(target.side) ?? []);
      figures.p99Ms[target.side] = Math.max(figures.p99Ms[target.side] ?? 0, result.p99Ms);
      figures.memory[target.side] = Math.max(figures.memory[target.side] ?? 0, peak);
    }
    rmSync(bodies);
  }
  for (const target of all) await checkCount(target, before.get(target.side) ?? 0, load);
  return figures;
}

/** Requests in flight when wrk stopped may have been stored without their answer being read; never the other way round. */
async function checkCount(target: Target, before: number, load: AppendLoad): Promise<void> {
  const stored = (await target.count()) - before;
  const unread = (ROUNDS + 1) * load.connections * load.perBody;
  if (stored < target.acknowledged || stored > target.acknowledged + unread) {
    throw new Error(`${target.side} acknowledged ${target.acknowledged} events and holds ${stored} more than before`);
  }
}
