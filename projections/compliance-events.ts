import { type JournalEvent, lowerEscapesSql } from '../journal/index.ts';
import type { Projection, ProjectionColumn } from './definition.ts';
import { type Tier, UNKNOWN_SOURCE, VERDICT_TYPE, verdictOf } from './signals.ts';

/** A verdict as compliance sees it. Absent is null; times are UTC with microseconds. */
export type ComplianceRow = {
  /** event_id of the verdict. */
  id: string;
  source_id: string;
  domain: string;
  status: string | null;
  metric_value: number | null;
  anomaly_score: number;
  /** Whether the score reached the threshold, whichever tier then answered. */
  routed_to_ai: boolean;
  risk_level: string;
  driver_used: string;
  audit_narrative: string;
  emitted_at: string;
  /** When the verdict was recorded. */
  created_at: string;
  /** Of the verdict. */
  seq: number;
  axiom_event_id: string;
  /** null: it was judged before it had one. */
  axiom_seq: number | null;
  tier: Tier;
  rule: string | null;
  model: string | null;
  policy_version: string;
  prompt_hash: string | null;
  similarity: number | null;
  cached_from: string | null;
  /** JSON text: a list of {tier, cause, detail}. */
  failures: string | null;
  entity_type: string | null;
  entity_id: string | null;
};

const COLUMNS: readonly (ProjectionColumn & { name: keyof ComplianceRow })[] = [
  { name: 'id', type: 'string' },
  { name: 'source_id', type: 'string' },
  { name: 'domain', type: 'string' },
  { name: 'status', type: 'string' },
  { name: 'metric_value', type: 'double' },
  { name: 'anomaly_score', type: 'double' },
  { name: 'routed_to_ai', type: 'boolean' },
  { name: 'risk_level', type: 'string' },
  { name: 'driver_used', type: 'string' },
  { name: 'audit_narrative', type: 'string' },
  { name: 'emitted_at', type: 'timestamp' },
  { name: 'created_at', type: 'timestamp' },
  { name: 'seq', type: 'long' },
  { name: 'axiom_event_id', type: 'string' },
  { name: 'axiom_seq', type: 'long' },
  { name: 'tier', type: 'string' },
  { name: 'rule', type: 'string' },
  { name: 'model', type: 'string' },
  { name: 'policy_version', type: 'string' },
  { name: 'prompt_hash', type: 'string' },
  { name: 'similarity', type: 'double' },
  { name: 'cached_from', type: 'string' },
  { name: 'failures', type: 'string' },
  { name: 'entity_type', type: 'string' },
  { name: 'entity_id', type: 'string' },
];

/** Members of a verdict that become columns, for one pass over its text: ten times cheaper than one for each. */
const SAID = JSON.stringify({
  axiom: { event_id: 'VARCHAR', seq: 'BIGINT' },
  domain: 'VARCHAR',
  status: 'VARCHAR',
  metric_value: 'DOUBLE',
  anomaly_score: 'DOUBLE',
  emitted_at: 'VARCHAR',
  entity_type: 'VARCHAR',
  entity_id: 'VARCHAR',
  routed_to_ai: 'BOOLEAN',
  risk_level: 'VARCHAR',
  tier: 'VARCHAR',
  driver: 'VARCHAR',
  narrative: 'VARCHAR',
  policy_version: 'VARCHAR',
  rule: 'VARCHAR',
  model: 'VARCHAR',
  prompt_hash: 'VARCHAR',
  similarity: 'DOUBLE',
  cached_from: 'VARCHAR',
  failures: 'JSON',
});

/** What a column is where its name is not that of a member; defaults are those of verdictOf. */
const EXPRESSIONS: Partial<Record<keyof ComplianceRow, string>> = {
  id: 'event_id',
  source_id: 'event.entity_id',
  domain: "coalesce(said.domain, '')",
  anomaly_score: 'coalesce(said.anomaly_score, 0)',
  routed_to_ai: 'coalesce(said.routed_to_ai, false)',
  risk_level: "coalesce(said.risk_level, 'low')",
  driver_used: "coalesce(said.driver, 'rules')",
  audit_narrative: "coalesce(said.narrative, '')",
  // A text that is no time must not hold up every fold after it.
  emitted_at: 'coalesce(TRY_CAST(said.emitted_at AS TIMESTAMPTZ), make_timestamptz(0))',
  created_at: 'recorded_at',
  seq: 'seq',
  axiom_event_id: "coalesce(said.axiom.event_id, '')",
  axiom_seq: 'said.axiom.seq',
  tier: "coalesce(said.tier, 'rules')",
  policy_version: "coalesce(said.policy_version, '')",
  failures: lowerEscapesSql('failures_text'),
};

const SELECTED = COLUMNS.map(({ name }) => `${EXPRESSIONS[name] ?? `said.${name}`} AS ${name}`).join(', ');

/** Verdicts, one for each source: the first that the journal holds. Those without a source are all kept. */
export const COMPLIANCE_EVENTS: Projection = {
  name: 'compliance_events',
  columns: COLUMNS,
  combine: { kind: 'unique', keySql: `nullif(source_id, '${UNKNOWN_SOURCE}')` },
  bounds: { emitted_at: 'time', created_at: 'time' },
  foldSql: (events) => `
    SELECT ${SELECTED} FROM (
      SELECT *, said.failures::VARCHAR AS failures_text FROM (
        SELECT event_id, entity_id, recorded_at, seq, from_json(new_value, '${SAID}') AS said
        FROM ${events} WHERE entity_type = '${VERDICT_TYPE}'
      )
    ) event`,
};

/** The row of an event of VERDICT_TYPE, as foldSql makes it. */
export function complianceRowOf(event: JournalEvent): ComplianceRow {
  const verdict = verdictOf(event);
  return {
    id: event.event_id,
    source_id: verdict.source_id,
    domain: verdict.domain,
    status: verdict.status,
    metric_value: verdict.metric_value,
    anomaly_score: verdict.anomaly_score,
    routed_to_ai: verdict.routed_to_ai,
    risk_level: verdict.risk_level,
    driver_used: verdict.driver,
    audit_narrative: verdict.narrative,
    emitted_at: verdict.emitted_at,
    created_at: event.recorded_at,
    seq: event.seq,
    axiom_event_id: verdict.axiom.event_id,
    axiom_seq: verdict.axiom.seq,
    tier: verdict.tier,
    rule: verdict.rule,
    model: verdict.model,
    policy_version: verdict.policy_version,
    prompt_hash: verdict.prompt_hash,
    similarity: verdict.similarity,
    cached_from: verdict.cached_from,
    failures: verdict.failures === null ? null : JSON.stringify(verdict.failures),
    entity_type: verdict.entity_type,
    entity_id: verdict.entity_id,
  };
}
