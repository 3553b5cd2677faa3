import { assert } from '../../journal/index.ts';
import type { Verdict } from '../../projections/index.ts';
import type { CachedVerdict, Partition } from '../judging/index.ts';
import { LOCAL_EMBEDDING_MODEL, localVector } from './local-embedder.ts';

/** A verdict that may be reused for signals alike. */
export type VerdictEntry = {
  /** seq of the verdict's event. */
  seq: number;
  partition: Partition;
  fingerprint: string;
  /** The fingerprint's embedding. */
  vector: Float32Array;
  cached: CachedVerdict;
};

/** Values of a vector, so that no record of the index grows without bound: no embedding model has more. */
export const VECTOR_LENGTH_MAX = 16_384;

/**
 * What the index keeps of a verdict; undefined where it is not to be reused. The model's are, and those of the rules
 * where nothing failed before: then no model was configured and the rule is the answer, not a stopgap.
 */
export function entryOf(verdict: Verdict, eventId: string, seq: number): VerdictEntry | undefined {
  const isDefinitive = verdict.tier === 'model' || (verdict.tier === 'rules' && verdict.failures === null);
  const { fingerprint, embedding_model: embeddingModel, policy_version: policyVersion, rule } = verdict;
  if (!isDefinitive || fingerprint === null || embeddingModel === null || rule === null) return undefined;
  const vector = vectorOf(verdict.embedding, embeddingModel, fingerprint);
  if (vector === undefined) return undefined;
  return {
    seq,
    partition: { embeddingModel, policyVersion, rule },
    fingerprint,
    vector,
    cached: { eventId, riskLevel: verdict.risk_level, narrative: verdict.narrative },
  };
}

function vectorOf(embedding: string | null, embeddingModel: string, fingerprint: string): Float32Array | undefined {
  if (embedding !== null) return decodeVector(embedding);
  return embeddingModel === LOCAL_EMBEDDING_MODEL ? localVector(fingerprint) : undefined;
}

/** As a verdict's event records it: little-endian float32, base64. */
export function encodeVector(vector: Float32Array): string {
  return Buffer.from(vectorBytes(vector)).toString('base64');
}

/** undefined: not the encoding of a vector that has a direction. */
export function decodeVector(text: string): Float32Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length === 0 || bytes.length % 4 !== 0 || bytes.length / 4 > VECTOR_LENGTH_MAX) return undefined;
  const vector = vectorOfBytes(bytes);
  return hasDirection(vector) ? vector : undefined;
}

/** Whether a vector can be compared: every value finite, and not all of them zero. */
export function hasDirection(vector: Float32Array): boolean {
  return vector.every(Number.isFinite) && vector.some((value) => value !== 0);
}

/** Little-endian on every machine. */
export function vectorBytes(vector: Float32Array): Uint8Array {
  const bytes = new Uint8Array(4 * vector.length);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < vector.length; index += 1) view.setFloat32(4 * index, vector[index] as number, true);
  return bytes;
}

export function vectorOfBytes(bytes: Uint8Array): Float32Array {
  assert(bytes.length % 4 === 0, 'a vector is of whole float32 values');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const vector = new Float32Array(bytes.length / 4);
  for (let index = 0; index < vector.length; index += 1) vector[index] = view.getFloat32(4 * index, true);
  return vector;
}
