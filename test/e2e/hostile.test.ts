import { hash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { RealService } from '../support/real-service.ts';
import { OPERATOR_KEY } from '../support/service-client.ts';
import { COMPLIANCE } from './hostile-compliance.ts';
import { APPENDS_AND_READS, event, FILES, type Hostile, STRANGERS, WIRE } from './hostile-requests.ts';
import { SQL } from './hostile-sql.ts';

const MIB = 1024 * 1024;
const LIMITS = ['--query-timeout-ms', '1500', '--query-memory-bytes', '320MiB', '--log-level', 'info'];

let service: RealService;
let keys: Record<string, string>;
let names: Record<string, string>;
let before: unknown;
beforeAll(async () => {
  service = await RealService.start({ args: LIMITS });
  await service.post('/journal/events', [event({ event_id: 'taken', new_value: 1 }), event(), event()]);
  for (const workspace of ['rival', 'acme']) {
    await service.post('/journal/events', [event(), event(), event()], { workspace });
    await service.json('/journal/flush', { method: 'POST', workspace });
  }
  await service.post('/journal/events', event());
  await folded();
  keys = { operator: OPERATOR_KEY };
  for (const [name, role, workspace] of [
    ['acmeReader', 'reader', 'acme'],
    ['acmeWriter', 'writer', 'acme'],
    ['rivalReader', 'reader', 'rival'],
    ['revoked', 'reader', 'acme'],
  ] as const) {
    keys[name] = (await newKey(role, workspace)).key;
  }
  names = await placeholders();
  before = await everything();
});
afterAll(() => service.remove());

/** Resolves once what was sealed is in the projections: their files are part of the store. */
async function folded(): Promise<void> {
  // All but the last event, which is not sealed.
  const lag = async () =>
    /^indelible_projection_lag_events (\d+)$/m.exec(await (await service.call('/metrics')).text())?.[1];
  await vi.waitFor(async () => expect(await lag()).toBe('1'), { timeout: 20_000 });
}

async function newKey(role: string, workspace: string): Promise<{ key: string; id: string }> {
  const made = await service.post<{ key: string; id: string }>(
    '/keys',
    { role, workspace, name: 'test' },
    { workspace: null },
  );
  return made;
}

async function placeholders(): Promise<Record<string, string>> {
  const listed = await service.json<{ keys: { id: string }[] }>('/keys', { workspace: null });
  const revoked = listed.keys.find(({ id }) => keys.revoked?.includes(id));
  await service.json(`/keys/${revoked?.id}`, { method: 'DELETE', workspace: null });
  const cursorOf = async (workspace: string) =>
    (await service.json<{ next_cursor: string }>('/journal/recent?limit=1', { workspace })).next_cursor;
  const cursor = await cursorOf('acme');
  const middle = Math.floor(cursor.length / 2);
  const other = cursor[middle] === 'A' ? 'B' : 'A';
  return {
    cursor,
    rivalCursor: await cursorOf('rival'),
    forgedCursor: `${cursor.slice(0, middle)}${other}${cursor.slice(middle + 1)}`,
    segment: segmentOf('acme'),
    rivalSegment: segmentOf('rival'),
    dataDir: service.dataDir,
    port: new URL(service.url).port,
    auth: `Authorization: Bearer ${OPERATOR_KEY}\r\nX-Workspace: acme\r\n`,
  };
}

function filesBelow(dir: string): string[] {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function segmentOf(workspace: string): string {
  const found = filesBelow(service.storeDir).find(
    (path) => path.includes(`/${workspace}/data/`) && path.endsWith('.parquet'),
  );
  if (found === undefined) throw new Error(`${workspace} has no segment`);
  return found;
}

/** All that a request could have changed: figures, heads, keys, workspaces, every file of the store. */
async function everything(): Promise<unknown> {
  const figures = (workspace: string) => service.json('/journal/stats', { workspace });
  const [acme, rival] = await Promise.all([figures('acme'), figures('rival')]);
  const listed = await Promise.all(['/keys', '/workspaces'].map((path) => service.json(path, { workspace: null })));
  const files = filesBelow(service.storeDir).map((path) => [
    path,
    statSync(path).mtimeMs,
    hash('sha256', readFileSync(path)),
  ]);
  return { acme, rival, listed, files };
}

function filled(text: string): string {
  return text.replaceAll(/\{(\w+)\}/g, (whole, name: string) => names[name] ?? whole);
}

type Answer = { status: number; type: string; requestId: string; text: string };

/** On the wire as it is: fetch would mend paths and refuse methods. */
function send(hostile: Hostile): Promise<Answer> {
  const { method = 'GET', path = '/', headers = {}, body, key = 'operator' } = hostile;
  const authorization = key === null ? {} : { Authorization: `Bearer ${keys[key]}` };
  const all = { ...authorization, 'X-Workspace': 'acme', ...headers };
  const sent = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
  return new Promise((resolve, reject) => {
    const outgoing = request(service.url, { method, path: filled(path), headers: sent }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const { 'content-type': type = '', 'x-request-id': requestId } = response.headers;
        resolve({ status: response.statusCode ?? 0, type, requestId: String(requestId), text });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(typeof body === 'string' ? filled(body) : body);
  });
}

function sendWire(text: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(names.port), '127.0.0.1');
    let heard = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      heard += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const [head = '', answer = ''] = heard.split('\r\n\r\n');
      const header = (name: string) => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim() ?? '';
      const status = Number(head.split(' ')[1]);
      resolve({ status, type: header('content-type'), requestId: header('x-request-id'), text: answer });
    });
    socket.end(filled(text));
  });
}

const HOSTILE = [...APPENDS_AND_READS, ...FILES, ...STRANGERS, ...COMPLIANCE, ...WIRE, ...SQL];

test('there are many of them, each once', () => {
  expect(HOSTILE.length).toBeGreaterThanOrEqual(60);
  expect(new Set(HOSTILE.map(({ name }) => name)).size).toBe(HOSTILE.length);
});

test.each(HOSTILE)('$name: $status', async (hostile) => {
  const figures = await service.json('/journal/stats');
  const { status, type, requestId, text } = await (hostile.wire === undefined ? send(hostile) : sendWire(hostile.wire));
  expect([hostile.status].flat(), text.slice(0, 300)).toContain(status);
  expect(type).toBe('application/problem+json');
  const problem = JSON.parse(text);
  expect(problem).toMatchObject({
    status,
    type: expect.stringMatching(/^urn:indelible:problem:/),
    request_id: requestId,
  });
  expect(requestId).toMatch(/^[\w.:-]+$/);
  expect(problem.detail.length).toBeGreaterThan(10);
  if (hostile.pointer !== undefined && status === 400) expect(problem.errors?.[0]?.pointer, text).toBe(hostile.pointer);
  // Nothing of the inside: no stack, no path of the server, no key.
  expect(text).not.toMatch(/node_modules|\.ts:\d+|at async|root:x/);
  for (const secret of [service.dir, ...Object.values(keys)])
    expect(text.replaceAll(names.rivalSegment ?? '', '').replaceAll(names.segment ?? '', '')).not.toContain(secret);
  expect(await service.json('/journal/stats')).toEqual(figures);
});

test('after all of them nothing has changed, and everything verifies', async () => {
  expect(await everything()).toEqual(before);
  for (const workspace of ['acme', 'rival']) {
    expect(await service.json('/journal/verify', { workspace })).toMatchObject({ valid: true });
  }
});

test('its memory is what it was, its workers are gone, and no error was logged as its own', async () => {
  const status = readFileSync(`/proc/${service.process.pid}/status`, 'utf8');
  const residentBytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  expect(residentBytes).toBeLessThan(700 * MIB);
  expect(
    service.process
      .stdout()
      .split('\n')
      .filter((line) => line.includes('"level":"error"')),
  ).toEqual([]);
  expect(service.process.stderr()).toMatch(/^Indelible is listening on .*\n$/);
});

test('it goes on: an append, a question, an event by its id', async () => {
  expect(await service.post('/journal/events', event({ event_id: 'after' }))).toMatchObject({ count: 1 });
  expect(await service.post('/journal/query', { sql: 'select count(*) from journal' })).toMatchObject({ row_count: 1 });
  expect(await service.json('/journal/events/after')).toMatchObject({ event_id: 'after' });
});

test('the largest event there is passes, sealed and asked for in SQL, in the least memory that can be set', async () => {
  const text = '\u0001'.repeat(174_000);
  const large = event({ event_id: 'large', old_value: text, new_value: text, metadata: { text } });
  const answer = await service.post<{ receipts: unknown[] }>('/journal/events?ack=committed', large);
  expect(answer.receipts).toMatchObject([{ event_id: 'large', ack: 'committed' }]);
  await service.post('/journal/events', { ...large, event_id: 'large too' });
  const sql = "select event_id, length(new_value ->> '$') from journal where event_id like 'large%' order by seq";
  expect(await service.post('/journal/query', { sql })).toMatchObject({
    rows: [
      ['large', 174_000],
      ['large too', 174_000],
    ],
  });
  expect(await service.json('/journal/verify')).toMatchObject({ valid: true });
});
