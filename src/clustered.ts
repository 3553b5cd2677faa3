import { hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import { FollowedJournals, type ObjectStore, uuidV4 } from '../journal/index.ts';
import { agreePartitionsInStore, type AxiomConsumer, ClusterLink } from './cluster/index.ts';
import { type ClusterGauges, ClusterMetrics } from './cluster-metrics.ts';
import { clusterReports } from './cluster-reports.ts';
import {
  foldsOf,
  followFailed,
  type Joined,
  openConsumer,
  startReclaimer,
  startWorker,
  webServices,
} from './cluster-roles.ts';
import { openJudging } from './compliance-parts.ts';
import { rolesOf } from './config.ts';
import { type EdgeParts, openEdgeParts, version } from './edge-parts.ts';
import { gaugesOf } from './gauges.ts';
import { Lifecycle, type Readiness, startServer } from './http/index.ts';
import { journalReports } from './journal-reports.ts';
import { Keys, loadSecret } from './keys.ts';
import { Metrics } from './metrics.ts';
import { openProjections } from './projection-parts.ts';
import type { Service } from './service.ts';
import type { Config, ServiceRole } from './settings.ts';
import { openProvenStore } from './store.ts';
import { systemClock, systemRandom } from './system.ts';
import { threadsFor } from './threads.ts';

/** What a reader sees is at most so much older than the table log. */
const STALE_MS = 1_000;

/** What was opened so far, for figures and readiness, and how to close it, last first. */
type Parts = Partial<Joined> & {
  storeFault?: unknown;
  consumer?: AxiomConsumer;
  edge?: EdgeParts;
  closing: (() => unknown)[];
};

/**
 * A process of a cluster, with the roles of its configuration. It waits for Redis until `stopping` is aborted.
 * @throws IndelibleError fenced where another process has the data directory, or the store is no store of this cluster;
 * Error where Redis cannot be used or the address cannot be listened on
 */
export async function startClustered(config: Config, log: Logger, stopping: AbortSignal): Promise<Service> {
  const parts: Parts = { closing: [] };
  const close = async () => {
    for (const end of parts.closing.splice(0).reverse()) await end();
  };
  try {
    return { url: await join(config, log, parts, stopping), newOperatorKey: undefined, stop: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens everything; where the server listens. */
async function join(config: Config, log: Logger, parts: Parts, stopping: AbortSignal): Promise<string> {
  const { closing } = parts;
  const roles = rolesOf(config);
  const name = uuidV4(systemRandom);
  const metrics = new Metrics(() => gaugesOf({ ...parts, signalsWaiting: parts.consumer?.waiting }));
  const measures = new ClusterMetrics(metrics.registry, () => clusterGaugesOf(parts));
  const reports = clusterReports(measures, metrics, log);
  const { partitions, redisUrl = '' } = config;
  const shared = { clock: systemClock, random: systemRandom, log };
  const link = await ClusterLink.open({ ...shared, url: redisUrl, name, partitions, observer: reports.link, stopping });
  parts.link = link;
  closing.push(() => link.close());
  if (link.facts.durability !== 'always')
    log.warn(link.facts, 'redis may lose what it has acknowledged: set appendonly yes and appendfsync always');
  const store = await openProvenStore(config);
  await agreePartitionsInStore(store, partitions);
  const journals = await openJournals(config, { store, metrics, log, parts });
  parts.journals = journals;
  closing.push(() => journals.close());
  const secret = await loadSecret(config.data, systemRandom, config.secret);
  const keys = await Keys.open({
    ...{ journals, secret, random: systemRandom, operatorKey: config.operatorKey },
    onFollowFailed: followFailed(log),
  });
  closing.push(() => keys.close());
  const judging = await openJudging({ config, journals, store, secret, reports: metrics, log });
  closing.push(() => judging.aiKeys.close());
  const folds = foldsOf(config, () => parts.worker);
  const projections = openProjections({ config, journals, folds, reports: metrics, log });
  parts.projections = projections;
  closing.push(() => projections.close());
  const joined: Joined = { config, name, link, store, journals, judging, projections, metrics, reports, log, closing };
  startJudging(joined, roles, parts);
  if (roles.has('compactor')) journals.followAll();
  const readiness = () => readinessOf(parts);
  const system = { journals, keys, readiness, metrics, log, random: systemRandom, lifecycle: new Lifecycle() };
  const address = { host: config.host, port: config.port };
  if (roles.has('web')) parts.edge = await openEdgeParts(config, journals, { metrics, log });
  const server = parts.edge
    ? await startServer({ ...system, ...(await webServices(joined, parts.edge, secret)) }, address)
    : await startServer({ ...system, config: { version: await version() } }, { ...address, only: 'system' });
  closing.push(() => server.stop(config.shutdownTimeoutMs));
  log.info({ roles: [...roles], process: name, redis: link.facts }, 'joined the cluster');
  return server.url;
}

/** The roles that judge signals. */
function startJudging(joined: Joined, roles: ReadonlySet<ServiceRole>, parts: Parts): void {
  if (!roles.has('worker') && !roles.has('reclaimer')) return;
  const consumer = openConsumer(joined);
  parts.consumer = consumer;
  if (roles.has('worker')) parts.worker = startWorker(joined, consumer);
  if (roles.has('reclaimer')) startReclaimer(joined, consumer);
  // Before what it publishes to.
  joined.closing.push(() => consumer.stop());
}

function openJournals(
  config: Config,
  { store, metrics, log, parts }: { store: ObjectStore; metrics: Metrics; log: Logger; parts: Parts },
): Promise<FollowedJournals> {
  const { link } = parts as { link: ClusterLink };
  const compacts = rolesOf(config).has('compactor') && config.compaction === 'on';
  return FollowedJournals.open({
    ...{ store, clock: systemClock, random: systemRandom, writes: link.writes, staleMs: STALE_MS },
    dataDir: config.data,
    writerId: clusterId(config),
    takeOver: config.takeOver,
    cacheBytesMax: config.cacheBytesMax,
    engineMemoryBytes: config.queryMemoryBytes,
    engineThreads: threadsFor(config.queryMemoryBytes, availableParallelism()),
    flushEvents: config.flushEvents,
    compaction: { isAutomatic: compacts, graceMs: config.compactionGraceMs },
    observer: {
      ...journalReports(metrics, log),
      followed() {
        if (parts.storeFault !== undefined) log.info('the store answers again');
        parts.storeFault = undefined;
      },
      followFailed(err) {
        if (parts.storeFault === undefined)
          log.error({ err }, 'the store does not answer: what is read is as old as it is');
        parts.storeFault = err;
      },
    },
  });
}

/** Who shares the secret is one writer to the store; the name tells nothing of it. */
function clusterId({ secret = '' }: Config): string {
  return `cluster-${hash('sha256', `indelible cluster ${secret}`).slice(0, 32)}`;
}

function readinessOf({ link, storeFault, worker }: Parts): Readiness {
  const redis = link?.isThere ? { ok: true } : { ok: false, detail: 'redis does not answer' };
  const store = storeFault === undefined ? { ok: true } : { ok: false, detail: 'the object store does not answer' };
  const held = worker && { partitions: { ok: true, detail: `writes ${worker.partitions.length} of them` } };
  return { ready: redis.ok && store.ok, parts: { redis, store, ...held } };
}

async function clusterGaugesOf({ link, worker }: Parts): Promise<ClusterGauges> {
  const load = link?.gauge.load;
  return {
    pressureLevel: link?.gauge.level ?? 0,
    lagEntries: load?.lagEntries ?? 0,
    pendingEntries: load?.pending ?? 0,
    oldestEntryMs: load?.lagMs ?? 0,
    memoryRatio: load?.memoryRatio ?? Number.NaN,
    partitions: worker?.partitions.length ?? 0,
    deadLetters: (await link?.deadLetters.depth().catch(() => undefined)) ?? Number.NaN,
  };
}
