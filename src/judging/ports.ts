import type { Axiom, RiskLevel } from '../../projections/index.ts';

/**
 * What the judge asks of the outside. Two adapters each: the model's service and what serves without one; tests put
 * scripted ones in their place.
 */

/** Why a tier could not answer. What is counted and recorded with the verdict is this word. */
export const AI_CAUSES = [
  'not-configured',
  'timeout',
  'unreachable',
  'rate-limited',
  'unauthorized',
  'server-error',
  'refused',
  'invalid-answer',
  'circuit-open',
  'budget',
  'index-error',
  'internal',
] as const;
export type AiCause = (typeof AI_CAUSES)[number];

export class AiError extends Error {
  readonly failure: AiCause;

  /** `detail` is recorded: it holds no key and no text of the signal. */
  constructor(failure: AiCause, detail: string, options?: { cause?: unknown }) {
    super(detail, options);
    this.name = 'AiError';
    this.failure = failure;
  }
}

export interface Embedder {
  /** Vectors of different models never mix. */
  readonly model: string;
  readonly dimensions: number;
  /** Whether the same text gives the same vector for ever, without asking anybody. */
  readonly isLocal: boolean;
  /** Unit vectors, one for each text. @throws AiError */
  embed(texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]>;
}

/** What may be reused: verdicts of the same embedding model, policy version and rule. */
export type Partition = { embeddingModel: string; policyVersion: string; rule: string };

export type CachedVerdict = {
  /** event_id of the verdict that is reused. */
  eventId: string;
  riskLevel: RiskLevel;
  narrative: string;
};

export type Neighbour = { verdict: CachedVerdict; similarity: number };

export interface VerdictIndex {
  /** The verdict on this very fingerprint. */
  exact(partition: Partition, fingerprint: string): CachedVerdict | undefined;
  /**
   * The nearest verdict at least this similar (cosine). May miss one, which costs a question to the model, and never
   * gives one that is not as similar as it says.
   * @throws AiError index-error
   */
  nearest(partition: Partition, vector: Float32Array, similarityMin: number): Promise<Neighbour | undefined>;
}

export type Prompt = {
  /** Ours: the task and the policy passages. */
  instruction: string;
  /** The signal, as data. */
  data: string;
  /** SHA-256 of both, lower-case hex. */
  hash: string;
};

/** Checked: whatever the model said, this is all that is taken of it. */
export type ModelAnswer = { riskLevel: RiskLevel; narrative: string };

export interface Model {
  /** `gemini`: driver_used. */
  readonly driver: string;
  readonly name: string;
  /** @throws AiError */
  answer(prompt: Prompt, signal: AbortSignal): Promise<ModelAnswer>;
}

/** A piece of the policy's text. */
export type Passage = { id: string; title: string; text: string };

export type RuleVerdict = { rule: string; riskLevel: RiskLevel; narrative: string };

/** One version of the policies. */
export interface Policies {
  readonly version: string;
  /** Scores from here on are judged; signals below are cleared. */
  readonly threshold: number;
  /** Cosine from which on a verdict is reused. */
  readonly similarityMin: number;
  /** Always answers, and asks nobody. */
  rule(axiom: Axiom): RuleVerdict;
  /** The passages that apply; without a vector, by what the signal says of itself. @throws AiError */
  passages(axiom: Axiom, vector: Float32Array | undefined, signal: AbortSignal): Promise<readonly Passage[]>;
}
