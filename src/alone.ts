import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import { type JournalObserver, type Journals, LocalJournals, localDisk, type ObjectStore } from '../journal/index.ts';
import { ComplianceEvents, type ProjectionRunner } from '../projections/index.ts';
import type { ComplianceEngine } from './compliance/index.ts';
import { openEngine, openJudging } from './compliance-parts.ts';
import { type EdgeParts, openEdgeParts } from './edge-parts.ts';
import { gaugesOf } from './gauges.ts';
import { journalAxioms, Lifecycle, startServer } from './http/index.ts';
import { journalReports } from './journal-reports.ts';
import { cursorSecretOf, Keys, loadSecret } from './keys.ts';
import { Metrics } from './metrics.ts';
import { openProjections } from './projection-parts.ts';
import { Retention } from './retention.ts';
import type { Service } from './service.ts';
import type { Config } from './settings.ts';
import { openProvenStore } from './store.ts';
import { systemClock, systemRandom } from './system.ts';
import { threadsFor } from './threads.ts';

/** Sealing that failed is tried again after this long. */
const SEAL_RETRY_MS = 2_000;

/** What was opened so far. */
type Parts = {
  journals?: Journals;
  engine?: ComplianceEngine;
  projections?: ProjectionRunner;
  edge?: EdgeParts;
  /** Those who follow the journal of the service itself. */
  followers?: { close(): void }[];
};

/**
 * Every role in one process, which writes its journals itself.
 * @throws IndelibleError fenced where another process or data directory owns the journals; Error where the address
 * cannot be listened on
 */
export async function startAlone(config: Config, log: Logger): Promise<Service> {
  const parts: Parts = {};
  const close = () => closeParts(parts);
  const metrics = new Metrics(() => gaugesOf({ ...parts, signalsWaiting: parts.engine?.signalsWaiting }));
  try {
    const store = await openProvenStore(config);
    const journals = await openJournals(config, store, journalReports(metrics, log));
    parts.journals = journals;
    const secret = await loadSecret(config.data, systemRandom, config.secret);
    const keys = await Keys.open({ journals, secret, random: systemRandom, operatorKey: config.operatorKey });
    const judging = await openJudging({ config, journals, store, secret, reports: metrics, log });
    const engine = openEngine({ config, journals, judging, reports: metrics, log });
    parts.engine = engine;
    const projections = openProjections({ config, journals, reports: metrics, log });
    parts.projections = projections;
    const retention = await Retention.open(journals, (workspace) => projections.catchUp(workspace));
    parts.followers = [keys, retention, judging.aiKeys];
    const edge = await openEdgeParts(config, journals, { metrics, log });
    parts.edge = edge;
    const services = {
      ...edge,
      ...{ journals, keys, retention, projections, metrics, log },
      compliance: engine,
      axioms: journalAxioms(journals, engine),
      aiKeys: judging.aiKeys,
      complianceEvents: new ComplianceEvents(projections),
      cluster: undefined,
      admission: { admit: () => {} },
      readiness: () => ({ ready: true, parts: {} }),
      cursorSecret: cursorSecretOf(secret),
      clock: systemClock,
      random: systemRandom,
      lifecycle: new Lifecycle(),
    };
    const server = await startServer(services, { host: config.host, port: config.port });
    // Only now: a key made by a start that then fails would never be seen.
    const newOperatorKey = await keys.ensureOperatorKey();
    journals.warm().catch((error: unknown) => log.error({ err: error }, 'reading the index of ids failed'));
    void engine.resume();
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
async function closeParts({ engine, projections, edge, followers, journals }: Parts): Promise<void> {
  await engine?.stop();
  await projections?.close();
  await edge?.pool.close();
  await edge?.blocks?.close();
  for (const follower of followers ?? []) follower.close();
  await journals?.close();
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
