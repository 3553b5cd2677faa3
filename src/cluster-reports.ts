import type { Logger } from 'pino';
import { IndelibleError } from '../journal/index.ts';
import type {
  AxiomObserver,
  DeadLettersObserver,
  PressureObserver,
  ReclaimerObserver,
  UpkeepObserver,
  WorkerObserver,
} from './cluster/index.ts';
import type { ClusterMetrics } from './cluster-metrics.ts';
import { type ComplianceReports, complianceObserver } from './compliance/index.ts';

/** What the parts of a cluster's process tell, as measures and lines of the log. */
export type ClusterReports = {
  link: PressureObserver & DeadLettersObserver;
  worker: WorkerObserver;
  reclaimer: ReclaimerObserver;
  upkeep: UpkeepObserver;
  axioms: AxiomObserver;
};

export function clusterReports(metrics: ClusterMetrics, judging: ComplianceReports, log: Logger): ClusterReports {
  return {
    link: linkReports(metrics, log),
    worker: workerReports(metrics, log),
    reclaimer: reclaimerReports(metrics, log),
    upkeep: upkeepReports(metrics, log),
    axioms: axiomReports(metrics, judging, log),
  };
}

function linkReports(metrics: ClusterMetrics, log: Logger): ClusterReports['link'] {
  return {
    levelChanged(change) {
      metrics.levelChanged(change.cause);
      log[change.to > change.from ? 'warn' : 'info'](change, 'pressure');
    },
    added({ kind, stream, reason, workspace }, id) {
      metrics.letterAdded(kind);
      log.error(
        { kind, stream, reason, workspace, dead_letter: id },
        'an entry was set aside: see indelible dead-letters',
      );
    },
  };
}

function workerReports(metrics: ClusterMetrics, log: Logger): WorkerObserver {
  return {
    gained: (lease) => log.info(lease, 'took a partition'),
    lost(partition, reason) {
      metrics.leaseLost(reason);
      const level = reason === 'given-up' ? 'info' : 'warn';
      log[level]({ partition, reason }, 'lost the lease on a partition: nothing more is committed to it here');
    },
    failed: (partition, err) => log.error({ partition, err }, 'a partition could not be taken or let go of'),
    redisAway: (err) => log.warn({ err }, 'leases cannot be renewed: redis is away'),
    redisBack: () => log.info('leases are renewed again'),
    termFailed(partition, err) {
      metrics.termFailed(err instanceof IndelibleError ? err.kind : 'internal');
      log.error({ partition, err }, 'stopped writing a partition');
    },
    groupMade(partition) {
      metrics.groupMade();
      log.error(
        { partition },
        'a stream had no consumer group: redis lost what it held; what was not committed is gone',
      );
    },
    waiting: (partition, err) => log.warn({ partition, err }, 'waiting: redis or the store does not answer'),
    entriesLost(partition, ids) {
      metrics.entriesLost(ids.length);
      log.error(
        { partition, ids },
        'ENTRIES ARE LOST: they were accepted, and are gone from redis before they were committed',
      );
    },
    recorded: (events, queuedMs) => metrics.recorded(events, queuedMs),
  };
}

function reclaimerReports(metrics: ClusterMetrics, log: Logger): ReclaimerObserver {
  return {
    reclaimed(stream, entries, dead) {
      metrics.reclaimed(entries);
      log.warn({ stream, entries, dead }, 'took over signals of consumers that are gone');
    },
    deleted(stream, ids) {
      metrics.entriesLost(ids.length);
      log.error(
        { stream, ids },
        'SIGNALS ARE LOST: they were accepted, and are gone from redis before they were judged',
      );
    },
    failed: (stream, err) => log.error({ stream, err }, 'signals could not be taken over and will be tried again'),
  };
}

function upkeepReports(metrics: ClusterMetrics, log: Logger): UpkeepObserver {
  return {
    groupMade(stream, group, wasThere) {
      if (!wasThere) return;
      metrics.groupMade();
      log.error({ stream, group }, 'a consumer group was gone and was made again: redis lost what it held');
    },
    trimmed: (_stream, entries) => metrics.trimmed(entries),
    consumersRemoved: (stream, names) => log.info({ stream, names }, 'removed consumers that are gone'),
    orphaned(partition, forMs, entries) {
      metrics.orphaned();
      log.error(
        { partition, for_ms: forMs, entries },
        'events wait and no worker writes their partition: start workers',
      );
    },
    failed: (stream, err) => log.error({ stream, err }, 'a stream could not be looked after'),
  };
}

function axiomReports(metrics: ClusterMetrics, judging: ComplianceReports, log: Logger): AxiomObserver {
  return {
    ...complianceObserver(judging, log),
    groupMade(stream, wasThere) {
      if (!wasThere) return;
      metrics.groupMade();
      log.error({ stream }, 'a stream had no consumer group: redis lost what it held; what was not judged is gone');
    },
    notHandled: (stream, err) => log.error({ stream, err }, 'signals could not be judged and are delivered again'),
    failed: (err) => log.warn({ err }, 'judging waits: redis is away or has too much to do'),
    recovered: () => log.info('judging goes on'),
  };
}
