import { mkdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import {
  type JournalObserver,
  type Journals,
  LocalJournals,
  localDisk,
  type ObjectStore,
  probeStore,
} from '../journal/index.ts';
import { ComplianceEvents, type ProjectionRunner } from '../projections/index.ts';
import { EntityReader, HistoryBlocks, RecentReader, WorkerPool } from '../queries/index.ts';
import { type ComplianceParts, openCompliance } from './compliance-parts.ts';
import type { Config } from './settings.ts';
import { Lifecycle, startServer } from './http/index.ts';
import { cursorSecretOf, Keys, loadSecret } from './keys.ts';
import { createLogger } from './log.ts';
import { type Gauges, Metrics } from './metrics.ts';
import { openProjections, projectionLagEvents } from './projection-parts.ts';
import { Retention } from './retention.ts';
import { parseStore } from './store-location.ts';
import { openConfiguredStore } from './store.ts';
import { systemClock, systemRandom } from './system.ts';
import { threadsFor } from './threads.ts';

/** Queries that wait for each worker; beyond them callers are told to come back. */
const QUEUED_PER_WORKER = 8;

/** Committed events of each journal that are kept in memory for the newest-first list: its largest page. */
const NEWEST_EVENTS = 1_000;

/** Sealing that failed is tried again after this long. */
const SEAL_RETRY_MS = 2_000;

export type Service = {
  url: string;
  /** The operator key, where this start made one: it is kept nowhere. */
  newOperatorKey: string | undefined;
  /** Finishes open requests, seals what is buffered, lets go of the data directory. */
  stop(): Promise<void>;
};

/** What was opened so far. */
type Parts = {
  journals?: Journals;
  compliance?: ComplianceParts;
  projections?: ProjectionRunner;
  pool?: WorkerPool;
  blocks?: HistoryBlocks | undefined;
};

/**
 * The composition root: every role in one process.
 * @throws IndelibleError fenced where another process or data directory owns the journals; Error where the address
 * cannot be listened on
 */
export async function startService(given: Config, log: Logger): Promise<Service> {
  // Workers have directories of their own: a relative path would be another one there.
  const config = { ...given, data: resolve(given.data), store: absoluteStore(given.store) };
  const parts: Parts = {};
  const close = () => closeParts(parts);
  const metrics = new Metrics(() => gaugesOf(parts));
  try {
    const store = await openProvenStore(config);
    const journals = await openJournals(config, store, observer(metrics, log));
    parts.journals = journals;
    const secret = await loadSecret(config.data, systemRandom);
    const keys = await Keys.open({ journals, secret, random: systemRandom, operatorKey: config.operatorKey });
    const compliance = await openCompliance({ config, journals, store, secret, reports: metrics, log });
    parts.compliance = compliance;
    const projections = openProjections({ config, journals, reports: metrics, log });
    parts.projections = projections;
    const retention = await Retention.open(journals, (workspace) => projections.catchUp(workspace));
    const tempDir = join(journals.tempDir, 'edge');
    await mkdir(tempDir, { recursive: true });
    const pool = await openPool(config, journals);
    parts.pool = pool;
    const blocks = await openBlocks(config, journals, { metrics, log });
    parts.blocks = blocks;
    const services = {
      journals,
      entityReader: new EntityReader({ engine: journals.engine, cacheBytesMax: config.historyCacheBytes, blocks }),
      recentReader: new RecentReader({ engine: journals.engine, newestEvents: NEWEST_EVENTS }),
      pool,
      keys,
      retention,
      compliance: compliance.engine,
      aiKeys: compliance.aiKeys,
      complianceEvents: new ComplianceEvents(projections),
      projections,
      cluster: undefined,
      admission: { admit: () => {} },
      readiness: () => ({ ready: true, parts: {} }),
      metrics,
      log,
      cursorSecret: cursorSecretOf(secret),
      clock: systemClock,
      random: systemRandom,
      lifecycle: new Lifecycle(),
      config: await edgeConfig(config, tempDir),
    };
    const server = await startServer(services, { host: config.host, port: config.port });
    // Only now: a key made by a start that then fails would never be seen.
    const newOperatorKey = await keys.ensureOperatorKey();
    journals.warm().catch((error: unknown) => log.error({ err: error }, 'reading the index of ids failed'));
    void compliance.engine.resume();
    void retention.resumeAll(services.lifecycle.stopping, (err, workspace) =>
      log.error({ err, workspace }, 'a removal that was ordered is not finished'),
    );
    const stop = async () => {
      await server.stop(config.shutdownTimeoutMs);
      await close();
    };
    return { url: server.url, newOperatorKey, stop };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Those who use a part end before it does. */
async function closeParts({ compliance, projections, pool, blocks, journals }: Parts): Promise<void> {
  await compliance?.engine.stop();
  await projections?.close();
  await pool?.close();
  await blocks?.close();
  await journals?.close();
}

function gaugesOf({ compliance, projections, pool, blocks, journals }: Parts): Gauges {
  return {
    walBytes: journals?.walBytes ?? 0,
    cacheBytes: journals?.cacheBytes ?? 0,
    sealLagEvents: journals?.lagEvents ?? 0,
    mergeableFiles: journals?.mergeableFiles ?? 0,
    historyBytes: blocks?.bytes ?? 0,
    workerProcesses: pool?.processes ?? 0,
    journals: journals?.workspaces().length ?? 0,
    signalsWaiting: compliance?.engine.signalsWaiting ?? 0,
    projectionLagEvents: projections ? projectionLagEvents(projections) : 0,
  };
}

async function edgeConfig(config: Config, tempDir: string) {
  const { queryTimeoutMs, queryRowsMax, queryMemoryBytes, ingestBytesMax } = config;
  return { queryTimeoutMs, queryRowsMax, queryMemoryBytes, ingestBytesMax, tempDir, version: await version() };
}

function openPool({ queryConcurrency }: Config, { tempDir }: Journals): Promise<WorkerPool> {
  return WorkerPool.open({
    tempDir: join(tempDir, 'workers'),
    concurrency: queryConcurrency,
    waitingMax: QUEUED_PER_WORKER * queryConcurrency,
  });
}

/** undefined where they are turned off. */
async function openBlocks(
  config: Config,
  journals: Journals,
  { metrics, log }: { metrics: Metrics; log: Logger },
): Promise<HistoryBlocks | undefined> {
  const dir = join(config.data, 'history');
  if (config.historyDiskBytes === 0) {
    await rm(dir, { recursive: true, force: true });
    return undefined;
  }
  return HistoryBlocks.open({
    dir,
    bytesMax: config.historyDiskBytes,
    tempDir: join(journals.tempDir, 'history'),
    memoryBytes: config.queryMemoryBytes,
    observer: {
      historyLookUp: (hits, misses) => metrics.historyLookUp(hits, misses),
      historyBuilt(ms, bytes) {
        metrics.historyBuilt(ms);
        log.info({ ms: Math.round(ms), bytes }, 'built history blocks');
      },
      historyBuildFailed(error) {
        metrics.historyBuildFailed();
        log.warn({ err: error }, 'history blocks could not be built: DuckDB answers instead');
      },
    },
  });
}

function absoluteStore(store: string): string {
  const location = parseStore(store);
  return location.kind === 'directory' ? resolve(location.path) : store;
}

async function openProvenStore(config: Config): Promise<ObjectStore> {
  const store = await openConfiguredStore(config, process.env);
  // A file system keeps its promises; what speaks S3 may not.
  if (parseStore(config.store).kind === 's3') await probeStore(store, systemRandom);
  return store;
}

function openJournals(config: Config, store: ObjectStore, reports: JournalObserver): Promise<Journals> {
  return LocalJournals.open({
    dataDir: config.data,
    store,
    clock: systemClock,
    random: systemRandom,
    disk: localDisk,
    flushEvents: config.flushEvents,
    flushBytes: config.flushBytes,
    flushAgeMs: config.flushAgeMs,
    walBytesMax: config.walBytesMax,
    cacheBytesMax: config.cacheBytesMax,
    sealRetryMs: SEAL_RETRY_MS,
    engineMemoryBytes: config.queryMemoryBytes,
    engineThreads: threadsFor(config.queryMemoryBytes, availableParallelism()),
    takeOver: config.takeOver,
    sealIn: 'own-process',
    compaction: { isAutomatic: config.compaction === 'on', graceMs: config.compactionGraceMs },
    observer: reports,
  });
}

function observer(metrics: Metrics, log: Logger): JournalObserver {
  return {
    groupCommitted: (ms, events, bytes) => metrics.groupCommitted(ms, events, bytes),
    sealed(ms, events, bytes) {
      metrics.sealed(ms, events, bytes);
      log.info({ ms: Math.round(ms), events, bytes }, 'sealed');
    },
    sealFailed(error) {
      metrics.sealFailed(error);
      log.error({ err: error }, 'sealing failed and will be tried again');
    },
    merged(merge) {
      metrics.merged(merge);
      log.info({ ...merge, ms: Math.round(merge.ms) }, 'compacted');
    },
    compactionFailed(error, workspace) {
      metrics.compactionFailed();
      log.error({ err: error, workspace }, 'compaction failed: the journal is as it was');
    },
    cleaned(cleaned) {
      metrics.cleaned(cleaned);
      if (cleaned.files + cleaned.logEntries > 0) log.info(cleaned, 'deleted what was replaced');
    },
    cacheHit: () => metrics.cacheHit(),
    cacheMiss: (ms, bytes) => metrics.cacheMiss(ms, bytes),
    cacheEvicted: (bytes) => metrics.cacheEvicted(bytes),
    recovered: (found) => log.info(found, 'recovered'),
  };
}

async function version(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Where signals come from: the process, or a test. */
export type Signals = {
  on(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP', listener: () => void): unknown;
  exit(code: number): void;
};

/** Runs the service until a signal stops it. A second signal ends the process at once. */
export async function serve(
  config: Config,
  { stderr, signals }: { stderr: { write(text: string): unknown }; signals: Signals },
): Promise<void> {
  const log = createLogger({ level: config.logLevel });
  // Until the stop is complete something is to be waited for, also where every handle of the parts is idle.
  const alive = setInterval(() => {}, 60_000);
  const signalled = new Promise<string>((resolve) => {
    let count = 0;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      signals.on(signal, () => {
        count += 1;
        if (count > 1) signals.exit(1);
        resolve(signal);
      });
    }
  });
  try {
    const service = await startService(config, log);
    log.info({ url: service.url, data: config.data, store: config.store }, 'listening');
    stderr.write(greeting(service));
    const signal = await signalled;
    log.info({ signal }, 'stopping');
    await service.stop();
    log.info('stopped');
  } finally {
    clearInterval(alive);
  }
}

const EXAMPLE = '{"entity_type":"doc","entity_id":"1","action":"insert","new_value":{"hello":"world"},"actor":"me"}';

function greeting({ url, newOperatorKey }: Service): string {
  const address = `Indelible is listening on ${url} (API: ${url}/docs)\n`;
  if (newOperatorKey === undefined) return address;
  return `${address}
This is its first start. The operator key, shown this once and kept nowhere:

  ${newOperatorKey}

Record an event:

  curl -X POST ${url}/journal/events -H 'Authorization: Bearer ${newOperatorKey}' -H 'X-Workspace: demo' -H 'Content-Type: application/json' -d '${EXAMPLE}'

For the command line: export INDELIBLE_KEY=${newOperatorKey}

`;
}
