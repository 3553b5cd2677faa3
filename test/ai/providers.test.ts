import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DirectoryStore, type Journals } from '../../journal/index.ts';
import { AiKeys, AiProviders, type AiProvidersOptions, GUARD_DEFAULTS } from '../../src/ai/index.ts';
import { createLogger } from '../../src/log.ts';
import { FaultyStore } from '../support/faulty-store.ts';
import { failing, GEMINI_KEY, GeminiServer } from '../support/gemini-server.ts';
import { errorOf, Lab } from '../support/journal-lab.ts';

let lab: Lab;
let server: GeminiServer;
let store: FaultyStore;
let journals: Journals;
let keys: AiKeys;
beforeEach(async () => {
  lab = new Lab();
  server = await GeminiServer.start();
  store = new FaultyStore(new DirectoryStore(lab.storeDir));
  journals = await lab.open({ store });
  keys = await AiKeys.open({ journals, store, secret: Buffer.alloc(32, 7), clock: lab.clock, random: lab.random });
});
afterEach(async () => {
  await server.stop();
  await lab.dispose();
});

const OLGA = { keyId: 'k', name: 'olga', role: 'operator', workspace: null } as const;
const OWN_KEY = 'AIza-the-own-key-of-acme-0123456789';
const PROMPT = { instruction: 'Judge.', data: '{"domain":"d","anomaly_score":0.5}', hash: '0'.repeat(64) };
const never = () => new AbortController().signal;

const providersOf = (more: Partial<AiProvidersOptions> = {}) =>
  new AiProviders({
    keys,
    serviceKey: GEMINI_KEY,
    baseUrl: server.url,
    model: 'gemini-2.5-flash',
    embeddingModel: 'gemini-embedding-001',
    embeddingDimensions: 8,
    guard: { ...GUARD_DEFAULTS, timeoutMs: 10_000, retries: 2, concurrency: 4, retryDelayMs: 1 },
    limits: { callsPerMinute: 1_000, callsPerDay: 1_000 },
    clock: lab.clock,
    random: lab.random,
    observer: {},
    ...more,
  });

async function ask(providers: AiProviders, workspace = 'acme'): Promise<string | undefined> {
  const { model } = await providers.of(workspace);
  if (!model) return undefined;
  await model.answer(PROMPT, never());
  return server.requests.at(-1)?.key;
}

describe('the key of a call', () => {
  test('is the own one of the workspace, else the one of the service, else there is no call', async () => {
    server.keys.add(OWN_KEY);
    const providers = providersOf();
    expect(await ask(providers)).toBe(GEMINI_KEY);
    await keys.set('acme', { provider: 'gemini', key: OWN_KEY }, OLGA);
    expect([await ask(providers), await ask(providers, 'beta')]).toEqual([OWN_KEY, GEMINI_KEY]);
    const { embedder } = await providers.of('acme');
    await embedder?.embed(['a'], never());
    expect(server.requests.at(-1)).toMatchObject({ key: OWN_KEY, endpoint: 'batchEmbedContents' });
    await keys.remove('acme', OLGA);
    expect(await ask(providers)).toBe(GEMINI_KEY);
    expect(await providersOf({ serviceKey: undefined }).of('acme')).toEqual({ model: undefined, embedder: undefined });
  });

  test('that is not usable is not replaced by the one of the service', async () => {
    await keys.set('acme', { provider: 'gemini', key: OWN_KEY }, OLGA);
    await store.delete(`_system/_indelible/ai-keys/${keys.current('acme')?.key_id}`);
    const providers = providersOf();
    expect(await providers.of('acme')).toEqual({ model: undefined, embedder: undefined });
    const reads = store.calls.length;
    await providers.of('acme');
    expect(store.calls.length).toBe(reads);
    server.keys.add(OWN_KEY);
    await keys.set('acme', { provider: 'gemini', key: OWN_KEY }, OLGA);
    expect(await ask(providers)).toBe(OWN_KEY);
  });

  test('that the store does not tell is asked for again', async () => {
    server.keys.add(OWN_KEY);
    await keys.set('acme', { provider: 'gemini', key: OWN_KEY }, OLGA);
    const providers = providersOf();
    store.decide = () => 'not-applied';
    expect(await errorOf(providers.of('acme'))).toMatchObject({ kind: 'unavailable' });
    store.decide = () => undefined;
    expect(await ask(providers)).toBe(OWN_KEY);
  });

  test('that is broken opens no breaker but its own', async () => {
    await keys.set('acme', { provider: 'gemini', key: 'AIza-a-broken-key' }, OLGA);
    const providers = providersOf();
    for (let call = 0; call < GUARD_DEFAULTS.breakerFailures; call++) {
      expect(await errorOf(ask(providers))).toMatchObject({ failure: 'unauthorized' });
    }
    expect(await errorOf(ask(providers))).toMatchObject({ failure: 'circuit-open' });
    expect(await ask(providers, 'beta')).toBe(GEMINI_KEY);
    server.keys.add(OWN_KEY);
    await keys.set('acme', { provider: 'gemini', key: OWN_KEY }, OLGA);
    expect(await ask(providers)).toBe(OWN_KEY);
  });
});

test('model and embedder are made once for each key, with the models that the workspace chose', async () => {
  const providers = providersOf();
  const made = await Promise.all([providers.of('acme'), providers.of('acme')]);
  expect(made[0]).toBe(made[1]);
  expect(made[0]).toMatchObject({
    model: { driver: 'gemini', name: 'gemini-2.5-flash' },
    embedder: { model: 'gemini-embedding-001@8', dimensions: 8, isLocal: false },
  });
  expect(await providers.of('beta')).not.toBe(made[0]);
  const chosen = { model: 'gemini-2.5-pro', embeddingModel: 'gemini-embedding-2' };
  await keys.set('acme', { provider: 'gemini', key: OWN_KEY, ...chosen }, OLGA);
  const own = await providers.of('acme');
  expect(own).not.toBe(made[0]);
  expect([own.model?.name, own.embedder?.model]).toEqual(['gemini-2.5-pro', 'gemini-embedding-2@8']);
});

test('the budget is the workspace’s, whichever key it has', async () => {
  server.keys.add(OWN_KEY);
  const providers = providersOf({ limits: { callsPerMinute: 2, callsPerDay: 100 } });
  await ask(providers);
  await ask(providers);
  await keys.set('acme', { provider: 'gemini', key: OWN_KEY }, OLGA);
  expect(await errorOf(ask(providers))).toMatchObject({ failure: 'budget' });
  expect(await ask(providers, 'beta')).toBe(GEMINI_KEY);
});

test('where three of ten calls fail every question has an answer or a cause, and the same ones for a seed', async () => {
  const run = async () => {
    server.decide = failing(0.3, 'three of ten');
    const providers = providersOf();
    const outcomes: string[] = [];
    for (let call = 0; call < 60; call++) {
      outcomes.push(
        await ask(providers).then(
          () => 'ok',
          (error: unknown) => (error as { failure: string }).failure,
        ),
      );
    }
    return outcomes;
  };
  const [outcomes, before] = [await run(), server.count];
  expect(outcomes.filter((outcome) => outcome === 'ok').length).toBeGreaterThan(50);
  expect(before).toBeGreaterThan(65);
  expect(await run()).toEqual(outcomes);
  expect(server.count).toBe(2 * before);
});

test('no key stands in what is logged of anything here', async () => {
  const lines: string[] = [];
  const log = createLogger({ level: 'trace', destination: { write: (line) => void lines.push(line) } });
  const logged = (what: unknown) => log.error({ err: what, what }, 'said');
  const observer = { callDone: logged, retried: logged, breakerChanged: logged };
  await keys.set('acme', { provider: 'gemini', key: 'AIza-a-broken-key' }, OLGA);
  const providers = providersOf({ observer });
  for (const workspace of ['acme', 'beta']) {
    const provider = await providers.of(workspace);
    for (const what of [provider, provider.model, provider.embedder, providers, keys, await keys.status('acme')])
      logged(what);
    server.decide = () => ({ do: 'fail', status: 500, code: 'INTERNAL' });
    logged(await errorOf(ask(providers, workspace)));
  }
  logged(await errorOf(keys.set('acme', { provider: 'gemini', key: 'AIza broken' }, OLGA)));
  expect(lines.length).toBeGreaterThan(15);
  expect(lines.join('')).not.toMatch(/AIza/);
});
