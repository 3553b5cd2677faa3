import type { RecordedAxiom } from '../../projections/index.ts';
import type { CachedVerdict, JudgePorts, Model, Policies } from '../../src/judging/index.ts';

export const POLICY_VERSION = 'v1+0123456789ab';

export function recorded(said: Partial<RecordedAxiom> = {}): RecordedAxiom {
  return {
    event_id: 'axiom-1',
    seq: 7,
    recorded_at: '2026-01-02T03:04:06.000000Z',
    source_id: 'meter-7#1',
    domain: 'water',
    status: null,
    metric_value: 12.5,
    anomaly_score: 0.9,
    emitted_at: '2026-01-02T03:04:05.000000Z',
    entity_type: 'metric',
    entity_id: 'meter-7',
    correlation_id: null,
    payload: null,
    ...said,
  };
}

export const CACHED: CachedVerdict = { eventId: 'verdict-0', riskLevel: 'critical', narrative: 'As before.' };

export const POLICIES: Policies = {
  version: POLICY_VERSION,
  threshold: 0.8,
  similarityMin: 0.9,
  rule: () => ({ rule: 'leak', riskLevel: 'medium', narrative: 'The rule says so.' }),
  passages: async () => [{ id: 'pipes', title: 'Pipes', text: 'A leak is closed.' }],
};

export const MODEL: Model = {
  driver: 'scripted',
  name: 'scripted-1',
  answer: async () => ({ riskLevel: 'high', narrative: 'The model says so.' }),
};

/** Everything answers: the cache is empty, and the model knows. Each reading of the clock is a millisecond later. */
export function ports(changed: Partial<JudgePorts> = {}): JudgePorts & { faults: unknown[] } {
  const faults: unknown[] = [];
  let ms = 0;
  return {
    nowMs: () => ms++,
    policies: POLICIES,
    fingerprintOf: (axiom) => `fingerprint of ${axiom.domain}`,
    embedder: { model: 'embedding-1', dimensions: 2, isLocal: false, embed: async () => [new Float32Array([1, 0])] },
    index: { exact: () => undefined, nearest: async () => undefined },
    model: MODEL,
    encodeVector: (vector) => `vector of ${vector.length}`,
    onFault: (error) => faults.push(error),
    ...changed,
    faults,
  };
}

/** Waits for the abort, as a call to a service that never answers does. */
export function hang(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}
