import type { Journals } from '../journal/index.ts';
import type { ProjectionRunner } from '../projections/index.ts';
import type { EdgeParts } from './edge-parts.ts';
import type { Gauges } from './metrics.ts';
import { projectionLagEvents } from './projection-parts.ts';

/** The figures of a process, of as much as it has opened. `signalsWaiting`: taken up here and not judged. */
export function gaugesOf({
  journals,
  edge,
  projections,
  signalsWaiting,
}: {
  journals?: Journals | undefined;
  edge?: EdgeParts | undefined;
  projections?: ProjectionRunner | undefined;
  signalsWaiting: number | undefined;
}): Gauges {
  return {
    walBytes: journals?.walBytes ?? 0,
    cacheBytes: journals?.cacheBytes ?? 0,
    sealLagEvents: journals?.lagEvents ?? 0,
    mergeableFiles: journals?.mergeableFiles ?? 0,
    historyBytes: edge?.blocks?.bytes ?? 0,
    workerProcesses: edge?.pool.processes ?? 0,
    journals: journals?.workspaces().length ?? 0,
    signalsWaiting: signalsWaiting ?? 0,
    projectionLagEvents: projections ? projectionLagEvents(projections) : 0,
  };
}
