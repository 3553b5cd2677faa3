import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Verdict, verdictDraft, verdictOf } from '../../projections/index.ts';
import { decodeVector } from '../../src/vectors/entries.ts';
import { encodeVector, entryOf, localEmbedder } from '../../src/vectors/index.ts';
import { localVector } from '../../src/vectors/local-embedder.ts';

/** A verdict of the rules, without a model and with the local embedder. */
function verdict(said: Partial<Verdict> = {}): Verdict {
  const absent = verdictOf({ new_value: '{}', entity_id: 'signal-1' } as Parameters<typeof verdictOf>[0]);
  return {
    ...absent,
    risk_level: 'critical',
    narrative: 'Paid twice.',
    policy_version: '3',
    rule: 'paid-twice',
    fingerprint: 'domain: payments',
    embedding_model: localEmbedder.model,
    ...said,
  };
}

const embedding = encodeVector(new Float32Array([0.5, -0.25, 1e-3]));
const byModel: Partial<Verdict> = { tier: 'model', driver: 'gemini', embedding_model: 'model-a', embedding };

describe('what the index keeps of a verdict', () => {
  it('is its answer, by partition and fingerprint, with the embedding made again where that is local', () => {
    expect(entryOf(verdict(), 'event-1', 41)).toEqual({
      seq: 41,
      partition: { embeddingModel: 'local-hash-256-v1', policyVersion: '3', rule: 'paid-twice' },
      fingerprint: 'domain: payments',
      vector: localVector('domain: payments'),
      cached: { eventId: 'event-1', riskLevel: 'critical', narrative: 'Paid twice.' },
    });
  });

  it('has the embedding that was recorded where a model made it', () => {
    const recorded = verdictDraft(verdict(byModel), null);
    const read = verdictOf({ ...recorded, entity_id: 'signal-1' } as Parameters<typeof verdictOf>[0]);
    expect(entryOf(read, 'event-1', 0)?.vector).toEqual(new Float32Array([0.5, -0.25, 1e-3]));
  });

  it('is nothing of verdicts that are not to be reused', () => {
    const failed: Partial<Verdict> = { failures: [{ tier: 'model', cause: 'timeout' }] };
    expect(entryOf(verdict({ ...byModel, ...failed }), 'event-1', 0)).toBeDefined();
    const none: Partial<Verdict>[] = [
      failed,
      { tier: 'threshold' },
      { tier: 'cache' },
      { fingerprint: null },
      { embedding_model: null },
      { rule: null },
      { ...byModel, embedding: null },
      { ...byModel, embedding: '' },
      { ...byModel, embedding: 'AAAA' },
      { ...byModel, embedding: encodeVector(new Float32Array(4)) },
      { ...byModel, embedding: encodeVector(new Float32Array([1, Number.NaN])) },
      { ...byModel, embedding: encodeVector(new Float32Array(16_385).fill(1)) },
    ];
    for (const said of none)
      expect(entryOf(verdict(said), 'event-1', 0), JSON.stringify(said)?.slice(0, 200)).toBeUndefined();
  });
});

describe('a recorded vector', () => {
  it('is little-endian float32 in base64', () => {
    expect(encodeVector(new Float32Array([1, -2]))).toBe('AACAPwAAAMA=');
  });

  it('comes back bit for bit', () => {
    const value = fc.float({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 50 }), (values) => {
        const vector = Float32Array.from([...values, 1]);
        expect(decodeVector(encodeVector(vector))).toEqual(vector);
      }),
    );
  });
});
