import { expect, it } from 'vitest';
import { AiError, type Embedder } from '../../src/judging/index.ts';
import { loadPolicies, policiesOf, SHIPPED_POLICIES } from '../../src/policies/index.ts';
import { axiomOf } from '../../projections/index.ts';

const broken = (error: Error): Embedder => ({
  model: 'broken',
  dimensions: 2,
  isLocal: false,
  embed: async () => {
    throw error;
  },
});

const signal = axiomOf({
  ...{ seq: 0, event_id: 'e', recorded_at: '2026-01-01T00:00:00.000000Z', workspace_id: 'acme', event_hash: '' },
  ...{ occurred_at: '2026-01-01T00:00:00.000000Z', entity_type: 'indelible.axiom', entity_id: 's', field: '*' },
  ...{ action: 'ingest', old_value: null, actor: 'ann', actor_type: null, source: null, correlation_id: null },
  ...{ metadata: null, new_value: '{"domain":"realTraffic","anomaly_score":1}' },
});

it('a model is given the passages of the domain where its embedder does not answer', async () => {
  const set = await loadPolicies(SHIPPED_POLICIES);
  const away = policiesOf(set, broken(new AiError('unreachable', 'away')));
  const never = new AbortController().signal;
  const found = await away.passages(signal, new Float32Array([1, 0]), never);
  expect(found).toEqual(await away.passages(signal, undefined, never));
  expect(found.length).toBeGreaterThan(0);
  // A fault of ours is no embedder that is away.
  const faulty = policiesOf(set, broken(new TypeError('ours')));
  await expect(faulty.passages(signal, new Float32Array([1, 0]), never)).rejects.toThrow('ours');
});
