import { gzipSync } from 'node:zlib';

/** A request that must be refused. Names in braces are filled in by the test: `{rivalCursor}`, `{rivalSegment}` … */
export type Hostile = {
  name: string;
  /** Several: whichever limit is reached first. */
  status: number | readonly number[];
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Of the first fault in `errors`. */
  pointer?: string;
  /** Whose key; the operator's where nothing is said. null: no Authorization header. */
  key?: 'operator' | 'acmeReader' | 'acmeWriter' | 'rivalReader' | 'revoked' | null;
  /** Bytes for the wire, instead of all the above. */
  wire?: string;
};

export function event(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { entity_type: 'file', entity_id: 'src/context.ts', action: 'update', actor: 'ann', source: 'test', ...more };
}

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
const retention = (name: string, status: number, body: string, more: Partial<Hostile> = {}): Hostile =>
  append(name, status, body, { path: '/journal/retention', ...more });
const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
const raw = (value: string) => `${json(event()).slice(0, -1)},"new_value":${value}}`;
const without = (name: string) => json(Object.fromEntries(Object.entries(event()).filter(([key]) => key !== name)));

export const APPENDS_AND_READS: readonly Hostile[] = [
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

const ingest = (
  name: string,
  status: number,
  body: string | Buffer,
  format: string,
  more: Partial<Hostile> = {},
): Hostile => ({
  name: `a file: ${name}`,
  status,
  method: 'POST',
  path: `/journal/ingest?format=${format}`,
  body,
  ...more,
});
const line = `${json(event())}\n`;

export const FILES: readonly Hostile[] = [
  ingest('cut NDJSON', 400, `${line}${line.slice(0, 40)}`, 'ndjson', { pointer: '/1' }),
  ingest('cut gzip', 400, gzipSync(line.repeat(1000)).subarray(0, 60), 'ndjson'),
  ingest('gzip with a wrong checksum', 400, damagedGzip(line), 'ndjson'),
  ingest('a gzip bomb', 413, gzipSync(Buffer.alloc(100 * 1024 * 1024)), 'ndjson'),
  ingest('a gzip bomb inside gzip', 400, gzipSync(gzipSync(Buffer.alloc(100 * 1024 * 1024))), 'ndjson'),
  ingest('Parquet called CSV', 400, 'PAR1....PAR1', 'csv', { pointer: '/format' }),
  ingest('CSV called Parquet', 400, 'a,b\r\n1,2\r\n', 'parquet', { pointer: '/format' }),
  ingest('Parquet without a footer', 400, 'PAR1....PAR1', 'parquet'),
  ingest('CSV with rows of other lengths', 400, 'entity_type,entity_id,action,actor\r\nfile,a\r\n', 'csv'),
  ingest('CSV with an unclosed quote', 400, 'entity_type,entity_id,action,actor\r\nfile,"a,b,c\r\n', 'csv'),
  ingest('CSV without the columns of an event', 400, 'a,b\r\n1,2\r\n', 'csv', { pointer: '/0/a' }),
  ingest(
    'CSV that is not UTF-8',
    400,
    Buffer.from('entity_type,entity_id,action,actor\r\nfile,\xff,a,b\r\n', 'latin1'),
    'csv',
  ),
  ingest('a format nobody has', 400, line, 'xlsx', { pointer: '/format' }),
  ingest('a mapping that is no JSON', 400, line, 'ndjson&mapping={', { pointer: '/mapping' }),
  ingest('a mapping without a column', 400, line, 'ndjson&entity_type=x', { pointer: '/id_column' }),
  ingest('a mapping to a column that is not there', 400, line, 'ndjson&entity_type=x&id_column=nope', {
    pointer: '/0/nope',
  }),
  ingest('a known id with other content', 409, `${json(event({ event_id: 'taken', new_value: 3 }))}\n`, 'ndjson'),
];

function damagedGzip(text: string): Buffer {
  const bytes = gzipSync(text);
  // The checksum is the first half of the last eight bytes.
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 8) ^ 1, bytes.length - 8);
  return bytes;
}

/** Keys, workspaces and cursors of others. */
export const STRANGERS: readonly Hostile[] = [
  { name: 'no key', status: 401, path: '/journal/recent', key: null },
  { name: 'a revoked key', status: 401, path: '/journal/recent', key: 'revoked' },
  { ...get('an unknown key', 401, '/journal/recent'), key: null, headers: { Authorization: 'Bearer ind_nope' } },
  {
    ...get('a key of 10,000 characters', 401, '/journal/recent'),
    key: null,
    headers: { Authorization: `Bearer ${'k'.repeat(10_000)}` },
  },
  {
    ...get('a key in another scheme', 401, '/journal/recent'),
    key: null,
    headers: { Authorization: 'Digest username="a"' },
  },
  { ...get("another workspace's key", 403, '/journal/recent'), key: 'rivalReader' },
  { ...get("another workspace's event", 403, '/journal/events/taken'), key: 'rivalReader' },
  { ...append("a reader's append", 403, json(event())), key: 'acmeReader' },
  { ...get("a writer's read", 403, '/journal/recent'), key: 'acmeWriter' },
  { ...get("a reader's verify", 403, '/journal/verify'), key: 'acmeReader' },
  { ...get("a reader's look at the keys", 403, '/keys'), key: 'acmeReader' },
  {
    name: "a reader's new key",
    status: 403,
    method: 'POST',
    path: '/keys',
    body: '{"role":"operator","name":"me"}',
    key: 'acmeReader',
  },
  { ...get('a workspace that is not there', 404, '/journal/recent'), headers: { 'X-Workspace': 'acne' } },
  {
    ...get('a workspace up the tree', 400, '/journal/recent?workspace=..%2F..%2Fetc', '/workspace'),
    headers: { 'X-Workspace': '' },
  },
  { ...get('the same, encoded twice', 400, '/journal/recent', '/workspace'), headers: { 'X-Workspace': '%2e%2e' } },
  {
    ...get("the service's own workspace, to read", 400, '/journal/recent', '/workspace'),
    headers: { 'X-Workspace': '_system' },
  },
  { ...get('two workspaces', 400, '/journal/recent?workspace=rival', '/workspace') },
  { ...get('a workspace in a list', 400, '/journal/recent', '/workspace'), headers: { 'X-Workspace': 'acme, rival' } },
  get('the cursor of another workspace', 400, '/journal/recent?limit=1&cursor={rivalCursor}', '/cursor'),
  get('the cursor of another filter', 400, '/journal/recent?limit=1&actor=ann&cursor={cursor}', '/cursor'),
  get('the cursor of another route', 400, '/journal/entity/src%2Fcontext.ts?limit=1&cursor={cursor}', '/cursor'),
  get('a cursor with one character changed', 400, '/journal/recent?limit=1&cursor={forgedCursor}', '/cursor'),
  get('a tail after nothing', 400, '/journal/tail?after=-1', '/after'),
  {
    ...get('a Last-Event-ID that is none', 400, '/journal/tail', '/Last-Event-ID'),
    headers: { 'Last-Event-ID': '1; drop' },
  },
  {
    name: 'a key for the service itself',
    status: 400,
    method: 'POST',
    path: '/keys',
    body: '{"workspace":"_system","role":"reader","name":"me"}',
    pointer: '/workspace',
  },
  {
    name: 'a workspace by a path',
    status: 400,
    method: 'POST',
    path: '/workspaces',
    body: '{"id":"../up"}',
    pointer: '/id',
  },
  retention('a removal without a cut', 400, '{"reason":"x"}', { pointer: '/before' }),
  retention('a removal by two cuts', 400, '{"seq":1,"before":"2026-01-01T00:00:00Z","reason":"x"}', {
    pointer: '/before',
  }),
  retention('a removal without a reason', 400, '{"seq":1}', { pointer: '/reason' }),
  retention('a removal beyond the end', 400, '{"seq":4000000000,"reason":"x"}', { pointer: '/seq' }),
  retention('a removal before a negative position', 400, '{"seq":-1,"reason":"x"}', { pointer: '/seq' }),
  retention('a removal before a position as text', 400, '{"seq":"1","reason":"x"}', { pointer: '/seq' }),
  retention('a removal before a time that is none', 400, '{"before":"soon","reason":"x"}', { pointer: '/before' }),
  retention('a removal with a lone surrogate', 400, '{"seq":1,"reason":"\\ud800"}', { pointer: '/reason' }),
  retention('a forced removal', 400, '{"seq":1,"reason":"x","force":true}', { pointer: '/force' }),
  retention('a removal that is no JSON', 400, 'seq=1'),
  retention('a removal too large', 413, json({ seq: 1, reason: 'x'.repeat(20_000) })),
  retention("a reader's removal", 403, '{"seq":1,"reason":"x"}', { key: 'acmeReader' }),
  retention("a writer's removal", 403, '{"seq":1,"reason":"x"}', { key: 'acmeWriter' }),
  retention('a hold by a path', 400, '{"name":"../x","reason":"x"}', { path: '/journal/holds', pointer: '/name' }),
  retention("a writer's hold", 403, '{"name":"x","reason":"x"}', { path: '/journal/holds', key: 'acmeWriter' }),
  { ...get("a reader's look at the holds", 403, '/journal/holds'), key: 'acmeReader' },
  { name: 'the end of a hold that is none', status: 404, method: 'DELETE', path: '/journal/holds/__proto__' },
  {
    name: 'a key of no role',
    status: 400,
    method: 'POST',
    path: '/keys',
    body: '{"workspace":"acme","role":"root","name":"me"}',
    pointer: '/role',
  },
];

const wire = (name: string, status: number, text: string): Hostile => ({
  name: `on the wire: ${name}`,
  status,
  wire: text,
});
const post = `POST /journal/events HTTP/1.1\r\nHost: x\r\n{auth}Content-Type: application/json\r\n`;
const read = `GET /journal/recent HTTP/1.1\r\nHost: x\r\n{auth}`;

/** What is refused before it is a request. */
export const WIRE: readonly Hostile[] = [
  wire('no HTTP', 400, 'hello\r\n\r\n'),
  wire('HTTP/2 without asking', 400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  wire('a length and chunks', 400, `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  wire('two lengths', 400, `${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345`),
  wire('a length below zero', 400, `${post}Content-Length: -1\r\n\r\n`),
  wire('a length beyond the body', 400, `${post}Content-Length: 500\r\n\r\n{}`),
  wire('a chunk without a size', 400, `${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n`),
  wire('an unknown transfer coding', 400, `${post}Transfer-Encoding: gzip\r\n\r\n{}`),
  wire('no Host', 400, `GET /journal/recent HTTP/1.1\r\n{auth}\r\n`),
  wire('an append without a Host', 400, `POST /journal/events HTTP/1.1\r\n{auth}Content-Length: 2\r\n\r\n{}`),
  wire('a Host that is none', 400, `GET /journal/recent HTTP/1.1\r\nHost: a{b/c\r\n{auth}\r\n`),
  wire('a NUL in a header', 400, `${read}X-Note: a\0b\r\n\r\n`),
  wire('a folded header', 400, `${read}X-Note: a\r\n b\r\n\r\n`),
  wire('a blank before the colon', 400, `${read}X-Note : a\r\n\r\n`),
  wire('bare line feeds', 400, 'GET /journal/recent HTTP/1.1\nHost: x\n\n'),
  wire('a header of 20,000 characters', 431, `${read}X-Note: ${'a'.repeat(20_000)}\r\n\r\n`),
  wire('a target of 20,000 characters', 431, `GET /journal/recent?${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`),
  wire('a thousand headers', 431, `${read}${'X-Note: aaaaaaaaaaaaaaaa\r\n'.repeat(1000)}\r\n`),
  wire('an expectation', 417, `${post}Expect: magic\r\nContent-Length: 2\r\n\r\n{}`),
  wire('a method nobody has', 400, `FROB / HTTP/1.1\r\nHost: x\r\n{auth}\r\n`),
  wire('a target that is none', 400, `OPTIONS * HTTP/1.1\r\nHost: x\r\n{auth}\r\n`),
  wire('two keys', 401, `GET /journal/recent HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer nope\r\n{auth}\r\n`),
];
