/**
 * Reading little from a large journal: the history of one entity, and the newest events. Each request asks for another
 * entity, chosen without regard to how often it changed, so that nothing was asked before. Histories are measured once
 * questions of the same kind have made the service build its history blocks, as it has them after its first minutes.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { entitySample } from '../generator.ts';
import { getPaths, type LoadResult, postBodies, writeBodies } from '../harness/load.ts';
import { watchMemory } from '../harness/memory.ts';
import { say } from '../harness/progress.ts';
import type { Row, Side } from '../harness/report.ts';
import { type Service, WORKSPACE } from '../harness/service.ts';
import type { World } from '../harness/world.ts';

const ENTITIES = 200_000;
const SECONDS = 10;

type Paths = Record<Side, string>;
type Read = { ours?: LoadResult | undefined; peer?: LoadResult | undefined; memory: Partial<Record<Side, number>> };

/** Files of paths, one for each side. */
function writePaths(world: World, name: string, seed: number): Paths {
  const entities = entitySample(ENTITIES, seed);
  const ours = join(world.directory, `${name}-ours`);
  const peer = join(world.directory, `${name}-peer`);
  writeFileSync(ours, `${entities.map(({ type, id }) => `/journal/entity/${id}?type=${type}`).join('\n')}\n`);
  writeFileSync(peer, `${entities.map(({ type, id }) => `/entity/${type}/${id}`).join('\n')}\n`);
  return { ours, peer };
}

const WARM_QUESTIONS = 100;
const WARM_MINUTES = 30;

/** Asks for histories until DuckDB answers for no file any more. */
async function warm(service: Service): Promise<void> {
  const entities = entitySample(ENTITIES, 4);
  const startedMs = performance.now();
  for (let asked = 0, before = -1, misses = 0; misses !== before; ) {
    if (performance.now() - startedMs > WARM_MINUTES * 60_000) throw new Error('history blocks were not built in time');
    before = misses;
    for (let count = 0; count < WARM_QUESTIONS; count += 1, asked += 1) {
      const { type, id } = entities[asked % ENTITIES] ?? { type: '', id: '' };
      await service.call('GET', `/journal/entity/${id}?type=${type}`);
    }
    const metrics = await (await fetch(`${service.url}/metrics`, { headers: service.headers })).text();
    misses = Number(/^indelible_history_misses_total (\d+)$/m.exec(metrics)?.[1] ?? Number.NaN);
  }
  say(`history blocks are built after ${Math.round((performance.now() - startedMs) / 1000)} s of questions`);
}

async function read(world: World, name: string, paths: Paths, connections: number): Promise<Read> {
  const peer = await world.filledPeer();
  const service = await world.compactedService();
  const result: Read = { memory: {} };
  const ask = async (side: Side, pids: number[], url: string, headers: Record<string, string>) => {
    const stop = watchMemory(pids);
    const load = await getPaths({ url, headers, paths: paths[side], connections, seconds: SECONDS });
    result.memory[side] = stop();
    say(`${name}, ${side}: p50 ${load.p50Ms} ms, p99 ${load.p99Ms} ms, ${Math.round(load.requestsPerSecond)} a second`);
    return load;
  };
  if (peer) {
    const pids = [peer.cluster.child.pid, peer.service.child.pid];
    result.peer = await ask('peer', pids, peer.service.url, { 'X-Workspace': WORKSPACE });
  }
  if (service) result.ours = await ask('ours', [service.child.pid], service.url, service.headers);
  return result;
}

function latencies(
  figure: string,
  { ours, peer, memory }: Read,
  aims: { p50?: number; p99?: number },
  method: string,
): Row[] {
  const row = (name: string, of: (load: LoadResult) => number, aim: number | undefined): Row => ({
    figure: `${figure}, ${name}`,
    unit: 'ms',
    better: 'lower',
    ours: ours && of(ours),
    peer: peer && of(peer),
    ...(aim !== undefined && { target: { bound: aim } }),
    memory,
    method,
  });
  return [row('p50', (load) => load.p50Ms, aims.p50), row('p99', (load) => load.p99Ms, aims.p99)];
}

export async function historyReads(world: World): Promise<Row[]> {
  const service = await world.compactedService();
  if (service) await warm(service);
  const one = await read(world, 'history, 1 connection', writePaths(world, 'one', 1), 1);
  const many = await read(world, 'history, 16 connections', writePaths(world, 'many', 2), 16);
  const recentPaths = { ours: join(world.directory, 'recent-ours'), peer: join(world.directory, 'recent-peer') };
  writeFileSync(recentPaths.ours, '/journal/recent?limit=100\n');
  writeFileSync(recentPaths.peer, '/recent\n');
  const recent = await read(world, 'recent', recentPaths, 1);
  const method = `GET /journal/entity/:id, another entity each time, wrk for ${SECONDS} s on the compacted journal, history blocks built by questions before`;
  return [
    ...latencies('history of an entity, 1 connection', one, { p50: 3, p99: 15 }, method),
    {
      figure: 'histories, 16 connections',
      unit: 'requests/s',
      better: 'higher',
      ours: many.ours?.requestsPerSecond,
      peer: many.peer?.requestsPerSecond,
      target: { ratio: 1 },
      memory: many.memory,
      method,
    },
    ...latencies('recent 100', recent, { p50: 2 }, 'GET /journal/recent?limit=100, 1 connection; nothing unsealed'),
    ...(await underLoad(world)),
  ];
}

/** Ten connections that send a batch about every tenth of a second. */
const LOAD = {
  connections: 10,
  perBody: 500,
  pauseMs: 90,
  bodiesPerSecond: 110,
  stream: 900,
  startMs: Date.UTC(2027, 0, 1),
};

async function underLoad(world: World): Promise<Row[]> {
  const service = await world.compactedService();
  if (!service) return [];
  const seconds = 3 * SECONDS;
  const paths = writePaths(world, 'loaded', 3);
  const bodies = join(world.directory, 'steady-bodies');
  const { perBody, connections, pauseMs, stream, startMs } = LOAD;
  writeBodies(bodies, {
    bodies: (seconds + 2) * LOAD.bodiesPerSecond,
    perBody,
    stream,
    ids: world.options.ids,
    startMs,
  });
  const { url, headers } = service;
  const stop = watchMemory([service.child.pid]);
  const appending = postBodies({
    url: `${url}/journal/events?receipts=summary`,
    headers,
    bodies,
    connections,
    seconds: seconds + 2,
    pauseMs,
  });
  const result = await getPaths({ url, headers, paths: paths.ours, connections: 1, seconds });
  const memory = { ours: stop() };
  const appended = Math.round((await appending).requestsPerSecond * perBody).toLocaleString('en');
  rmSync(bodies);
  say(`history under load: p50 ${result.p50Ms} ms, p99 ${result.p99Ms} ms at ${appended} appended events/s`);
  const method = `the same for ${seconds} s, while ${appended} events a second are appended in batches of ${perBody}, sealed and compacted`;
  return latencies('history while appending', { ours: result, memory }, { p99: 50 }, method);
}
