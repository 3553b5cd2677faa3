import type { Logger } from 'pino';
import type { Journals } from '../journal/index.ts';
import { PROJECTIONS, ProjectionRunner } from '../projections/index.ts';
import type { Config } from './settings.ts';

/** A fold that failed is tried again after this long. */
const RETRY_MS = 2_000;

/** What is measured of the projections. Labels are their names: the code has them. */
export interface ProjectionReports {
  projectionFolded(folded: { projection: string; ms: number; events: number; rows: number }): void;
  projectionFailed(): void;
}

/** The runner that keeps the projections of every workspace up with its journal. */
export function openProjections(options: {
  config: Pick<Config, 'compactionGraceMs'>;
  journals: Journals;
  /** Whose projections this process keeps up, where others keep up the rest; default: all, and there are no others. */
  folds?: (workspace: string) => boolean;
  reports: ProjectionReports;
  log: Logger;
}): ProjectionRunner {
  const { config, journals, folds, reports, log } = options;
  return new ProjectionRunner({
    journals,
    folds,
    isAutomatic: true,
    graceMs: config.compactionGraceMs,
    retryMs: RETRY_MS,
    observer: {
      folded(folded) {
        reports.projectionFolded(folded);
        log.debug({ ...folded, ms: Math.round(folded.ms) }, 'folded');
      },
      foldFailed(error, workspace) {
        reports.projectionFailed();
        log.error({ err: error, workspace }, 'folding a projection failed and will be tried again');
      },
    },
  });
}

/**
 * Durable events that are in no table yet, of the projection that is furthest behind among those that this process keeps
 * up; readers add them themselves.
 */
export function projectionLagEvents(runner: ProjectionRunner): number {
  const { journals } = runner;
  const lags = journals
    .workspaces()
    .filter((workspace) => runner.folds(workspace))
    .flatMap((workspace) =>
      PROJECTIONS.map(({ name }) => journals.durableSeq(workspace) - runner.table(workspace, name).position),
    );
  return Math.max(0, ...lags);
}
