import { request } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { event, OPERATOR_KEY, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
  await service.post(event({ event_id: 'taken', new_value: 1 }));
});
afterAll(() => service.stop());

type Hostile = {
  name: string;
  status: number;
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  pointer?: string;
};

const json = (value: unknown) => JSON.stringify(value);
const append = (name: string, status: number, body: string | Buffer, more: Partial<Hostile> = {}): Hostile => ({
  name,
  status,
  method: 'POST',
  path: '/journal/events',
  body,
  ...more,
  headers: { 'Content-Type': 'application/json', ...more.headers },
});
const bad = (name: string, more: Record<string, unknown>, pointer: string) =>
  append(name, 400, json(event(more)), { pointer });
const get = (name: string, status: number, path: string, pointer?: string): Hostile => ({
  name,
  status,
  path,
  ...(pointer === undefined ? {} : { pointer }),
});
const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
const raw = (value: string) => `${json(event()).slice(0, -1)},"new_value":${value}}`;
const without = (name: string) => json(Object.fromEntries(Object.entries(event()).filter(([key]) => key !== name)));

const HOSTILE: Hostile[] = [
  append('no body', 400, ''),
  append('not JSON', 400, '{"entity_type":'),
  append('a number', 400, '7'),
  append('null', 400, 'null'),
  append('an empty array', 400, '[]'),
  append('an array of arrays', 400, '[[]]', { pointer: '/0' }),
  append('trailing text', 400, `${json(event())} and more`),
  append('JSON after a byte order mark', 400, `\ufeff${json(event())}`),
  append('no entity_type', 400, without('entity_type'), { pointer: '/entity_type' }),
  append('no entity_id', 400, without('entity_id'), { pointer: '/entity_id' }),
  append('no action', 400, without('action'), { pointer: '/action' }),
  append('no actor', 400, without('actor'), { pointer: '/actor' }),
  bad('entity_id a number', { entity_id: 7 }, '/entity_id'),
  bad('entity_id an object', { entity_id: { $gt: '' } }, '/entity_id'),
  bad('actor a list', { actor: ['ann'] }, '/actor'),
  bad('action empty', { action: '' }, '/action'),
  bad('entity_id too long', { entity_id: 'x'.repeat(5000) }, '/entity_id'),
  bad('event_id with a control character', { event_id: 'a\u0007b' }, '/event_id'),
  bad('event_id too long', { event_id: 'x'.repeat(1000) }, '/event_id'),
  bad('a NUL in a text', { actor: 'ann\u0000' }, '/actor'),
  bad('a NUL in a value', { new_value: { note: 'a\u0000' } }, '/new_value'),
  append('a lone surrogate in a text', 400, json(event()).replace('ann', '\\ud800'), { pointer: '/actor' }),
  append('a lone surrogate in a key', 400, raw('{"\\udfff":1}'), { pointer: '/new_value' }),
  bad('an unknown field', { admin: true }, '/admin'),
  bad('a field of ours: seq', { seq: 0 }, '/seq'),
  bad('a field of ours: event_hash', { event_hash: '0'.repeat(64) }, '/event_hash'),
  append('__proto__', 400, `${json(event()).slice(0, -1)},"__proto__":{"admin":true}}`),
  bad('a time without a zone', { timestamp: '2026-01-01T00:00:00' }, '/timestamp'),
  bad('a time that is none', { occurred_at: 'yesterday' }, '/occurred_at'),
  bad('a day that is none', { occurred_at: '2026-02-30T00:00:00Z' }, '/occurred_at'),
  bad('a time as a number', { occurred_at: 1_700_000_000 }, '/occurred_at'),
  bad(
    'two times that differ',
    { occurred_at: '2026-01-01T00:00:00Z', timestamp: '2026-01-02T00:00:00Z' },
    '/timestamp',
  ),
  bad('nanoseconds', { occurred_at: '2026-01-01T00:00:00.123456789Z' }, '/occurred_at'),
  bad('another workspace in the event', { workspace_id: 'rival' }, '/workspace_id'),
  append('a value nested too deep', 400, raw(deep(100)), { pointer: '/new_value' }),
  append('a body nested without end', 400, deep(2_000_000)),
  append('a number beyond a double', 400, raw('1e999'), { pointer: '/new_value' }),
  append('a value too large', 400, raw(json('x'.repeat(1024 * 1024 + 1))), { pointer: '/new_value' }),
  append(
    'invalid UTF-8',
    400,
    Buffer.concat([Buffer.from('{"actor":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
  ),
  append('an overlong encoding', 400, Buffer.from([0x22, 0xc0, 0xaf, 0x22])),
  append('UTF-16', 400, Buffer.from(json(event()), 'utf16le')),
  append('too many events', 413, json(Array.from({ length: 10_001 }, () => event()))),
  append('a body too large', 413, Buffer.alloc(16 * 1024 * 1024 + 1, 0x20)),
  append('a gzip bomb', 413, gzipSync(Buffer.alloc(100 * 1024 * 1024)), { headers: { 'Content-Encoding': 'gzip' } }),
  append('gzip that is none', 400, json(event()), { headers: { 'Content-Encoding': 'gzip' } }),
  append('an unknown coding', 415, json(event()), { headers: { 'Content-Encoding': 'zstd' } }),
  append('a form', 415, 'a=b', { headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }),
  append('a known id with other content', 409, json(event({ event_id: 'taken', new_value: 2 }))),
  append(
    'one id twice in a batch, differing',
    409,
    json([1, 2].map((n) => event({ event_id: 'twice', new_value: n }))),
  ),
  append('cut NDJSON', 400, `${json(event())}\n${json(event()).slice(0, 30)}`, {
    headers: { 'Content-Type': 'application/x-ndjson' },
    pointer: '/1',
  }),
  append('an NDJSON line that is too long', 413, Buffer.alloc(5 * 1024 * 1024, 0x78), {
    headers: { 'Content-Type': 'application/x-ndjson' },
    pointer: '/0',
  }),
  append('an unknown ack', 400, json(event()), { path: '/journal/events?ack=never', pointer: '/ack' }),
  append('an unknown parameter', 400, json(event()), { path: '/journal/events?dry_run=1', pointer: '/dry_run' }),
  append('ack twice', 400, json(event()), { path: '/journal/events?ack=durable&ack=durable', pointer: '/ack' }),
  append('a prototype as a parameter', 400, json(event()), { path: '/journal/events?__proto__=1' }),
  append('a path as a workspace', 400, json(event()), {
    headers: { 'X-Workspace': '../../etc' },
    pointer: '/workspace',
  }),
  append('a workspace in capitals', 400, json(event()), { headers: { 'X-Workspace': 'ACME' }, pointer: '/workspace' }),
  append("the service's own workspace", 400, json(event()), {
    headers: { 'X-Workspace': '_system' },
    pointer: '/workspace',
  }),
  append('an idempotency key with a line break', 400, json(event()), { headers: { 'Idempotency-Key': 'a b' } }),
  get('limit 0', 400, '/journal/recent?limit=0', '/limit'),
  get('limit too large', 400, '/journal/recent?limit=100000', '/limit'),
  get('limit no number', 400, '/journal/recent?limit=ten', '/limit'),
  get('limit in exponents', 400, '/journal/recent?limit=1e3', '/limit'),
  get('an unknown filter', 400, '/journal/recent?user=ann', '/user'),
  get('a filter as a list', 400, '/journal/recent?actor=a&actor=b', '/actor'),
  get('a time that is none in a filter', 400, '/journal/recent?from=now', '/from'),
  get('an order that is none', 400, '/journal/entity/x?order=random', '/order'),
  get('a made-up cursor', 400, '/journal/recent?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', '/cursor'),
  get('a cursor of SQL', 400, "/journal/recent?cursor=';drop%20table%20journal--", '/cursor'),
  get('a broken percent sign', 400, '/journal/entity/%zz', '/id'),
  get('a percent-encoded NUL', 400, '/journal/entity/a%00b', '/id'),
  get('invalid UTF-8 in a path', 400, '/journal/entity/%c3%28', '/id'),
  get('an id too long', 400, `/journal/entity/${'x'.repeat(2000)}`, '/id'),
  get('a state at no time', 400, '/journal/entity/x/state?at=soon', '/at'),
  get('a position beyond all', 400, '/journal/tail?after=99999999999', '/after'),
  get('a file of the page beside its own', 404, '/docs/..%2f..%2fpackage.json'),
  get('an asset that is a property', 404, '/docs/constructor'),
  get('a route that is none', 404, '/journal/everything'),
  get('an event that is none', 404, "/journal/events/'%20OR%20'1'='1"),
  { name: 'a method that is none here', status: 405, method: 'PUT', path: '/journal/recent' },
  { name: 'deleting an event', status: 405, method: 'DELETE', path: '/journal/events/taken' },
  { name: 'TRACE', status: 405, method: 'TRACE', path: '/journal/recent' },
];

/** On the wire as it is: fetch would mend paths and refuse methods. */
function send({
  method = 'GET',
  path = '/',
  headers = {},
  body,
}: Hostile): Promise<{ status: number; type: string; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      service.url,
      { method, path, headers: { Authorization: `Bearer ${OPERATOR_KEY}`, 'X-Workspace': 'acme', ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers['content-type'] ?? '',
            text: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

test('there are many of them', () => {
  expect(HOSTILE.length).toBeGreaterThanOrEqual(60);
});

test.each(HOSTILE)('$name: $status', async (hostile) => {
  const before = await service.services.journals.stats('acme');
  const { status, type, text } = await send(hostile);
  expect(status, text.slice(0, 300)).toBe(hostile.status);
  expect(type).toBe('application/problem+json');
  const problem = JSON.parse(text);
  expect(problem).toMatchObject({ status, type: expect.stringMatching(/^urn:indelible:problem:/) });
  expect(problem.detail.length).toBeGreaterThan(0);
  if (hostile.pointer !== undefined) expect(problem.errors?.[0]?.pointer).toBe(hostile.pointer);
  expect(text).not.toMatch(/node_modules|\.ts:\d+|at async/);
  expect(await service.services.journals.stats('acme')).toEqual(before);
  expect(service.services.journals.workspaces()).toEqual(['acme']);
});

test('nothing of it made the log say that an error was ours', () => {
  expect(service.logLines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
