import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { localVector } from '../../src/vectors/local-embedder.ts';
import { encodeVector, localEmbedder } from '../../src/vectors/index.ts';
import { dot } from './vectors.ts';

const TEXT = ['domain: payments', 'status: failed', 'series: vendor-7', 'score: 0.90', 'metric: +3e2'].join('\n');
const digestOf = (vector: Float32Array) => createHash('sha256').update(encodeVector(vector)).digest('hex').slice(0, 16);

describe('the local embedder', () => {
  it('gives the same vectors as ever, bit for bit', async () => {
    const texts = [TEXT, '', 'Größe 漢字 über-limit'];
    const vectors = await localEmbedder.embed(texts, AbortSignal.abort());
    expect(localEmbedder).toMatchObject({ model: 'local-hash-256-v1', dimensions: 256, isLocal: true });
    // Another digest is another model: it needs another name, or verdicts are reused for what they do not fit.
    expect(vectors.map(digestOf)).toEqual(['67839d219d71b7c8', '8cfbd65a51a84073', '210a4f4aa4d3fa7d']);
  });

  it('gives unit vectors of 256 values for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const vector = localVector(text);
        expect(vector).toHaveLength(localEmbedder.dimensions);
        expect(dot(vector, vector)).toBeCloseTo(1, 5);
        expect(localVector(text)).toEqual(vector);
      }),
    );
  });

  it('finds texts that differ in one band nearer than those of another domain or status', () => {
    const vector = localVector(TEXT);
    const similarityTo = (from: string, to: string) => dot(vector, localVector(TEXT.replace(from, to)));
    const bands = [similarityTo('0.90', '0.95'), similarityTo('+3e2', '+1e2')];
    const others = [similarityTo('payments', 'onboarding'), similarityTo('failed', 'reversed')];
    expect(Math.min(...bands)).toBeGreaterThan(Math.max(...others));
    expect(Math.max(...bands)).toBeLessThan(0.999);
    const elsewhere = localVector('domain: onboarding\nstatus: incomplete\nseries: customer-3\nscore: 0.55');
    expect(dot(vector, elsewhere)).toBeLessThan(Math.min(...others));
  });
});
