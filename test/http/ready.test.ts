import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../src/http/index.ts';
import { event, OPERATOR_KEY, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

describe('GET /ready', () => {
  afterEach(() => {
    service.services.readiness = () => ({ ready: true, parts: {} });
    service.services.lifecycle.ready = true;
  });
  const ready = async () => {
    const answer = await service.call('/ready', { workspace: null });
    return [answer.status, await answer.json()];
  };

  test('is ready with what it needs, part by part', async () => {
    service.services.readiness = () => ({ ready: true, parts: { store: { ok: true }, redis: { ok: true } } });
    expect(await ready()).toEqual([200, { status: 'ready', parts: { store: { ok: true }, redis: { ok: true } } }]);
  });

  test('is not ready where a part is away, and says which and why, without its credentials', async () => {
    const detail = 'connect ECONNREFUSED redis://svc:p@ss/word@10.0.0.7:6379/0, then rediss://:s3cret@b:1';
    const parts = { store: { ok: true }, redis: { ok: false, detail } };
    service.services.readiness = () => ({ ready: false, parts });
    const shown = 'connect ECONNREFUSED redis://10.0.0.7:6379/0, then rediss://b:1';
    expect(await ready()).toEqual([
      503,
      { status: 'not-ready', parts: { store: { ok: true }, redis: { ok: false, detail: shown } } },
    ]);
  });

  test('a part may be away and the service ready all the same', async () => {
    service.services.readiness = () => ({ ready: true, parts: { model: { ok: false, detail: 'no answer' } } });
    expect((await ready())[0]).toBe(200);
  });

  test('is stopping before anything else', async () => {
    service.services.lifecycle.ready = false;
    expect(await ready()).toEqual([503, { status: 'stopping', parts: {} }]);
    service.services.readiness = () => ({ ready: false, parts: {} });
    expect(await ready()).toEqual([503, { status: 'stopping', parts: {} }]);
  });

  test('takes a key, as ever; /health takes none', async () => {
    expect((await service.call('/ready', { key: null })).status).toBe(401);
    expect((await service.call('/health', { key: null })).status).toBe(200);
  });
});

describe('a role without the API', () => {
  let running: RunningServer;
  beforeAll(async () => {
    running = await startServer(service.services, { host: '127.0.0.1', port: 0, only: 'system' });
  });
  // Nothing else of the service is stopped by it but its lifecycle, so it comes last.
  afterAll(() => running.stop(1_000));

  const call = (path: string, init: RequestInit = {}) =>
    fetch(running.url + path, {
      ...init,
      headers: { Authorization: `Bearer ${OPERATOR_KEY}`, 'X-Workspace': 'acme', ...init.headers },
    });

  test('serves health, readiness, metrics, the description and the front door', async () => {
    for (const path of ['/health', '/ready', '/metrics', '/openapi.json', '/'])
      expect([path, (await call(path)).status]).toEqual([path, 200]);
    const { paths } = (await (await call('/openapi.json')).json()) as { paths: object };
    expect(Object.keys(paths).sort()).toEqual(['/', '/health', '/metrics', '/openapi.json', '/ready']);
    const { links } = (await (await call('/')).json()) as { links: object };
    expect(Object.keys(links)).toEqual(['openapi', 'health', 'ready', 'metrics']);
  });

  test('and nothing else: a problem says so, to who has a key', async () => {
    const post = { method: 'POST', body: JSON.stringify(event()), headers: { 'Content-Type': 'application/json' } };
    const refused: [string, RequestInit?][] = [
      ['/journal/events', post],
      ['/journal/events?ack=durable', post],
      ['/axioms', post],
      ['/journal/recent'],
      ['/docs'],
      ['/keys'],
      ['/nothing'],
    ];
    for (const [path, init] of refused) {
      const answer = await call(path, init);
      const problem = (await answer.json()) as { detail: string };
      expect([path, answer.status]).toEqual([path, 404]);
      expect(problem.detail).toContain('this role serves no API');
    }
    expect((await call('/ready', { method: 'POST' })).status).toBe(405);
    expect((await fetch(`${running.url}/journal/recent`)).status).toBe(401);
    expect(service.services.journals.has('acme')).toBe(false);
  });

  test('while the whole service serves the API', async () => {
    expect((await service.post(event())).status).toBe(201);
    const answer = await service.call('/nothing');
    expect([answer.status, (await answer.json()).detail]).toEqual([404, expect.stringContaining('no such route')]);
  });
});
