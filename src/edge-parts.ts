import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Journals } from '../journal/index.ts';
import { EntityReader, HistoryBlocks, RecentReader, WorkerPool } from '../queries/index.ts';
import type { EdgeConfig } from './http/index.ts';
import type { Metrics } from './metrics.ts';
import type { Config } from './settings.ts';

/** Queries that wait for each worker; beyond them callers are told to come back. */
const QUEUED_PER_WORKER = 8;

/** Committed events of each journal that are kept in memory for the newest-first list: its largest page. */
const NEWEST_EVENTS = 1_000;

/** What answers questions over the journals. */
export type EdgeParts = {
  entityReader: EntityReader;
  recentReader: RecentReader;
  pool: WorkerPool;
  blocks: HistoryBlocks | undefined;
  config: EdgeConfig;
};

export async function openEdgeParts(
  config: Config,
  journals: Journals,
  reports: { metrics: Metrics; log: Logger },
): Promise<EdgeParts> {
  const tempDir = join(journals.tempDir, 'edge');
  await mkdir(tempDir, { recursive: true });
  const pool = await openPool(config, journals);
  const blocks = await openBlocks(config, journals, reports);
  const { engine } = journals;
  return {
    entityReader: new EntityReader({ engine, cacheBytesMax: config.historyCacheBytes, blocks }),
    recentReader: new RecentReader({ engine, newestEvents: NEWEST_EVENTS }),
    ...{ pool, blocks },
    config: await edgeConfig(config, tempDir),
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

export async function version(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
