import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { GeminiEmbedder, GeminiModel } from '../../src/ai/gemini.ts';
import { errorOfResponse } from '../../src/ai/gemini-errors.ts';
import { AI_CAUSES, type AiCause } from '../../src/judging/index.ts';
import { GEMINI_KEY, GeminiServer, type GeminiTurn, inTurn } from '../support/gemini-server.ts';
import { errorOf } from '../support/journal-lab.ts';

let server: GeminiServer;
beforeEach(async () => {
  server = await GeminiServer.start();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server.stop();
});

const SIGNAL = 'the-signal-that-nobody-may-read';
const PROMPT = { instruction: `Judge ${SIGNAL}.`, data: JSON.stringify({ note: SIGNAL }), hash: '0'.repeat(64) };
const never = () => new AbortController().signal;

const calls = (baseUrl = server.url, apiKey = GEMINI_KEY) => {
  const connection = { apiKey, baseUrl };
  return [
    () => new GeminiModel({ ...connection, model: 'gemini-2.5-flash' }).answer(PROMPT, never()),
    () => new GeminiEmbedder({ ...connection, model: 'gemini-embedding-001', dimensions: 8 }).embed([SIGNAL], never()),
  ];
};

const fail = (status: number, code: string, more: Partial<Extract<GeminiTurn, { do: 'fail' }>> = {}): GeminiTurn => ({
  do: 'fail',
  status,
  code,
  ...more,
});

test.each<[GeminiTurn, AiCause, string]>([
  [fail(400, 'INVALID_ARGUMENT'), 'refused', 'HTTP 400 INVALID_ARGUMENT'],
  [fail(400, 'INVALID_ARGUMENT', { reason: 'API_KEY_INVALID' }), 'unauthorized', 'HTTP 400 INVALID_ARGUMENT'],
  [fail(400, 'FAILED_PRECONDITION'), 'refused', 'HTTP 400 FAILED_PRECONDITION'],
  [fail(401, 'UNAUTHENTICATED'), 'unauthorized', 'HTTP 401 UNAUTHENTICATED'],
  [fail(403, 'PERMISSION_DENIED'), 'unauthorized', 'HTTP 403 PERMISSION_DENIED'],
  [fail(404, 'NOT_FOUND'), 'refused', 'HTTP 404 NOT_FOUND'],
  [fail(408, 'DEADLINE_EXCEEDED'), 'timeout', 'HTTP 408 DEADLINE_EXCEEDED'],
  [fail(429, 'RESOURCE_EXHAUSTED'), 'rate-limited', 'HTTP 429 RESOURCE_EXHAUSTED'],
  [fail(500, 'INTERNAL'), 'server-error', 'HTTP 500 INTERNAL'],
  [fail(503, 'UNAVAILABLE'), 'server-error', 'HTTP 503 UNAVAILABLE'],
  [fail(504, 'DEADLINE_EXCEEDED'), 'timeout', 'HTTP 504 DEADLINE_EXCEEDED'],
  [fail(500, GEMINI_KEY), 'server-error', 'HTTP 500'],
  [{ do: 'send', status: 502, body: `<html>${SIGNAL} ${GEMINI_KEY}` }, 'server-error', 'HTTP 502'],
  [{ do: 'send', status: 403, body: '' }, 'unauthorized', 'HTTP 403'],
  [{ do: 'send', status: 500, body: '{"error":null}' }, 'server-error', 'HTTP 500'],
  [{ do: 'send', status: 500, body: '{"error":{"status":7,"details":{}}}' }, 'server-error', 'HTTP 500'],
  [
    { do: 'send', status: 200, body: `${SIGNAL} ${GEMINI_KEY}` },
    'invalid-answer',
    'the answer is not of the form of this API',
  ],
  [{ do: 'reset' }, 'unreachable', 'the connection failed (ECONNRESET)'],
  [{ do: 'cut' }, 'unreachable', 'the connection failed (UND_ERR_SOCKET)'],
])('%j is %s', async (turn, cause, detail) => {
  for (const call of calls()) {
    server.decide = inTurn(turn);
    const error = await errorOf(call());
    expect(error).toMatchObject({ name: expect.stringMatching(/Error/), failure: cause, message: detail });
    expect(error.cause).toBeUndefined();
    expect(`${error.stack}${JSON.stringify(error)}`).not.toMatch(new RegExp(`${SIGNAL}|${GEMINI_KEY}`));
  }
});

test('a key that is not good is unauthorized, and stands in no error', async () => {
  const wrong = 'AIza-a-wrong-key-9876543210';
  for (const call of calls(server.url, wrong)) {
    const error = await errorOf(call());
    expect(error).toMatchObject({ failure: 'unauthorized' });
    expect(`${error.stack}${JSON.stringify(error)}`).not.toContain(wrong);
  }
});

test('a key that cannot stand in a header is in no error either', async () => {
  for (const call of calls(server.url, 'secret\nkey')) {
    const error = await errorOf(call());
    expect(error).toHaveProperty('failure');
    expect(`${error.stack}${JSON.stringify(error)}`).not.toContain('secret');
  }
});

test('nobody there is unreachable', async () => {
  const { url } = server;
  await server.stop();
  for (const call of calls(url)) {
    expect(await errorOf(call())).toMatchObject({
      failure: 'unreachable',
      message: 'the connection failed (ECONNREFUSED)',
    });
  }
  server = await GeminiServer.start();
});

test('a redirection is not followed: the key goes nowhere else', async () => {
  const heard: unknown[] = [];
  const elsewhere = createServer((request, response) => {
    heard.push(request.headers);
    response.end('{}');
  });
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  const location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`;
  server.decide = () => ({ do: 'send', status: 307, body: '', headers: { location } });
  for (const call of calls()) expect(await errorOf(call())).toMatchObject({ failure: 'refused', message: 'HTTP 307' });
  expect(heard).toEqual([]);
  await new Promise((resolve) => elsewhere.close(resolve));
});

test('an answer without end is not read to its end', async () => {
  server.decide = () => ({ do: 'send', body: ' '.repeat(17 * 1024 * 1024) });
  for (const call of calls()) {
    const message = 'the answer is larger than 16777216 bytes';
    expect(await errorOf(call())).toMatchObject({ failure: 'invalid-answer', message });
  }
});

test('the environment changes nothing: where the key goes is the configuration alone', async () => {
  vi.stubEnv('GOOGLE_GENAI_USE_VERTEXAI', 'true');
  vi.stubEnv('GOOGLE_GEMINI_BASE_URL', 'http://127.0.0.1:9');
  vi.stubEnv('GEMINI_API_KEY', 'another-key-of-the-environment');
  vi.stubEnv('GOOGLE_GENAI_API_VERSION', 'v7');
  server.decide = () => undefined;
  for (const call of calls()) await call();
  expect(server.requests.map(({ key }) => key)).toEqual([GEMINI_KEY, GEMINI_KEY]);
});

test.each<[string | null, string | undefined, number | undefined]>([
  ['7', undefined, 7_000],
  [null, '0.25s', 250],
  ['2', '3.5s', 3_500],
  ['9', '3s', 9_000],
  ['Wed, 21 Oct 2026 07:28:00 GMT', undefined, undefined],
  ['-1', 'soon', undefined],
])('Retry-After %s with RetryInfo %s is %s ms', (retryAfter, retryDelay, expected) => {
  const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay }];
  const body = JSON.stringify({ error: { code: 429, status: 'RESOURCE_EXHAUSTED', details } });
  expect(errorOfResponse(429, retryAfter, body)).toHaveProperty('failure', 'rate-limited');
  expect((errorOfResponse(429, retryAfter, body) as { retryAfterMs?: number }).retryAfterMs).toBe(expected);
});

test('whatever an answer says, its error has one cause and none of its words', () => {
  const word = fc.constantFrom(SIGNAL, GEMINI_KEY);
  const json = fc.jsonValue().map((value) => JSON.stringify(value));
  const error = fc
    .record({ status: fc.oneof(word, fc.constant('INTERNAL')), message: word, details: fc.jsonValue() })
    .map((value) => JSON.stringify({ error: value }));
  const retryAfter = fc.option(fc.oneof(word, fc.nat().map(String)));
  fc.assert(
    fc.property(
      fc.integer({ min: 300, max: 599 }),
      retryAfter,
      fc.oneof(json, error, fc.string(), word),
      (status, after, body) => {
        const made = errorOfResponse(status, after, body);
        expect(AI_CAUSES).toContain(made.failure);
        expect(made.message).toMatch(/^HTTP \d{3}( [A-Z_]+)?$/);
        expect(made.message).not.toMatch(new RegExp(`${SIGNAL}|${GEMINI_KEY}`));
      },
    ),
  );
});
