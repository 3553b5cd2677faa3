import { type Failure, NO_VERDICT, type TakenAxiom, type Verdict } from '../../projections/index.ts';
import {
  AiError,
  type CachedVerdict,
  type Embedder,
  type Model,
  type Policies,
  type RuleVerdict,
  type VerdictIndex,
} from './ports.ts';
import { promptOf } from './prompt.ts';

/** What a decision is made with. Everything that may take time or fail is behind it. */
export type JudgePorts = {
  /** Milliseconds of a clock that only runs forward. */
  nowMs: () => number;
  policies: Policies;
  fingerprintOf: (axiom: TakenAxiom) => string;
  embedder: Embedder;
  index: VerdictIndex;
  /** undefined: none is configured, and the rules have the last word. */
  model: Model | undefined;
  encodeVector: (vector: Float32Array) => string;
  /** Hears of a fault that no tier is known to have: ours. The next tier answers all the same. */
  onFault: (error: unknown) => void;
};

/** What a signal below the threshold is cleared by. */
export type Bounds = Pick<Policies, 'version' | 'threshold'>;

type Timings = NonNullable<Verdict['timings']>;

/** How far the judging of one signal has come. */
type Case = {
  axiom: TakenAxiom;
  rule: RuleVerdict;
  fingerprint: string;
  vector: Float32Array | undefined;
  failures: Failure[];
  timings: Timings;
};

/** The verdict on a signal below the threshold: nobody is asked. `waitedMs`: since it was recorded. */
export function clearedVerdict(axiom: TakenAxiom, policies: Bounds, waitedMs: number): Verdict {
  return {
    ...verdictOn(axiom, policies),
    routed_to_ai: false,
    risk_level: 'low',
    tier: 'threshold',
    driver: 'threshold',
    narrative: `The anomaly score is below the threshold of ${policies.threshold}: cleared without AI.`,
    timings: { waited: Math.round(waitedMs), judged: 0 },
  };
}

/**
 * The verdict on a signal that reached the threshold: by a verdict on one like it, else by the model, else by the rules.
 * Always gives one: a tier that fails is noted with its cause, and the next one is asked.
 * @throws only where `signal` aborts: then nothing is decided
 */
export async function judge(
  axiom: TakenAxiom,
  ports: JudgePorts,
  waitedMs: number,
  signal: AbortSignal,
): Promise<Verdict> {
  const startedMs = ports.nowMs();
  const open: Case = {
    axiom,
    rule: ports.policies.rule(axiom),
    fingerprint: ports.fingerprintOf(axiom),
    vector: undefined,
    failures: [],
    timings: { waited: Math.round(waitedMs), judged: 0 },
  };
  const verdict =
    (await fromCache(open, ports, signal)) ?? (await fromModel(open, ports, signal)) ?? byRule(open, ports);
  open.timings.judged = Math.round(ports.nowMs() - startedMs);
  return verdict;
}

/** Tier 1: a verdict on a signal alike, of the same embedding model, the same policies and the same rule. */
async function fromCache(open: Case, ports: JudgePorts, signal: AbortSignal): Promise<Verdict | undefined> {
  const { embedder, index, policies } = ports;
  const partition = { embeddingModel: embedder.model, policyVersion: policies.version, rule: open.rule.rule };
  return attempt('cache', open, ports, signal, async () => {
    const same = index.exact(partition, open.fingerprint);
    if (same) return reused(open, ports, same, 1);
    const embeddedMs = ports.nowMs();
    [open.vector] = await embedder.embed([open.fingerprint], signal);
    open.timings.embedding = Math.round(ports.nowMs() - embeddedMs);
    if (!open.vector) throw new AiError('invalid-answer', 'the embedder gave no vector');
    const lookedUpMs = ports.nowMs();
    const near = await index.nearest(partition, open.vector, policies.similarityMin);
    open.timings.cache = Math.round(ports.nowMs() - lookedUpMs);
    return near && reused(open, ports, near.verdict, near.similarity);
  });
}

function reused(open: Case, ports: JudgePorts, cached: CachedVerdict, similarity: number): Verdict {
  return {
    ...judgedOn(open, ports),
    // The embedding need not be kept: the verdict that is reused has its own.
    embedding: null,
    risk_level: cached.riskLevel,
    tier: 'cache',
    driver: 'cache',
    narrative: cached.narrative,
    similarity,
    cached_from: cached.eventId,
  };
}

/** Tier 2: the model, given the passages of the policy that apply. */
async function fromModel(open: Case, ports: JudgePorts, signal: AbortSignal): Promise<Verdict | undefined> {
  const { model, policies } = ports;
  if (!model) return undefined;
  return attempt('model', open, ports, signal, async () => {
    const askedMs = ports.nowMs();
    const passages = await policies.passages(open.axiom, open.vector, signal);
    const prompt = promptOf(open.axiom, passages);
    try {
      const { riskLevel, narrative } = await model.answer(prompt, signal);
      return {
        ...judgedOn(open, ports),
        risk_level: riskLevel,
        tier: 'model',
        driver: model.driver,
        narrative,
        passages: passages.map(({ id }) => id),
        model: model.name,
        prompt_hash: prompt.hash,
      };
    } finally {
      open.timings.model = Math.round(ports.nowMs() - askedMs);
    }
  });
}

/** Tier 3: nobody is asked, so nothing can fail. */
function byRule(open: Case, ports: JudgePorts): Verdict {
  return {
    ...judgedOn(open, ports),
    risk_level: open.rule.riskLevel,
    tier: 'rules',
    driver: 'rules',
    narrative: open.rule.narrative,
  };
}

async function attempt(
  tier: Failure['tier'],
  open: Case,
  ports: JudgePorts,
  signal: AbortSignal,
  ask: () => Promise<Verdict | undefined>,
): Promise<Verdict | undefined> {
  try {
    return await ask();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AiError) {
      open.failures.push({ tier, cause: error.failure, detail: error.message });
    } else {
      open.failures.push({ tier, cause: 'internal' });
      ports.onFault(error);
    }
    return undefined;
  }
}

function judgedOn(open: Case, ports: JudgePorts): Verdict {
  const { embedder } = ports;
  return {
    ...verdictOn(open.axiom, ports.policies),
    routed_to_ai: true,
    rule: open.rule.rule,
    embedding_model: embedder.model,
    fingerprint: open.fingerprint,
    embedding: open.vector && !embedder.isLocal ? ports.encodeVector(open.vector) : null,
    failures: open.failures.length > 0 ? open.failures : null,
    timings: open.timings,
  };
}

/** What every verdict says, whoever gave it. */
function verdictOn(axiom: TakenAxiom, policies: Bounds): Verdict {
  return {
    ...NO_VERDICT,
    axiom: { event_id: axiom.event_id, seq: axiom.seq },
    source_id: axiom.source_id,
    domain: axiom.domain,
    status: axiom.status,
    metric_value: axiom.metric_value,
    anomaly_score: axiom.anomaly_score,
    emitted_at: axiom.emitted_at,
    entity_type: axiom.entity_type,
    entity_id: axiom.entity_id,
    policy_version: policies.version,
  };
}
