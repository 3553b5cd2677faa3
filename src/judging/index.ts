export { AXIOM_FIELDS, type AxiomBatch, readAxioms } from './axiom-reader.ts';
export { type Bounds, clearedVerdict, type JudgePorts, judge } from './judge.ts';
export {
  AI_CAUSES,
  type AiCause,
  AiError,
  type CachedVerdict,
  type Embedder,
  type Model,
  type ModelAnswer,
  type Neighbour,
  type Partition,
  type Passage,
  type Policies,
  type Prompt,
  type RuleVerdict,
  type VerdictIndex,
} from './ports.ts';
