import { hash } from 'node:crypto';
import { type DraftEvent, type JournalEvent, timeOfMs, uuidV8 } from '../journal/index.ts';

/**
 * Signals and what was decided on them, as events of the journal (docs/format.md, "Axioms and verdicts"). Both kinds of
 * event are the service's own: the door refuses an entity_type that begins with `indelible.`.
 */
export const AXIOM_TYPE = 'indelible.axiom';
export const VERDICT_TYPE = 'indelible.verdict';

/** Signals that came without a source_id share this one: all are kept, none is a repeat of another. */
export const UNKNOWN_SOURCE = 'unknown';

export const RISK_LEVELS = ['low', 'medium', 'high', 'critical'] as const;
export type RiskLevel = (typeof RISK_LEVELS)[number];

/** Who decided: the threshold (cleared without AI), the vector cache, the model, the rules. */
export const TIERS = ['threshold', 'cache', 'model', 'rules'] as const;
export type Tier = (typeof TIERS)[number];

/** A signal, checked. Absent is null. */
export type Axiom = {
  source_id: string;
  domain: string;
  status: string | null;
  metric_value: number | null;
  anomaly_score: number;
  /** UTC with microseconds. */
  emitted_at: string;
  /** What the signal is about, where its sender said so: the key of another entity's history. */
  entity_type: string | null;
  entity_id: string | null;
  correlation_id: string | null;
  payload: unknown;
};

/** A signal that is to be judged. Without a position it is on its way into the journal: seq is null. */
export type TakenAxiom<Seq extends number | null = number | null> = Axiom & {
  event_id: string;
  seq: Seq;
  /** Where it has no position: when it was accepted. */
  recorded_at: string;
};

/** A recorded signal. */
export type RecordedAxiom = TakenAxiom<number>;

/** A tier that could not answer, and why. */
export type Failure = { tier: 'cache' | 'model'; cause: string; detail?: string };

/** What was decided on a signal. Absent is null. */
export type Verdict = {
  /** seq: null where the signal was judged before it had a position. */
  axiom: { event_id: string; seq: number | null };
  source_id: string;
  domain: string;
  status: string | null;
  metric_value: number | null;
  anomaly_score: number;
  emitted_at: string;
  entity_type: string | null;
  entity_id: string | null;
  /** Whether the score reached the threshold, whichever tier then answered. */
  routed_to_ai: boolean;
  risk_level: RiskLevel;
  tier: Tier;
  /** The driver that answered: `threshold`, `cache`, `rules`, or the name of the model's provider. */
  driver: string;
  narrative: string;
  policy_version: string;
  /** Policy passages the model was given. */
  passages: string[] | null;
  /** The rule that matched, also where another tier then answered. */
  rule: string | null;
  model: string | null;
  /** SHA-256 of the prompt, lower-case hex. */
  prompt_hash: string | null;
  embedding_model: string | null;
  /** What was embedded. */
  fingerprint: string | null;
  /** The fingerprint's embedding where making it again would ask a model: little-endian float32, base64. */
  embedding: string | null;
  /** Cosine, and the event_id of the verdict that was reused. */
  similarity: number | null;
  cached_from: string | null;
  /** Tiers that were asked before and failed. */
  failures: Failure[] | null;
  /** Whole milliseconds: from the record of the signal until it was taken up; of the judging itself, and its parts. */
  timings: { waited: number; judged: number; embedding?: number; cache?: number; model?: number } | null;
};

/** The signal of an event of AXIOM_TYPE. */
export function axiomOf<Seq extends number | null>(
  event: Pick<
    JournalEvent,
    'event_id' | 'recorded_at' | 'entity_id' | 'occurred_at' | 'correlation_id' | 'new_value'
  > & { seq: Seq },
): TakenAxiom<Seq> {
  const said = JSON.parse(event.new_value ?? '{}') as Partial<Axiom>;
  return {
    event_id: event.event_id,
    seq: event.seq,
    recorded_at: event.recorded_at,
    source_id: event.entity_id,
    domain: said.domain ?? '',
    status: said.status ?? null,
    metric_value: said.metric_value ?? null,
    anomaly_score: said.anomaly_score ?? 0,
    emitted_at: event.occurred_at,
    entity_type: said.entity_type ?? null,
    entity_id: said.entity_id ?? null,
    correlation_id: event.correlation_id,
    payload: said.payload ?? null,
  };
}

/**
 * The verdict's id follows from the signal's source, so that the journal itself takes one verdict for each: the first.
 * Of signals without a source each has its own.
 */
export function verdictId({ source_id, event_id }: Pick<TakenAxiom, 'source_id' | 'event_id'>): string {
  const of = source_id === UNKNOWN_SOURCE ? `event ${event_id}` : `source ${source_id}`;
  return uuidV8(hash('sha256', `indelible verdict of ${of}`));
}

/**
 * The event that records a verdict. Absent members are left out: they are most of them.
 * @param id its verdictId, where that is known
 */
export function verdictDraft(
  verdict: Verdict,
  correlationId: string | null,
  id: string = verdictId({ source_id: verdict.source_id, event_id: verdict.axiom.event_id }),
): DraftEvent {
  const said: Record<string, unknown> = {};
  for (const name in verdict) {
    const value = verdict[name as keyof Verdict];
    if (value !== null && name !== 'source_id') said[name] = value;
  }
  if (verdict.axiom.seq === null) said.axiom = { event_id: verdict.axiom.event_id };
  return {
    event_id: id,
    occurred_at: null,
    entity_type: VERDICT_TYPE,
    entity_id: verdict.source_id,
    field: '*',
    action: 'insert',
    old_value: null,
    new_value: JSON.stringify(said),
    actor: 'indelible',
    actor_type: 'service',
    source: 'compliance',
    correlation_id: correlationId,
    metadata: null,
  };
}

/** A verdict of which nothing is said, its members in the order of the record. */
export const NO_VERDICT: Verdict = {
  axiom: { event_id: '', seq: null },
  source_id: '',
  domain: '',
  status: null,
  metric_value: null,
  anomaly_score: 0,
  emitted_at: timeOfMs(0),
  entity_type: null,
  entity_id: null,
  routed_to_ai: false,
  risk_level: 'low',
  tier: 'rules',
  driver: 'rules',
  narrative: '',
  policy_version: '',
  passages: null,
  rule: null,
  model: null,
  prompt_hash: null,
  embedding_model: null,
  fingerprint: null,
  embedding: null,
  similarity: null,
  cached_from: null,
  failures: null,
  timings: null,
};

/** The verdict of an event of VERDICT_TYPE. */
export function verdictOf(event: Pick<JournalEvent, 'entity_id' | 'new_value'>): Verdict {
  const said = JSON.parse(event.new_value ?? '{}') as Partial<Verdict>;
  const axiom = { ...NO_VERDICT.axiom, ...said.axiom };
  return { ...NO_VERDICT, ...said, axiom, source_id: event.entity_id };
}
