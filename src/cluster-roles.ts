import { join } from 'node:path';
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import { type FollowedJournals, type ObjectStore, TermWriters } from '../journal/index.ts';
import { ComplianceEvents, type ProjectionRunner } from '../projections/index.ts';
import {
  AxiomConsumer,
  AxiomQueue,
  type ClusterLink,
  JournalWorker,
  partitionOf,
  Reclaimer,
  StreamAdmin,
  StreamUpkeep,
} from './cluster/index.ts';
import type { ClusterReports } from './cluster-reports.ts';
import type { Judging } from './compliance-parts.ts';
import type { EdgeParts } from './edge-parts.ts';
import type { Services, SystemServices } from './http/index.ts';
import { journalReports } from './journal-reports.ts';
import { cursorSecretOf } from './keys.ts';
import type { Metrics } from './metrics.ts';
import { Retention } from './retention.ts';
import type { Config } from './settings.ts';
import { systemClock, systemRandom } from './system.ts';
import { threadsFor } from './threads.ts';

/** Sealing that failed is tried again after this long. */
const SEAL_RETRY_MS = 2_000;

/** What every process of a cluster has. */
export type Joined = {
  config: Config;
  /** Of this process alone. */
  name: string;
  link: ClusterLink;
  store: ObjectStore;
  journals: FollowedJournals;
  judging: Judging;
  projections: ProjectionRunner;
  metrics: Metrics;
  reports: ClusterReports;
  log: Logger;
  /** How to close what was opened, last first. */
  closing: (() => unknown)[];
  worker?: JournalWorker | undefined;
};

/** Of keys, workspaces and holds. */
export function followFailed(log: Logger): (error: unknown) => void {
  return (err) =>
    log.error({ err }, 'changes of other processes could not be read: a revoked key works here until they are');
}

/** A process keeps up the projections of the journals that it writes: it is the first to know of what is new. */
export function foldsOf({ partitions }: Config, worker: () => JournalWorker | undefined) {
  return (workspace: string) => worker()?.partitions.includes(partitionOf(workspace, partitions)) ?? false;
}

/** Writes journals, and judges signals. */
export function startWorker(joined: Joined, consumer: AxiomConsumer): JournalWorker {
  const { config, name, link, store, journals, projections, reports, closing } = joined;
  const { partitions, leaseMs } = config;
  const writers = openWriters(joined);
  closing.push(() => writers.close());
  const worker = new JournalWorker({
    ...{ commands: link.commands, store, clock: systemClock, random: systemRandom, writers },
    ...{ workerName: name, partitions, leaseMs },
    openReader: () => link.connect('blocking'),
    readCount: (max) => link.gauge.readCount(max),
    deadLetter: (letter) => link.setAside(letter),
    onCommitted(workspaces) {
      for (const workspace of workspaces) void journals.look(workspace).catch(() => {});
    },
    observer: {
      ...reports.worker,
      // What was committed while nobody wrote the partition, or by whoever wrote it before.
      termBegan: () => projections.wakeAll(),
    },
  });
  worker.start();
  closing.push(() => worker.stop());
  consumer.start();
  return worker;
}

function openWriters({ config, journals, metrics, log }: Joined): TermWriters {
  const { flushEvents, flushBytes, flushAgeMs, walBytesMax, queryMemoryBytes } = config;
  return new TermWriters({
    ...{ ...journals.storage, engine: journals.engine, tempDir: join(journals.tempDir, 'terms') },
    memoryLimitBytes: queryMemoryBytes,
    threads: threadsFor(queryMemoryBytes, availableParallelism()),
    settings: { flushEvents, flushBytes, flushAgeMs, walBytesMax, sealRetryMs: SEAL_RETRY_MS },
    observer: journalReports(metrics, log),
  });
}

/** Judges what it is given, and what it reads once it is started. One in a process: its index is in files. */
export function openConsumer(joined: Joined): AxiomConsumer {
  const { config, name, link, journals, judging, projections, reports } = joined;
  return new AxiomConsumer({
    ...{ redis: link.commands, blocking: link.connect('blocking'), consumer: name, journals, clock: systemClock },
    rows: new ComplianceEvents(projections),
    dir: join(config.data, 'compliance'),
    policies: judging.policies,
    ai: judging.ai,
    concurrency: config.aiConcurrency,
    readCount: (max) => link.gauge.readCount(max),
    publish: (entries) => link.writes.publish(entries),
    deadLetter: async (entry, kind, reason, stream) => {
      const { id, fields } = entry;
      await link.deadLetters.add({ stream, id, kind, reason, deliveries: 1, fields });
    },
    observer: reports.axioms,
  });
}

/** Takes over what consumers left behind, and keeps the streams in order. */
export function startReclaimer(joined: Joined, consumer: AxiomConsumer): void {
  const { config, name, link, reports, closing } = joined;
  const { partitions, reclaimEveryMs: intervalMs, reclaimIdleMs: idleMs, streamKeepMs: keepMs } = config;
  const reclaimer = new Reclaimer({
    ...{ redis: link.commands, consumer: name, deadLetters: link.deadLetters, random: systemRandom },
    handle: (entries, stream) => consumer.handle(entries, stream),
    ...{ observer: reports.reclaimer, intervalMs, idleMs },
  });
  reclaimer.start();
  closing.push(() => reclaimer.stop());
  const upkeep = new StreamUpkeep({
    ...{ redis: link.commands, partitions, clock: systemClock, observer: reports.upkeep },
    pressure: () => link.gauge.level,
    ...{ intervalMs, keepMs },
  });
  upkeep.start();
  closing.push(() => upkeep.stop());
}

/** What the API needs beside what every role serves. */
export async function webServices(
  joined: Joined,
  edge: EdgeParts,
  secret: Uint8Array,
): Promise<Omit<Services, keyof SystemServices> & Pick<Services, 'config'>> {
  const { config, link, journals, judging, projections, log, closing } = joined;
  closing.push(() => edge.blocks?.close());
  closing.push(() => edge.pool.close());
  const retention = await Retention.open(journals, (workspace) => projections.catchUp(workspace), followFailed(log));
  closing.push(() => retention.close());
  const { threshold } = judging.policies;
  const shared = { clock: systemClock, random: systemRandom };
  return {
    ...edge,
    ...shared,
    ...{ retention, projections },
    axioms: new AxiomQueue({ redis: link.commands, threshold, ...shared }),
    compliance: {
      wake: () => {},
      policies: judging.policies,
      queue: () => undefined,
      cachedVerdicts: () => undefined,
    },
    aiKeys: judging.aiKeys,
    complianceEvents: new ComplianceEvents(projections),
    admission: link.gauge,
    cluster: new StreamAdmin({
      ...{ redis: link.commands, partitions: config.partitions, deadLetters: link.deadLetters },
      pressure: () => link.gauge.level,
    }),
    cursorSecret: cursorSecretOf(secret),
  };
}
