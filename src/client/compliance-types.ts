import type { JsonValue, Paging, RecordedEvent } from './types.ts';

/** A signal as its sender says it. Times are RFC 3339. */
export type AxiomInput = {
  /** Names the signal at its source: judged once. Without one it is kept as `unknown` and judged by itself. */
  source_id?: string;
  domain: string;
  status?: string;
  metric_value?: number | null;
  anomaly_score: number;
  emitted_at?: string;
  entity_type?: string;
  entity_id?: string;
  correlation_id?: string;
  payload?: JsonValue;
};

export type AxiomsResult = {
  /** In a cluster: all of them, which are queued. */
  accepted: number;
  /** null in a cluster: nothing is known of them yet. */
  duplicates: number | null;
  /** Of these: without a source_id. */
  unknown: number;
  /** Of the signals newly recorded. */
  first_seq: number | null;
  last_seq: number | null;
};

export type RiskLevel = 'low' | 'medium' | 'high' | 'critical';
export type Tier = 'threshold' | 'cache' | 'model' | 'rules';

/** A verdict. `links` are paths of the service. */
export type ComplianceEvent = {
  /** event_id of the verdict. */
  id: string;
  source_id: string;
  domain: string;
  status: string | null;
  metric_value: number | null;
  anomaly_score: number;
  routed_to_ai: boolean;
  risk_level: RiskLevel;
  driver_used: string;
  audit_narrative: string;
  emitted_at: string;
  created_at: string;
  seq: number;
  axiom_event_id: string;
  /** null: the signal was judged before it had a position. */
  axiom_seq: number | null;
  tier: Tier;
  rule: string | null;
  model: string | null;
  policy_version: string;
  prompt_hash: string | null;
  similarity: number | null;
  cached_from: string | null;
  failures: { tier: string; cause: string; detail?: string }[] | null;
  entity_type: string | null;
  entity_id: string | null;
  links: { self: string; axiom: string; verdict: string; signals: string; history?: string; cached_from?: string };
};

/** from ≤ emitted_at < to, RFC 3339. */
type Emitted = { from?: string | undefined; to?: string | undefined };

export type ComplianceFilters = Emitted & {
  /** routed_to_ai */
  flagged?: boolean | undefined;
  domain?: string | undefined;
  risk?: RiskLevel | undefined;
  status?: string | undefined;
  driver?: string | undefined;
};
export type ComplianceQuery = ComplianceFilters & Pick<Paging, 'limit'>;

/** What there is of one source; of `unknown`, which many signals share, a page of rows without the events. */
export type ComplianceSource = {
  source_id: string;
  events: ComplianceEvent[];
  next_cursor: string | null;
  complete_through: number;
  /** null: retention removed it. */
  axiom_event?: RecordedEvent | null;
  verdict_event?: RecordedEvent | null;
};

export type ComplianceStats = {
  threshold: number;
  policy: { name: string; version: string };
  verdicts: number;
  tiers: Record<Tier, number>;
  risks: Record<RiskLevel, number>;
  routed: number;
  cache: {
    /** null: nothing was routed. */
    hit_rate: number | null;
    entries: number | null;
    over_time: { hour: string; routed: number; cache_hits: number; hit_rate: number | null }[];
  };
  fallbacks: { tier: string; cause: string; count: number }[];
  unknown: number;
  /** null in a cluster. */
  queue: { signals: number; oldest_at: string | null; unread_seqs: number } | null;
  position: number;
};

export type ComplianceExportQuery = Emitted & {
  /** Default: flagged ones only. */
  flagged?: boolean | 'all' | undefined;
  profile?: 'raw' | 'spreadsheet' | undefined;
};

type ProjectionVersion = { version: number; rows: number; last_seq: number; content_hash: string };

/** What a rebuild proves. */
export type RebuildCertificate = {
  projection: string;
  workspace: string;
  first_seq: number;
  position: number;
  carried_rows: number;
  old: ProjectionVersion;
  new: ProjectionVersion;
  agreed: boolean;
  forced: boolean;
  differing_seqs: number[];
  made_at: string;
  by: string;
};

/** A workspace's key for the model, without the key. */
export type AiKeyInfo = {
  provider: 'gemini';
  /** null: the service's default. */
  model: string | null;
  embedding_model: string | null;
  set_at: string;
  set_by: string;
  usable: boolean;
};
export type NewAiKey = {
  provider: 'gemini';
  key: string;
  model?: string | undefined;
  embedding_model?: string | undefined;
};
