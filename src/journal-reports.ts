import type { Logger } from 'pino';
import type { JournalObserver } from '../journal/index.ts';
import type { Metrics } from './metrics.ts';

/** What the journals tell, as measures and lines of the log. */
export function journalReports(metrics: Metrics, log: Logger): Required<JournalObserver> {
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
