import type { Redis as RedisClient } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import { IndelibleError, type Journals } from '../../../journal/index.ts';
import {
  AXIOMS_HIGH,
  COMPLIANCE_GROUP,
  ensureGroup,
  pendingSummary,
  readNew,
} from '../../../src/cluster/redis/index.ts';
import { countBySource, manySignals, signals, verdicts } from '../../compliance/judging-lab.ts';
import { hang } from '../../judging/scripted-ports.ts';
import { GeminiServer } from '../../support/gemini-server.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { AxiomLab } from './axiom-lab.ts';

/** Flagged signals none of which is like another. */
const unalike = (prefix: string, count: number) =>
  signals(
    ...Array.from({ length: count }, (_, i) => ({
      ...{ source_id: `${prefix}${i}`, anomaly_score: 0.9, status: `${prefix} state ${i}` },
      entity_id: `${prefix}${(i * 2654435761) % 4294967296}`,
      payload: { [`member ${i}`]: `word${i} other${i * 7} third${i * 13}` },
    })),
  );
const alike = (prefix: string, count: number) => manySignals(prefix, count, 0.9);

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('flagged signals of the streams', () => {
  let server: RedisServer;
  let gemini: GeminiServer;
  let lab: AxiomLab;
  let ai: Awaited<ReturnType<AxiomLab['gemini']>>;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.remove());
  beforeEach(async () => {
    gemini = await GeminiServer.start();
    lab = await AxiomLab.open(server);
    await lab.redis.flushall();
    ai = await lab.gemini(gemini);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await lab.dispose();
    await gemini.stop();
  });

  const tiers = async () => {
    const counts: Record<string, number> = {};
    for (const { tier } of await verdicts(lab.journals)) counts[tier] = (counts[tier] ?? 0) + 1;
    return counts;
  };
  /** Questions are answered when this is called, and no sooner. */
  const holdModel = () => {
    const parts = Promise.withResolvers<void>();
    const held = async (workspace: string) => {
      const { model, embedder } = await ai(workspace);
      if (!model) throw new Error('there is a model');
      const answer: typeof model.answer = async (...asked) => {
        await Promise.race([parts.promise, hang(asked[1])]);
        return model.answer(...asked);
      };
      return { model: { driver: model.driver, name: model.name, answer }, embedder };
    };
    return { held, release: () => parts.resolve() };
  };

  it('are judged by the model, with what it said', async () => {
    await lab.started({ ai });
    await lab.queue.enqueue('acme', unalike('s', 3));
    await lab.idle();
    expect(await tiers()).toEqual({ model: 3 });
    const [first] = await verdicts(lab.journals);
    expect(first).toMatchObject({ driver: 'gemini', routed_to_ai: true, axiom: { seq: null }, failures: null });
  });

  it('are judged by the rules where the model is away', async () => {
    gemini.decide = () => ({ do: 'fail', status: 503, code: 'UNAVAILABLE' });
    const heard = await lab.started({ ai });
    await lab.queue.enqueue('acme', [...unalike('s', 4), ...manySignals('low', 20)]);
    await lab.idle();
    expect(await tiers()).toEqual({ rules: 4, threshold: 20 });
    expect([heard.failures, heard.faults]).toEqual([[], []]);
  });

  it('that are alike ask the model once, together and one after another', async () => {
    const heard = await lab.started({ ai });
    await lab.queue.enqueue('acme', alike('a', 30));
    await lab.idle();
    await lab.queue.enqueue('acme', alike('b', 5));
    await lab.idle();
    expect(gemini.counts.generateContent).toBe(1);
    const all = await verdicts(lab.journals);
    const asked = all.find(({ tier }) => tier === 'model');
    const others = all.filter(({ tier }) => tier === 'cache');
    expect(others).toHaveLength(34);
    expect(new Set(others.map(({ cached_from }) => cached_from))).toEqual(new Set([asked?.event.event_id]));
    expect(heard.failures).toEqual([]);
  });

  it('ask nobody about what another consumer has a verdict on: it is in the journal', async () => {
    const first = await lab.started({ ai });
    await lab.queue.enqueue('acme', alike('a', 1));
    await lab.idle();
    await lab.stop(first);
    await lab.started({ ai });
    await lab.queue.enqueue('acme', alike('b', 1));
    await lab.idle();
    expect([gemini.counts.generateContent, await tiers()]).toEqual([1, { model: 1, cache: 1 }]);
  });

  it('are compared with what others had committed since the index was opened', async () => {
    const idle = await lab.consumer({ ai });
    const busy = await lab.consumer({ ai });
    const read = async (name: string) => {
      const asked = { streams: [AXIOMS_HIGH], group: COMPLIANCE_GROUP, consumer: name, count: 10 };
      return (await readNew(lab.redis, asked)).get(AXIOMS_HIGH) ?? [];
    };
    await ensureGroup(lab.redis, AXIOMS_HIGH, COMPLIANCE_GROUP);
    const judge = async ({ consumer }: typeof idle, drafts: ReturnType<typeof signals>) => {
      await lab.queue.enqueue('acme', drafts);
      await consumer.handle(await read('any'), AXIOMS_HIGH);
      await lab.idle([AXIOMS_HIGH]);
    };
    await judge(idle, unalike('other', 1));
    await judge(busy, alike('a', 1));
    // Some seconds later.
    const realNow = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => realNow() + 10_000);
    await judge(idle, alike('b', 1));
    expect(await tiers()).toEqual({ model: 2, cache: 1 });
  });

  it.each([
    ['the model said it', () => ({ do: 'answer' }) as const],
    ['the rules said it, which is not reused', () => ({ do: 'fail', status: 503, code: 'UNAVAILABLE' }) as const],
  ])('do not ask the model where the source has its row, though Redis has forgotten: %s', async (_, decide) => {
    gemini.decide = decide;
    const first = await lab.started({ ai });
    await lab.queue.enqueue('acme', [...unalike('s', 2), ...signals({ anomaly_score: 0.95, status: 'unnamed' })]);
    await lab.idle();
    gemini.decide = () => undefined;
    const asked = gemini.counts.generateContent;
    await lab.stop(first);
    const redis = lab.redis as RedisClient;
    const before = await redis.xrange(AXIOMS_HIGH, '-', '+');
    await redis.flushall();
    for (const [, fields] of before) await redis.xadd(AXIOMS_HIGH, '*', ...fields);
    // Of another embedding model: no verdict before can be reused, and only the row is left to tell.
    const second = await lab.started({ ai: async (workspace) => ({ ...(await ai(workspace)), embedder: undefined }) });
    await lab.idle();
    expect([gemini.counts.generateContent, second.repeated.length, second.judged]).toEqual([asked, 3, []]);
    expect(await verdicts(lab.journals)).toHaveLength(3);
  });

  it('hold up nobody while the model is slow, wait aside up to a bound, and are all judged in the end', async () => {
    const { held, release } = holdModel();
    const heard = await lab.started({ ai: held, concurrency: 8 });
    for (let at = 0; at < 4; at++) await lab.queue.enqueue('acme', unalike(`high${at}-`, 300));
    for (let at = 0; at < 6; at++) await lab.queue.enqueue('acme', manySignals(`low${at}-`, 500));
    await vi.waitFor(() => expect(heard.judged).toHaveLength(3_000), 20_000);
    expect(await tiers()).toEqual({ threshold: 3_000 });
    const { count } = await pendingSummary(lab.redis, AXIOMS_HIGH, COMPLIANCE_GROUP);
    expect(heard.consumer.waiting).toBe(count);
    expect(count).toBeGreaterThan(700);
    expect(count).toBeLessThanOrEqual(1_000);
    release();
    await lab.idle();
    const all = await verdicts(lab.journals);
    expect([all.length, new Set(countBySource(all).values())]).toEqual([4_200, new Set([1])]);
    expect([heard.failures, heard.faults]).toEqual([[], []]);
  }, 90_000);

  it('that wait when it stops are judged by another', async () => {
    const { held } = holdModel();
    const first = await lab.started({ ai: held, concurrency: 2 });
    await lab.queue.enqueue('acme', unalike('s', 6));
    await vi.waitFor(() => expect(first.consumer.waiting).toBe(6));
    await lab.stop(first);
    expect(first.failures).toEqual([]);
    const second = await lab.consumer({ ai });
    expect(await lab.reclaim(second, 'second')).toBe(6);
    await lab.idle();
    expect(await tiers()).toEqual({ model: 6 });
  });

  it('wait where the journal cannot be read, and are judged when it can', async () => {
    await lab.queue.enqueue('acme', manySignals('low', 1));
    await lab.started();
    await lab.idle();
    let isAway = true;
    const journals = new Proxy(lab.journals, {
      get(target, name) {
        if (name === 'snapshot' && isAway)
          return async () => {
            throw new IndelibleError('unavailable', 'the store is away', { retryAfterS: 1 });
          };
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    }) as Journals;
    await lab.redis.flushall();
    const heard = await lab.started({ journals, ai });
    await lab.queue.enqueue('acme', [...unalike('s', 3), ...manySignals('more', 10)]);
    await vi.waitFor(() => expect(heard.failures.length).toBeGreaterThan(1));
    await vi.waitFor(() => expect(heard.judged.length).toBeGreaterThanOrEqual(10));
    isAway = false;
    await vi.waitFor(async () => expect(await tiers()).toMatchObject({ model: 3 }), 20_000);
  });
});
