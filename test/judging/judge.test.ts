import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Partition, Policies } from '../../src/judging/index.ts';
import { AI_CAUSES, AiError, clearedVerdict, type JudgePorts, judge } from '../../src/judging/index.ts';
import { encodeVector, fingerprintOf, localEmbedder } from '../../src/vectors/index.ts';
import { hostileText } from '../support/events.ts';
import { errorOf } from '../support/journal-lab.ts';
import { CACHED, hang, MODEL, POLICIES, POLICY_VERSION, ports, recorded } from './scripted-ports.ts';

const never = () => {
  throw new Error('nobody is asked');
};
const GOES_ON = new AbortController().signal;
const judged = (changed: Partial<JudgePorts> = {}) => judge(recorded(), ports(changed), 3.4, GOES_ON);

describe('the tiers, in turn', () => {
  it('the verdict on the very same fingerprint: nothing is embedded, nobody is asked', async () => {
    const embedder = { model: 'embedding-1', dimensions: 2, isLocal: false, embed: never };
    const index = { exact: () => CACHED, nearest: never };
    const model = { ...MODEL, answer: never };
    expect(await judged({ embedder, index, model })).toMatchObject({
      routed_to_ai: true,
      tier: 'cache',
      driver: 'cache',
      risk_level: 'critical',
      narrative: 'As before.',
      similarity: 1,
      cached_from: 'verdict-0',
      rule: 'leak',
      policy_version: POLICY_VERSION,
      fingerprint: 'fingerprint of water',
      embedding: null,
      failures: null,
      model: null,
      prompt_hash: null,
      timings: { waited: 3, judged: 1 },
    });
  });

  it('the nearest verdict, with how near it is; the index is asked for the least similarity of the policy', async () => {
    const asked: [Partition, number[], number][] = [];
    const index = {
      exact: () => undefined,
      nearest: async (partition: Partition, vector: Float32Array, similarityMin: number) => {
        asked.push([partition, [...vector], similarityMin]);
        return { verdict: CACHED, similarity: 0.95 };
      },
    };
    const verdict = await judged({ index, model: { ...MODEL, answer: never } });
    expect(verdict).toMatchObject({ tier: 'cache', similarity: 0.95, cached_from: 'verdict-0', embedding: null });
    expect(asked).toEqual([
      [{ embeddingModel: 'embedding-1', policyVersion: POLICY_VERSION, rule: 'leak' }, [1, 0], 0.9],
    ]);
  });

  it('the model, with its name, its passages, the hash of what it was asked, and the vector', async () => {
    const hashes: string[] = [];
    const model = {
      ...MODEL,
      answer: async ({ hash }: { hash: string }) => {
        hashes.push(hash);
        return { riskLevel: 'high' as const, narrative: 'The model says so.' };
      },
    };
    const verdict = await judged({ model });
    expect(verdict).toMatchObject({
      ...{ tier: 'model', driver: 'scripted', model: 'scripted-1', risk_level: 'high' },
      ...{ passages: ['pipes'], embedding: 'vector of 2', embedding_model: 'embedding-1', failures: null },
      ...{ similarity: null, cached_from: null },
    });
    expect(verdict.prompt_hash).toBe(hashes[0]);
    expect(Object.keys(verdict.timings ?? {}).sort()).toEqual(['cache', 'embedding', 'judged', 'model', 'waited']);
  });

  it('the rules where no model is configured: nothing failed', async () => {
    expect(await judged({ model: undefined })).toMatchObject({
      ...{ tier: 'rules', driver: 'rules', risk_level: 'medium', narrative: 'The rule says so.', rule: 'leak' },
      ...{ failures: null, model: null, passages: null },
    });
  });

  it('a vector that can be made again is not recorded', async () => {
    const embedder = { model: 'local', dimensions: 2, isLocal: true, embed: async () => [new Float32Array([1, 0])] };
    expect(await judged({ embedder })).toMatchObject({ tier: 'model', embedding_model: 'local', embedding: null });
  });
});

describe('a tier that fails', () => {
  it.each(AI_CAUSES)('%s: falls through, and is recorded with the verdict', async (cause) => {
    const fail = async () => {
      throw new AiError(cause, `because of ${cause}`);
    };
    const failure = { cause, detail: `because of ${cause}` };
    const embedder = { model: 'embedding-1', dimensions: 2, isLocal: false, embed: fail };
    const model = { ...MODEL, answer: fail };
    expect(await judged({ embedder })).toMatchObject({ tier: 'model', failures: [{ tier: 'cache', ...failure }] });
    expect(await judged({ model })).toMatchObject({ tier: 'rules', failures: [{ tier: 'model', ...failure }] });
    expect(await judged({ embedder, model })).toMatchObject({
      tier: 'rules',
      failures: [
        { tier: 'cache', ...failure },
        { tier: 'model', ...failure },
      ],
    });
  });

  it('for a reason of ours: internal, without a detail, and told', async () => {
    const broken = ports({ index: { exact: () => null as never, nearest: (() => undefined) as never } });
    broken.model = { ...MODEL, answer: async () => undefined as unknown as { riskLevel: 'low'; narrative: string } };
    const verdict = await judge(recorded(), broken, 0, GOES_ON);
    expect(verdict).toMatchObject({ tier: 'rules', failures: [{ tier: 'model', cause: 'internal' }] });
    expect(verdict.failures?.[0]).not.toHaveProperty('detail');
    expect(broken.faults).toHaveLength(1);
    expect(broken.faults[0]).toBeInstanceOf(TypeError);
  });

  it('an embedder that gives nothing has given an invalid answer; one that failed leaves no vector behind', async () => {
    const embedder = { model: 'embedding-1', dimensions: 2, isLocal: false, embed: async () => [] };
    const vectors: unknown[] = [];
    const policies: Policies = {
      ...POLICIES,
      passages: async (_axiom, vector) => {
        vectors.push(vector);
        return [];
      },
    };
    expect(await judged({ embedder, policies })).toMatchObject({
      ...{ tier: 'model', embedding: null, passages: [] },
      failures: [{ tier: 'cache', cause: 'invalid-answer' }],
    });
    expect(vectors).toEqual([undefined]);
  });

  it('also where the passages cannot be found, or the index is damaged', async () => {
    const passages = async () => {
      throw new AiError('timeout', 'slow');
    };
    expect(await judged({ policies: { ...POLICIES, passages } })).toMatchObject({
      ...{ tier: 'rules', failures: [{ tier: 'model', cause: 'timeout' }] },
    });
    const exact = () => {
      throw new AiError('index-error', 'damaged');
    };
    expect(await judged({ index: { exact, nearest: never } })).toMatchObject({
      ...{ tier: 'model', failures: [{ tier: 'cache', cause: 'index-error' }] },
    });
  });
});

describe('an abort', () => {
  it.each(['embed', 'nearest', 'passages', 'answer'])('during %s decides nothing', async (where) => {
    const abort = new AbortController();
    const wait = async () => {
      queueMicrotask(() => abort.abort(new Error('stopped')));
      return hang(abort.signal);
    };
    const all = ports();
    const opened: JudgePorts = {
      ...all,
      embedder: where === 'embed' ? { ...all.embedder, embed: wait } : all.embedder,
      index: where === 'nearest' ? { ...all.index, nearest: wait } : all.index,
      policies: where === 'passages' ? { ...POLICIES, passages: wait } : POLICIES,
      model: where === 'answer' ? { ...MODEL, answer: wait } : MODEL,
    };
    expect((await errorOf(judge(recorded(), opened, 0, abort.signal))).message).toBe('stopped');
    expect(all.faults).toEqual([]);
  });
});

describe('below the threshold', () => {
  it('nobody is asked: version and threshold are all that is needed', () => {
    const axiom = recorded({ anomaly_score: 0.3, status: 'ok', correlation_id: 'c', payload: { a: 1 } });
    const verdict = clearedVerdict(axiom, { version: 'v9', threshold: 0.8 }, 12.6);
    expect(verdict).toMatchObject({
      ...{ tier: 'threshold', driver: 'threshold', risk_level: 'low', routed_to_ai: false, policy_version: 'v9' },
      ...{ source_id: 'meter-7#1', domain: 'water', status: 'ok', metric_value: 12.5, anomaly_score: 0.3 },
      ...{ emitted_at: axiom.emitted_at, entity_type: 'metric', entity_id: 'meter-7' },
      ...{ axiom: { event_id: 'axiom-1', seq: 7 }, timings: { waited: 13, judged: 0 } },
      ...{ rule: null, fingerprint: null, failures: null },
    });
    expect(verdict.narrative).toContain('0.8');
  });
});

describe('what is reused', () => {
  it('a verdict of another partition is not', async () => {
    const kept = JSON.stringify({ embeddingModel: 'embedding-1', policyVersion: POLICY_VERSION, rule: 'leak' });
    const of = (partition: Partition) => (JSON.stringify(partition) === kept ? CACHED : undefined);
    const index = {
      exact: of,
      nearest: async (partition: Partition) => {
        const verdict = of(partition);
        return verdict && { verdict, similarity: 1 };
      },
    };
    expect(await judged({ index })).toMatchObject({ tier: 'cache' });
    const otherVersion = { ...POLICIES, version: 'v2' };
    const otherRule: Policies = { ...POLICIES, rule: () => ({ rule: 'burst', riskLevel: 'low', narrative: '' }) };
    const otherEmbedder = { ...ports().embedder, model: 'embedding-2' };
    expect(await judged({ index, policies: otherVersion })).toMatchObject({ tier: 'model' });
    expect(await judged({ index, policies: otherRule })).toMatchObject({ tier: 'model' });
    expect(await judged({ index, embedder: otherEmbedder })).toMatchObject({ tier: 'model' });
  });

  it('a similarity of exactly the least one is enough, and told as it is', async () => {
    const index = {
      exact: () => undefined,
      nearest: async (_partition: Partition, _vector: Float32Array, similarityMin: number) =>
        0.9 >= similarityMin ? { verdict: CACHED, similarity: 0.9 } : undefined,
    };
    expect(await judged({ index })).toMatchObject({ tier: 'cache', similarity: 0.9 });
    const stricter = { ...POLICIES, similarityMin: 0.9000001 };
    expect(await judged({ index, policies: stricter })).toMatchObject({ tier: 'model', similarity: null });
  });
});

type Does = 'answer' | 'nothing' | 'fail' | 'throw' | 'hang';

/** A port that does as it is told. `nothing` is an answer too, where the port may have none. */
async function act<T>(does: Does, answer: T, nothing: T, signal: AbortSignal): Promise<T> {
  if (does === 'answer') return answer;
  if (does === 'nothing') return nothing;
  if (does === 'hang') return hang(signal);
  throw does === 'fail' ? new AiError('server-error', 'failed') : new TypeError('broken');
}

function scripted(
  does: Record<'embed' | 'nearest' | 'passages' | 'answer', Does>,
  hasModel: boolean,
  signal: AbortSignal,
) {
  const { embedder } = ports();
  return ports({
    embedder: { ...embedder, embed: () => act(does.embed, [new Float32Array([0, 1])], [], signal) },
    index: {
      exact: () => undefined,
      nearest: () => act(does.nearest, { verdict: CACHED, similarity: 0.92 }, undefined, signal),
    },
    policies: { ...POLICIES, passages: () => act(does.passages, [{ id: 'p', title: 't', text: 'x' }], [], signal) },
    model: hasModel
      ? {
          ...MODEL,
          answer: () =>
            act(does.answer, { riskLevel: 'low', narrative: 'n' }, { riskLevel: 'high', narrative: '' }, signal),
        }
      : undefined,
  });
}

const does = fc.constantFrom<Does>('answer', 'nothing', 'fail', 'throw', 'hang');

test('whatever the ports do, there is one verdict, of the tier that follows, or an abort and none', async () => {
  const script = fc.record({ embed: does, nearest: does, passages: does, answer: does });
  await fc.assert(
    fc.asyncProperty(script, fc.boolean(), async (told, hasModel) => {
      const abort = new AbortController();
      const answering = judge(recorded(), scripted(told, hasModel, abort.signal), 0, abort.signal);
      const outcome = await Promise.race([answering, new Promise((resolve) => setImmediate(resolve, 'open'))]);
      if (outcome === 'open') {
        abort.abort(new Error('stopped'));
        expect((await errorOf(answering)).message).toBe('stopped');
      }
      expect(outcome === 'open' ? 'hang' : tierOf(outcome)).toEqual(expected(told, hasModel));
    }),
    { numRuns: 300 },
  );
});

const tierOf = (verdict: unknown) => {
  const { tier, driver, failures } = verdict as Awaited<ReturnType<typeof judge>>;
  return { tier, driver, failures: failures?.map((failure) => `${failure.tier} ${failure.cause}`) ?? [] };
};

/** The same, said as a table of what each port did. */
function expected(told: Record<'embed' | 'nearest' | 'passages' | 'answer', Does>, hasModel: boolean) {
  const failures: string[] = [];
  const embedCause = { fail: 'server-error', throw: 'internal', nothing: 'invalid-answer' }[told.embed as string];
  const nearCause = { fail: 'server-error', throw: 'internal' }[told.nearest as string];
  if (told.embed === 'hang') return 'hang';
  if (embedCause !== undefined) failures.push(`cache ${embedCause}`);
  else if (told.nearest === 'hang') return 'hang';
  else if (told.nearest === 'answer') return { tier: 'cache', driver: 'cache', failures };
  else if (nearCause !== undefined) failures.push(`cache ${nearCause}`);
  if (!hasModel) return { tier: 'rules', driver: 'rules', failures };
  const cause = (of: Does) => ({ fail: 'server-error', throw: 'internal' })[of as string];
  if (told.passages === 'hang') return 'hang';
  const passagesCause = cause(told.passages);
  if (passagesCause === undefined && told.answer === 'hang') return 'hang';
  const modelCause = passagesCause ?? cause(told.answer);
  if (modelCause === undefined) return { tier: 'model', driver: 'scripted', failures };
  return { tier: 'rules', driver: 'rules', failures: [...failures, `model ${modelCause}`] };
}

test('any signal at all gets a verdict, with the real fingerprint and the local embedder', async () => {
  const axiom = fc
    .record({
      domain: hostileText,
      metric_value: fc.option(fc.double({ noNaN: true })),
      anomaly_score: fc.double({ noNaN: true }),
      payload: fc.jsonValue(),
    })
    .map(recorded);
  await fc.assert(
    fc.asyncProperty(axiom, async (signal) => {
      const real = ports({ fingerprintOf, embedder: localEmbedder, encodeVector });
      const verdict = await judge(signal, real, 0, GOES_ON);
      expect(verdict).toMatchObject({ tier: 'model', driver: 'scripted', failures: null });
      expect(real.faults).toEqual([]);
      expect(verdict.fingerprint).toBe(fingerprintOf(signal));
    }),
  );
});
