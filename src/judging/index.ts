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
  type Prompt,
  type VerdictIndex,
} from './ports.ts';
