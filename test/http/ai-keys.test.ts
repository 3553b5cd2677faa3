import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GeminiServer } from '../support/gemini-server.ts';
import { startService, type TestService } from '../support/http-service.ts';
import { allRows, axiom, judged, postAxioms } from './compliance-support.ts';

const KEY = 'AIza-the-key-that-nobody-may-see-42';
const SECOND = 'AIza-another-key-that-nobody-may-see';

let gemini: GeminiServer;
let service: TestService;
const answers: string[] = [];
beforeAll(async () => {
  gemini = await GeminiServer.start();
  gemini.keys.clear();
  gemini.keys.add(KEY).add(SECOND);
  service = await startService({ compliance: { geminiBaseUrl: gemini.url } });
  await service.key('writer', 'acme');
});
afterAll(async () => {
  await service.stop();
  await gemini.stop();
});

async function call(method: string, body?: unknown, id = 'acme', key?: string) {
  const response = await service.call(`/workspaces/${id}/ai-key`, {
    method,
    workspace: null,
    ...(key === undefined ? {} : { key }),
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  });
  const text = await response.text();
  answers.push(text, JSON.stringify([...response.headers]));
  return { status: response.status, body: JSON.parse(text) };
}

test('a key is set, serves the signals of its workspace alone, and is removed', async () => {
  expect((await call('GET')).status).toBe(404);
  const status = { provider: 'gemini', model: null, embedding_model: null, set_by: 'operator', usable: true };
  const made = await call('PUT', { provider: 'gemini', key: KEY });
  expect(made).toEqual({ status: 200, body: { ...status, set_at: expect.any(String) } });
  expect(await call('GET')).toEqual(made);
  await postAxioms(service, [axiom({ source_id: 'a', anomaly_score: 0.9 })]);
  await judged(service, 1);
  await postAxioms(service, [axiom({ source_id: 'a', anomaly_score: 0.9 })], 'other');
  await judged(service, 1, 'other');
  expect(await allRows(service, '/compliance/events')).toMatchObject([{ driver_used: 'gemini' }]);
  expect(await allRows(service, '/compliance/events', 'other')).toMatchObject([{ driver_used: 'rules' }]);
  expect(gemini.requests.map(({ key }) => key)).toContain(KEY);
  const again = await call('PUT', { provider: 'gemini', key: SECOND, model: 'gemini-x', embedding_model: 'embed-y' });
  expect(again.body).toMatchObject({ model: 'gemini-x', embedding_model: 'embed-y' });
  expect(await call('DELETE')).toEqual({ status: 200, body: { removed: true } });
  expect((await call('GET')).status).toBe(404);
  expect((await call('DELETE')).status).toBe(404);
});

test.each([
  ['no provider', { key: KEY }, '/provider'],
  ['a provider that is none', { provider: 'other', key: KEY }, '/provider'],
  ['no key', { provider: 'gemini' }, '/key'],
  ['a key with a line break', { provider: 'gemini', key: `${KEY}\n${KEY}` }, '/key'],
  ['a key as an object', { provider: 'gemini', key: { text: KEY } }, '/key'],
  ['a model by a path', { provider: 'gemini', key: KEY, model: '../x' }, '/model'],
  ['something else', { provider: 'gemini', key: KEY, url: 'http://x' }, '/url'],
])('%s is refused', async (_name, body, pointer) => {
  const refused = await call('PUT', body);
  expect(refused.status).toBe(400);
  expect(refused.body.errors[0].pointer).toBe(pointer);
});

test('is for operators, of workspaces that there are', async () => {
  for (const role of ['writer', 'reader', 'auditor'] as const) {
    const key = await service.key(role);
    for (const [method, body] of [['GET'], ['PUT', { provider: 'gemini', key: KEY }], ['DELETE']] as const) {
      expect((await call(method, body, 'acme', key)).status).toBe(403);
    }
  }
  expect((await call('PUT', { provider: 'gemini', key: KEY }, 'nowhere')).status).toBe(404);
  expect((await call('PUT', { provider: 'gemini', key: KEY }, '_system')).status).toBe(404);
});

test('the key is in no answer, in no line of the log and in no file', async () => {
  await call('PUT', { provider: 'gemini', key: KEY });
  await service.call('/journal/flush', { method: 'POST' });
  const said = [...answers, ...service.logLines, await (await service.call('/metrics')).text()].join('\n');
  const files = readdirSync(service.dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(files.length).toBeGreaterThan(5);
  for (const secret of [KEY, SECOND]) {
    expect(said).not.toContain(secret);
    for (const form of [
      secret,
      Buffer.from(secret).toString('base64').slice(0, -4),
      Buffer.from(secret).toString('hex'),
    ]) {
      for (const { parentPath, name } of files) {
        expect(readFileSync(join(parentPath, name)).includes(form), name).toBe(false);
      }
    }
  }
});
