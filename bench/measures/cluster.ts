/**
 * The service as roles over Redis Streams, with one, two and four workers, beside one process of ours over the same bodies.
 * All processes share the cores of this machine: what compares them is the processor time of an event, from the first
 * request until everything is committed, of all our processes.
 */
import { join } from 'node:path';
import type { Row } from '../harness/report.ts';
import { startRoles } from '../harness/roles.ts';
import type { World } from '../harness/world.ts';
import {
  type Figures,
  type Load,
  makeWorkspaces,
  measureLoad,
  PARTITIONS,
  type Target,
  writeLoad,
} from './cluster-load.ts';

const FEWEST = 1;
const WORKERS = [FEWEST, 2, 4];
/** No merging, and sealing as a cluster does it: both sides do the same work. */
const SETTINGS = { INDELIBLE_COMPACTION: 'off', INDELIBLE_FLUSH_AGE_MS: '2000' };

const SINGLES: Load = { name: 'singles', perBody: 1, connections: 64, pauseMs: 0, ceiling: 30_000, stream: 500 };
const BATCHES: Load = { name: 'batches', perBody: 100, connections: 16, pauseMs: 0, ceiling: 120_000, stream: 510 };
/** Counts for nothing. */
const WARM_UP: Load = { ...SINGLES, name: 'warm-up', stream: 530 };
/** Sixteen connections, a request each 200 ms: 80 a second, fewer where answers take long. */
const WAITING: Load = { name: 'waiting', perBody: 1, connections: 16, pauseMs: 200, ceiling: 100, stream: 520 };

type Measured = { singles: Figures; batches: Figures; waiting: Figures };

async function measureAll(world: World, target: Target): Promise<Measured> {
  await makeWorkspaces(target);
  await measureLoad(world, target, WARM_UP, target.ack);
  return {
    waiting: await measureLoad(world, target, WAITING, 'committed'),
    singles: await measureLoad(world, target, SINGLES, target.ack),
    batches: await measureLoad(world, target, BATCHES, target.ack),
  };
}

async function measureOneProcess(world: World): Promise<Measured | undefined> {
  const service = await world.freshService('cluster-alone', { env: SETTINGS });
  if (!service) return undefined;
  const pids = [service.child.pid];
  const measured = await measureAll(world, {
    ...{ name: 'one process', web: service, pids, redisPid: undefined },
    ack: 'durable',
  });
  await service.child.stop();
  return measured;
}

async function measureCluster(world: World, workers: number): Promise<Measured> {
  const shape = { workers, partitions: PARTITIONS, env: SETTINGS };
  const roles = await startRoles(join(world.directory, `cluster-${workers}`), shape);
  const pids = [roles.web, ...roles.workers].map(({ child }) => child.pid);
  const target: Target = { name: nameOf(workers), web: roles.web, pids, redisPid: roles.redis.pid, ack: 'queued' };
  const measured = await measureAll(world, target);
  await roles.stop();
  return measured;
}

const nameOf = (workers: number): string => `${workers} worker${workers === 1 ? '' : 's'}`;

const HOW = `${PARTITIONS} journals in as many partitions, wrk, sealing every 2 s, no merging, Redis with appendfsync always`;

function loadRows(name: string, alone: Figures, figures: Figures, load: Load): Row[] {
  const memory = { ours: figures.memoryBytes };
  const what = load.perBody === 1 ? 'single events' : `batches of ${load.perBody}`;
  const row = (figure: string, unit: string, better: Row['better'], ours: number | undefined, method: string): Row => ({
    ...{ figure: `${name}, ${what}: ${figure}`, unit, better, ours, method },
  });
  const method = `${load.connections} connections; ${HOW}`;
  return [
    { ...row('queued', 'events/s', 'higher', figures.perSecond, `ack=queued, ${method}`), memory },
    row('queued, p99', 'ms', 'lower', figures.p99Ms, 'the worst of the journals'),
    row('committed', 'events/s', 'higher', figures.committedPerSecond, 'from the first request until all is committed'),
    row(
      'committed after the load',
      'events/s',
      'higher',
      figures.drainedPerSecond,
      'what was left when the last request was answered, without the web beside it, flushed',
    ),
    row('processor', 'us/event', 'lower', figures.oursUs, 'user and kernel, all our processes, until all is committed'),
    row('processor with Redis', 'us/event', 'lower', figures.withRedisUs, 'the same and of Redis'),
    {
      ...row('a core, against one process', 'x', 'higher', alone.oursUs / figures.oursUs, 'processor of an event'),
      target: { bound: 0.5 },
    },
    row(
      'a core, with Redis',
      'x',
      'higher',
      alone.oursUs / figures.withRedisUs,
      'the same with the processor of Redis',
    ),
  ];
}

function aloneRows({ singles, batches, waiting }: Measured): Row[] {
  const load = ({ perBody, connections }: Load, figures: Figures): Row[] => {
    const figure = `one process, ${perBody === 1 ? 'single events' : `batches of ${perBody}`}`;
    const method = `ack=durable, ${connections} connections; ${HOW.replace(/, Redis.*/, '')}`;
    const memory = { ours: figures.memoryBytes };
    return [
      { ...{ figure, unit: 'events/s', better: 'higher', ours: figures.perSecond, memory, method } },
      {
        ...{ figure: `${figure}: processor`, unit: 'us/event', better: 'lower', ours: figures.oursUs },
        method: 'user and kernel, sealing included, until all is committed',
      },
    ];
  };
  return [...load(SINGLES, singles), ...load(BATCHES, batches), ...waitingRows('one process', waiting)];
}

function waitingRows(name: string, { p50Ms, p99Ms }: Figures): Row[] {
  const shared = { unit: 'ms', better: 'lower' } as const;
  const method = `ack=committed, one event a request, ${WAITING.connections} connections that wait ${WAITING.pauseMs} ms between requests; ${HOW}`;
  return [
    { ...shared, figure: `${name}, append to committed, p50`, ours: p50Ms, method },
    { ...shared, figure: `${name}, append to committed, p99`, ours: p99Ms, method: 'the worst of the journals' },
  ];
}

export async function cluster(world: World): Promise<Row[]> {
  for (const load of [WARM_UP, WAITING, SINGLES, BATCHES]) writeLoad(world, load);
  const alone = await measureOneProcess(world);
  if (!alone) return [];
  const rows = aloneRows(alone);
  for (const workers of WORKERS) {
    const { singles, batches, waiting } = await measureCluster(world, workers);
    const name = nameOf(workers);
    const found = [
      ...loadRows(name, alone.singles, singles, SINGLES),
      ...loadRows(name, alone.batches, batches, BATCHES),
      ...waitingRows(name, waiting),
    ];
    const same = `as with ${nameOf(FEWEST)}`;
    rows.push(...(workers === FEWEST ? found : found.map((row) => ({ ...row, method: same }))));
  }
  return rows;
}
