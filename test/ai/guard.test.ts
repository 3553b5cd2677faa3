import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CallBudget, type CallLimits } from '../../src/ai/call-budget.ts';
import { GeminiEmbedder, GeminiModel } from '../../src/ai/gemini.ts';
import { type AiObserver, Guard, type GuardSettings } from '../../src/ai/guard.ts';
import { GuardedEmbedder, GuardedModel } from '../../src/ai/guarded.ts';
import { GEMINI_KEY, GeminiServer, type GeminiTurn, inTurn } from '../support/gemini-server.ts';
import { errorOf, ManualClock, SeededRandom } from '../support/journal-lab.ts';

let server: GeminiServer;
let clock: ManualClock;
let heard: string[];
beforeEach(async () => {
  server = await GeminiServer.start();
  clock = new ManualClock();
  heard = [];
});
afterEach(async () => {
  vi.useRealTimers();
  await server.stop();
});

const OBSERVER: AiObserver = {
  callDone: (kind, outcome, ms) => heard.push(`${kind} ${outcome}${ms >= 0 ? '' : ' before it began'}`),
  retried: (kind, cause, delayMs) => heard.push(`${kind} again after ${cause}${delayMs > 0 ? '' : ' at once'}`),
  breakerChanged: (workspace, kind, state) => heard.push(`${workspace} ${kind} ${state}`),
};

const LIMITS: CallLimits = { callsPerMinute: 1_000, callsPerDay: 1_000 };
const SETTINGS: GuardSettings = {
  timeoutMs: 10_000,
  retries: 2,
  concurrency: 4,
  retryDelayMs: 1,
  retryDelayMsMax: 50,
  breakerFailures: 5,
  breakerOpenMs: 30_000,
};

type Changes = { settings?: Partial<GuardSettings>; budget?: CallBudget; workspace?: string };
const guardOf = (kind: 'model' | 'embedding', { settings, budget, workspace = 'acme' }: Changes) =>
  new Guard({
    ...SETTINGS,
    ...settings,
    workspace,
    kind,
    budget: budget ?? new CallBudget(clock, LIMITS),
    random: new SeededRandom(),
    observer: OBSERVER,
  });
const guardedModel = (changes: Changes = {}) =>
  new GuardedModel(
    new GeminiModel({ apiKey: GEMINI_KEY, baseUrl: server.url, model: 'gemini-2.5-flash' }),
    guardOf('model', changes),
  );
const guardedEmbedder = (changes: Changes = {}) => {
  const connection = { apiKey: GEMINI_KEY, baseUrl: server.url };
  return new GuardedEmbedder(
    new GeminiEmbedder({ ...connection, model: 'gemini-embedding-001', dimensions: 8 }),
    guardOf('embedding', changes),
  );
};

const PROMPT = { instruction: 'Judge.', data: '{"domain":"d","anomaly_score":0.5}', hash: '0'.repeat(64) };
const never = () => new AbortController().signal;
const ask = (model: GuardedModel, signal = never()) => model.answer(PROMPT, signal);
const FAILED: GeminiTurn = { do: 'fail', status: 500, code: 'INTERNAL' };

describe('retries', () => {
  test.each<[string, GeminiTurn]>([
    ['server-error', FAILED],
    ['server-error', { do: 'fail', status: 503, code: 'UNAVAILABLE' }],
    ['unreachable', { do: 'reset' }],
    ['unreachable', { do: 'cut' }],
    ['rate-limited', { do: 'fail', status: 429, code: 'RESOURCE_EXHAUSTED', retryDelay: '0.01s' }],
    ['rate-limited', { do: 'fail', status: 429, code: 'RESOURCE_EXHAUSTED', retryAfterS: 0 }],
  ])('%s passes: %j', async (cause, turn) => {
    server.decide = inTurn(turn, turn);
    expect(await ask(guardedModel())).toMatchObject({ riskLevel: 'medium' });
    expect(server.counts.generateContent).toBe(3);
    expect(heard).toEqual([`model again after ${cause}`, `model again after ${cause}`, 'model ok']);
  });

  test.each<[string, GeminiTurn]>([
    ['unauthorized', { do: 'fail', status: 403, code: 'PERMISSION_DENIED' }],
    ['refused', { do: 'block' }],
    ['refused', { do: 'fail', status: 400, code: 'INVALID_ARGUMENT' }],
    ['invalid-answer', { do: 'say', text: 'no' }],
    ['rate-limited', { do: 'fail', status: 429, code: 'RESOURCE_EXHAUSTED', retryAfterS: 1 }],
    ['rate-limited', { do: 'fail', status: 429, code: 'RESOURCE_EXHAUSTED', retryDelay: '0.051s' }],
  ])('%s is not asked again: %j', async (failure, turn) => {
    server.decide = () => turn;
    expect(await errorOf(ask(guardedModel()))).toMatchObject({ failure });
    expect(server.counts.generateContent).toBe(1);
    expect(heard).toEqual([`model ${failure}`]);
  });

  test('end with the last failure', async () => {
    server.decide = inTurn(FAILED, FAILED, { do: 'reset' });
    expect(await errorOf(ask(guardedModel()))).toMatchObject({ failure: 'unreachable' });
    expect(server.count).toBe(3);
  });

  test('wait longer each time, no longer than is allowed, as long as the service asks; the same for a seed', async () => {
    const waits = async (turn: GeminiTurn) => {
      const delays: number[] = [];
      server.decide = () => turn;
      const guard = new Guard({
        ...SETTINGS,
        retries: 4,
        retryDelayMs: 4,
        retryDelayMsMax: 20,
        breakerFailures: 100,
        workspace: 'acme',
        kind: 'model',
        budget: new CallBudget(clock, LIMITS),
        random: new SeededRandom(),
        observer: { retried: (_, __, delayMs) => delays.push(delayMs) },
      });
      const model = new GeminiModel({ apiKey: GEMINI_KEY, baseUrl: server.url, model: 'gemini-2.5-flash' });
      await errorOf(new GuardedModel(model, guard).answer(PROMPT, never()));
      return delays;
    };
    const delays = await waits(FAILED);
    expect(delays).toHaveLength(4);
    for (const [at, wholeMs] of [4, 8, 16, 20].entries()) {
      expect(delays[at]).toBeGreaterThan(wholeMs / 2 - 0.001);
      expect(delays[at]).toBeLessThanOrEqual(wholeMs);
    }
    expect(new Set(delays.map((delayMs, at) => delayMs / Math.min(4 * 2 ** at, 20))).size).toBe(4);
    expect(await waits(FAILED)).toEqual(delays);
    const asked = await waits({ do: 'fail', status: 429, code: 'RESOURCE_EXHAUSTED', retryDelay: '0.019s' });
    expect(Math.min(...asked)).toBe(19);
  });
});

test('a service that never answers is timeout, as often as it is asked', async () => {
  server.decide = () => ({ do: 'silent' });
  const error = await errorOf(ask(guardedModel({ settings: { timeoutMs: 30, retries: 1 } })));
  expect(error).toMatchObject({ failure: 'timeout', message: 'no answer within 30 ms' });
  expect(heard).toEqual(['model again after timeout', 'model timeout']);
});

describe('the circuit breaker', () => {
  const settings = { retries: 0, breakerFailures: 3 };
  const openIt = async (model: GuardedModel) => {
    server.decide = () => FAILED;
    for (let call = 0; call < 3; call++) expect(await errorOf(ask(model))).toMatchObject({ failure: 'server-error' });
  };
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] });
  });

  test('opens after failures in a row, makes no calls, and closes when a call succeeds', async () => {
    const model = guardedModel({ settings });
    await openIt(model);
    server.decide = () => undefined;
    for (let call = 0; call < 5; call++) expect(await errorOf(ask(model))).toMatchObject({ failure: 'circuit-open' });
    expect(server.count).toBe(3);
    vi.setSystemTime(Date.now() + 29_999);
    expect(await errorOf(ask(model))).toMatchObject({ failure: 'circuit-open' });
    vi.setSystemTime(Date.now() + 1);
    expect(await ask(model)).toMatchObject({ riskLevel: 'medium' });
    expect(await ask(model)).toMatchObject({ riskLevel: 'medium' });
    expect(server.count).toBe(5);
    const states = heard.filter((said) => said.startsWith('acme'));
    expect(states).toEqual(['acme model open', 'acme model half-open', 'acme model closed']);
  });

  test('stays open while the call that tries it fails, and lets no other through meanwhile', async () => {
    const model = guardedModel({ settings });
    await openIt(model);
    vi.setSystemTime(Date.now() + 30_000);
    server.decide = () => ({ do: 'silent' });
    const leaves = new AbortController();
    const trial = errorOf(ask(model, leaves.signal));
    await server.arrived(4);
    expect(await errorOf(ask(model))).toMatchObject({ failure: 'circuit-open' });
    // A caller that leaves has learnt nothing of the service: that closes no breaker.
    leaves.abort(new Error('left'));
    expect(await trial).toMatchObject({ message: 'left' });
    for (let turns = 0; turns < 20; turns++) await turn();
    expect(heard.at(-1)).toBe('acme model open');
    expect(await errorOf(ask(model))).toMatchObject({ failure: 'circuit-open' });
    expect(server.count).toBe(4);
  });

  test('is closed by an answer of no use, and never opened by one', async () => {
    const model = guardedModel({ settings });
    server.decide = () => ({ do: 'say', text: 'no' });
    for (let call = 0; call < 6; call++) expect(await errorOf(ask(model))).toMatchObject({ failure: 'invalid-answer' });
    await openIt(model);
    vi.setSystemTime(Date.now() + 30_000);
    server.decide = inTurn({ do: 'say', text: 'no' });
    expect(await errorOf(ask(model))).toMatchObject({ failure: 'invalid-answer' });
    expect(await ask(model)).toMatchObject({ riskLevel: 'medium' });
  });

  test('counts attempts, and the call whose attempt opened it says what was wrong', async () => {
    server.decide = () => FAILED;
    const model = guardedModel({ settings: { retries: 5, breakerFailures: 3 } });
    expect(await errorOf(ask(model))).toMatchObject({ failure: 'server-error' });
    expect(server.count).toBe(3);
  });

  test('of one workspace and one endpoint is none of another', async () => {
    const [model, other] = [guardedModel({ settings }), guardedModel({ settings, workspace: 'beta' })];
    await openIt(model);
    server.decide = () => undefined;
    expect(await errorOf(ask(model))).toMatchObject({ failure: 'circuit-open' });
    expect(await ask(other)).toMatchObject({ riskLevel: 'medium' });
    expect(await guardedEmbedder().embed(['a'], never())).toHaveLength(1);
  });

  test('is not closed by a budget that is used up', async () => {
    const budget = new CallBudget(clock, { callsPerMinute: 3, callsPerDay: 1_000 });
    const model = guardedModel({ settings, budget });
    await openIt(model);
    vi.setSystemTime(Date.now() + 30_000);
    expect(await errorOf(ask(model))).toMatchObject({ failure: 'budget' });
    expect(await errorOf(ask(model))).toMatchObject({ failure: 'circuit-open' });
    expect(server.count).toBe(3);
  });
});

describe('the budget', () => {
  test('of a minute and of a day is counted over both endpoints, and used ones make no call', async () => {
    const budget = new CallBudget(clock, { callsPerMinute: 2, callsPerDay: 3 });
    const [model, embedder] = [guardedModel({ budget }), guardedEmbedder({ budget })];
    await ask(model);
    await embedder.embed(['a'], never());
    const error = await errorOf(ask(model));
    expect(error).toMatchObject({ failure: 'budget', message: 'the 2 calls of this minute are used' });
    clock.ms += 60_000;
    await ask(model);
    expect(await errorOf(ask(model))).toMatchObject({ message: 'the 3 calls of this day are used' });
    clock.ms += 24 * 3_600_000;
    await ask(model);
    expect(server.count).toBe(4);
    expect(heard.filter((said) => said === 'model budget')).toHaveLength(2);
  });

  test('pays for retries too', async () => {
    server.decide = () => FAILED;
    const budget = new CallBudget(clock, { callsPerMinute: 2, callsPerDay: 100 });
    expect(await errorOf(ask(guardedModel({ budget })))).toMatchObject({ failure: 'budget' });
    expect(server.count).toBe(2);
  });

  test('is kept in every minute and day, however the clock runs', () => {
    const step = fc.oneof(
      fc.constantFrom(0, -60_000, 60_000, -86_400_000, 86_400_000),
      fc.integer({ min: -90_000, max: 90_000 }),
    );
    const steps = fc.array(step, { maxLength: 60 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 9 }), (moves, perMinute, perDay) => {
        const time = new ManualClock();
        const budget = new CallBudget(time, { callsPerMinute: perMinute, callsPerDay: perDay });
        const taken = new Map<string, number>();
        // A clock that is set back goes over time that has passed already: what counts is the latest that it showed.
        let latestMs = 0;
        for (const ms of moves) {
          time.ms += ms;
          latestMs = Math.max(latestMs, time.ms);
          try {
            budget.take();
          } catch {
            continue;
          }
          for (const lengthMs of [60_000, 86_400_000]) {
            const window = `${lengthMs} ${Math.floor(latestMs / lengthMs)}`;
            taken.set(window, (taken.get(window) ?? 0) + 1);
            expect(taken.get(window)).toBeLessThanOrEqual(lengthMs === 60_000 ? perMinute : perDay);
          }
        }
      }),
    );
  });
});

test('no more calls than the limit are under way, and one more fails at once', async () => {
  server.decide = () => ({ do: 'silent' });
  const model = guardedModel({ settings: { concurrency: 2 } });
  const leaves = new AbortController();
  const waiting = [ask(model, leaves.signal), ask(model, leaves.signal)].map(errorOf);
  await server.arrived(2);
  expect(await errorOf(ask(model))).toMatchObject({ failure: 'budget', message: expect.stringMatching(/^2 calls/) });
  expect(server.count).toBe(2);
  leaves.abort();
  await Promise.all(waiting);
  server.decide = () => undefined;
  await vi.waitFor(() => ask(model));
});

describe('an abort', () => {
  test('ends a call that waits for its answer, with the reason of its caller', async () => {
    server.decide = () => ({ do: 'silent' });
    const leaves = new AbortController();
    const call = errorOf(ask(guardedModel(), leaves.signal));
    await server.arrived(1);
    const reason = new Error('the service stops');
    leaves.abort(reason);
    expect(await call).toBe(reason);
    expect(heard).toEqual(['model aborted']);
  });

  test('ends a call that waits for its next attempt', async () => {
    server.decide = () => FAILED;
    const leaves = new AbortController();
    const settings = { retryDelayMs: 3_600_000, retryDelayMsMax: 3_600_000 };
    const call = errorOf(ask(guardedModel({ settings }), leaves.signal));
    await vi.waitFor(() => expect(heard).toEqual(['model again after server-error']));
    leaves.abort();
    expect(await call).toMatchObject({ name: 'AbortError' });
    expect(server.count).toBe(1);
  });

  test('before the call makes none', async () => {
    expect(await errorOf(ask(guardedModel(), AbortSignal.abort()))).toMatchObject({ name: 'AbortError' });
    expect(server.count).toBe(0);
  });
});

test('more texts than one request takes are more calls, and the vectors stay in order', async () => {
  const texts = Array.from({ length: 201 }, (_, at) => `text number${at}`);
  const vectors = await guardedEmbedder().embed(texts, never());
  expect(vectors).toHaveLength(201);
  expect(server.requests.map(({ body }) => body.requests.length)).toEqual([100, 100, 1]);
  expect([vectors[150]]).toEqual(await guardedEmbedder().embed([texts[150] as string], never()));
  expect(await guardedEmbedder().embed([], never())).toEqual([]);
  expect(server.count).toBe(4);
});
