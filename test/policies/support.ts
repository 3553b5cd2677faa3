import type { Axiom } from '../../projections/index.ts';
import type { PolicyTexts } from '../../src/policies/policy-set.ts';

/** A signal that no rule of the shipped policies is particular about. */
export function axiom(said: Partial<Axiom> = {}): Axiom {
  return {
    source_id: 'meter-7/2026-01-02T03:04:05Z',
    domain: 'water',
    status: null,
    metric_value: 12.5,
    anomaly_score: 0.8,
    emitted_at: '2026-01-02T03:04:05.000000Z',
    entity_type: 'metric',
    entity_id: 'meter-7',
    correlation_id: null,
    payload: null,
    ...said,
  };
}

export const ALWAYS = { id: 'rest', when: { type: 'Always' }, risk_level: 'medium', narrative: 'Review it.' };

/** A policy that is accepted, changed at its top. */
export function policyText(changed: Record<string, unknown> = {}): string {
  return JSON.stringify({
    name: 'test',
    version: '1.0.0',
    threshold: 0.8,
    similarity_min: 0.9,
    rules: [ALWAYS],
    ...changed,
  });
}

/** One rule with this condition before the last. */
export const withCondition = (when: unknown): string =>
  policyText({ rules: [{ ...ALWAYS, id: 'first', when }, ALWAYS] });

export const PASSAGE = '# Pipes\n\nDomains: water, gas\n\nA leak is closed.\n';

export function texts(policy: string, passages: Record<string, string> = { 'pipes.md': PASSAGE }): PolicyTexts {
  return {
    policy: { file: 'policy.json', text: policy },
    passages: Object.entries(passages).map(([name, text]) => ({ file: `passages/${name}`, text })),
  };
}
