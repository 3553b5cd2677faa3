import type { Logger } from 'pino';
import type { Receipt } from '../../journal/index.ts';
import type { TakenAxiom, Verdict } from '../../projections/index.ts';
import type { JudgeObserver } from './workspace-judge.ts';

/** What is measured of the judging. Labels are tiers, risks and causes: never a tenant. */
export interface ComplianceReports {
  /** `waitedMs`: from the record of the signal until it was taken up. */
  judged(tier: string, riskLevel: string, waitedMs: number, judgedMs: number): void;
  tierFailed(tier: string, cause: string): void;
  signalRepeated(): void;
  unknownTaken(signals: number): void;
  judgingFailed(): void;
}

/**
 * A line for each verdict, with tier and timing, and its measures. Signals below the threshold, nearly all of them, are
 * logged at `debug`: a line for each would cost more than judging it.
 */
export function complianceObserver(reports: ComplianceReports, log: Logger): JudgeObserver {
  return {
    judged(workspace, verdict, receipt) {
      const { waited = 0, judged = 0 } = verdict.timings ?? {};
      reports.judged(verdict.tier, verdict.risk_level, waited, judged);
      for (const { tier, cause } of verdict.failures ?? []) reports.tierFailed(tier, cause);
      const level = verdict.routed_to_ai ? 'info' : 'debug';
      if (log.isLevelEnabled(level)) log[level](verdictLine(workspace, verdict, receipt), 'verdict');
    },
    repeated(workspace, axiom: TakenAxiom) {
      reports.signalRepeated();
      log.debug({ workspace, axiom_seq: axiom.seq }, 'this source has its verdict already');
    },
    judgingFailed(workspace, error) {
      reports.judgingFailed();
      log.error({ err: error, workspace }, 'judging failed: the signals stay in the journal');
    },
    fault: (workspace, error) => log.error({ err: error, workspace }, 'a tier failed for a reason of ours'),
  };
}

function verdictLine(workspace: string, verdict: Verdict, receipt: Receipt | undefined) {
  const { tier, driver, risk_level, source_id, anomaly_score, similarity, failures, timings, axiom } = verdict;
  return {
    workspace,
    source_id,
    ...{ tier, driver, risk_level, anomaly_score, similarity, timings },
    failures: failures?.map(({ tier: failed, cause }) => `${failed}: ${cause}`),
    axiom_seq: axiom.seq,
    seq: receipt?.seq,
  };
}
