import { AiError, type Embedder, type Policies } from '../judging/index.ts';
import { byDomain, PassageIndex } from './passages.ts';
import type { PolicySet } from './policy-set.ts';
import { judgeByRules } from './rules.ts';

/** Passages that the model is given: enough for a domain's own and those on time limits and evidence. */
const PASSAGES_PER_SIGNAL = 4;

/** A policy set as the judge asks for it. Passages are found by vectors of `embedder`, and by domain without one. */
export function policiesOf(set: PolicySet, embedder: Embedder): Policies {
  const index = new PassageIndex(set.passages, embedder);
  return {
    version: set.version,
    threshold: set.threshold,
    similarityMin: set.similarityMin,
    rule: (axiom) => judgeByRules(set, axiom),
    async passages(axiom, vector, signal) {
      try {
        if (vector) return await index.relevant(axiom, vector, PASSAGES_PER_SIGNAL, signal);
      } catch (error) {
        // The model can be asked without its embedder: the passages of the domain are nearly always the same ones.
        if (!(error instanceof AiError)) throw error;
      }
      return byDomain(set.passages, axiom, PASSAGES_PER_SIGNAL);
    },
  };
}
