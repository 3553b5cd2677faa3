import { openAsBlob } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { IndelibleClient, type RecordedEvent } from '../../src/client/index.ts';
import { ScriptedService, sendJson } from './scripted-service.ts';

let service: ScriptedService;
let client: IndelibleClient;
beforeEach(async () => {
  service = await ScriptedService.start();
  client = new IndelibleClient({
    url: `${service.url}/`,
    workspace: 'acme',
    retry: { firstDelayMs: 1, delayMsMax: 2 },
  });
});
afterEach(() => service.close());

test('ids travel percent-encoded, filters as parameters, absent ones not at all', async () => {
  service.routes.set('GET /journal/entity/a%2Fb%20%3F%23%25', (_request, response) => {
    sendJson(response, 200, { events: [], next_cursor: null, complete_through: -1 });
  });
  await client.history('a/b ?#%', { type: 'file', order: 'desc', limit: 5 });
  expect(service.requests[0]?.url).toBe('/journal/entity/a%2Fb%20%3F%23%25?type=file&order=desc&limit=5');
  expect(service.requests[0]?.headers['x-workspace']).toBe('acme');
});

test.each(['.', '..', '', '\ud800'])('an id that no path can name (%j) is refused before it is sent', async (id) => {
  await expect(client.history(id)).rejects.toMatchObject({ kind: 'refused' });
  expect(service.requests).toHaveLength(0);
});

test('historyEvents follows the cursors to the end', async () => {
  service.routes.set('GET /journal/entity/x', (request, response) => {
    const cursor = new URL(request.url ?? '', 'http://x').searchParams.get('cursor');
    const page = Number(cursor ?? 0);
    const events = [{ seq: page * 2 }, { seq: page * 2 + 1 }];
    sendJson(response, 200, { events, next_cursor: page < 2 ? String(page + 1) : null, complete_through: 9 });
  });
  const seqs: number[] = [];
  for await (const event of client.historyEvents('x', { limit: 2 })) seqs.push(event.seq);
  expect(seqs).toEqual([0, 1, 2, 3, 4, 5]);
});

test('an answer that is not JSON names the address', async () => {
  service.routes.set('GET /journal/stats', (_request, response) => response.end('<html>'));
  await expect(client.stats()).rejects.toMatchObject({ kind: 'protocol' });
});

test('a redirect is not followed: the key goes nowhere else', async () => {
  service.routes.set('GET /journal/stats', (_request, response) => {
    response.writeHead(302, { location: '/elsewhere' });
    response.end();
  });
  await expect(client.stats()).rejects.toMatchObject({ kind: 'refused', status: 302 });
  expect(service.requests).toHaveLength(1);
});

test('making a key is never repeated', async () => {
  service.faults.push({ kind: 'status', status: 503 });
  await expect(client.keys.create({ role: 'reader', name: 'n' })).rejects.toMatchObject({ status: 503 });
  expect(service.requests).toHaveLength(1);
});

test('an export that breaks off is an error, not a short file', async () => {
  service.routes.set('GET /journal/export', (request, response) => {
    response.writeHead(200, { 'content-type': 'text/csv' });
    response.write('seq\r\n0\r\n', () => request.socket.destroy());
  });
  const body = await client.export({ format: 'csv' });
  await expect(new Response(body).text()).rejects.toThrow();
});

async function firstSeqs(count: number, after?: number): Promise<number[]> {
  const seqs: number[] = [];
  const events: AsyncIterable<RecordedEvent> = client.tail(after === undefined ? {} : { after });
  for await (const event of events) {
    seqs.push(event.seq);
    if (seqs.length === count) break;
  }
  return seqs;
}

test('the tail resumes after the last seq it saw, and passes over what comes again', async () => {
  const scripts = [
    ['id: 5\ndata: {"seq":5}\n\n', ': heartbeat\n\nid: 6\r\ndata: {"se', 'q":6}\r\n\r\nid: 7\ndata: {"seq":'],
    ['id: 6\ndata: {"seq":6}\n\nid: 7\ndata: {"seq":7}\n\n', 'event: x\nid: 8\ndata: {"seq":8}\n\n'],
  ];
  service.routes.set('GET /journal/tail', (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const script = scripts.shift() ?? [];
    for (const chunk of script) response.write(chunk);
    if (scripts.length > 0) response.write('', () => setTimeout(() => request.socket.destroy(), 20));
  });
  expect(await firstSeqs(4, 4)).toEqual([5, 6, 7, 8]);
  expect(service.requests.map((request) => request.headers['last-event-id'])).toEqual(['4', '6']);
});

test('a tail from now on misses nothing, though its first connection breaks before the first event', async () => {
  service.routes.set('GET /journal/stats', (_request, response) => sendJson(response, 200, { durable_seq: 41 }));
  service.routes.set('GET /journal/tail', (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {"seq":42}\n\n');
  });
  service.faults.push({ kind: 'status', status: 503 }, { kind: 'reset-before' });
  expect(await firstSeqs(1)).toEqual([42]);
  expect(service.requests.at(-1)?.headers['last-event-id']).toBe('41');
});

test('a tail of an empty journal begins with its first event', async () => {
  service.routes.set('GET /journal/tail', (_request, response) => response.end('data: {"seq":0}\n\n'));
  expect(await firstSeqs(1, -1)).toEqual([0]);
  expect(service.requests[0]?.url).toBe('/journal/tail?from_start=true');
});

test('a refused tail ends with the refusal', async () => {
  service.faults.push({ kind: 'status', status: 403 });
  await expect(firstSeqs(1, 0)).rejects.toMatchObject({ kind: 'refused', status: 403 });
});

test('an aborted tail ends', async () => {
  const controller = new AbortController();
  service.routes.set('GET /journal/tail', (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(': hello\n\n', () => controller.abort());
  });
  await expect(client.tail({ after: 0, signal: controller.signal }).next()).rejects.toMatchObject({ kind: 'aborted' });
});

test('a tail without a sign of life connects again', async () => {
  let connections = 0;
  service.routes.set('GET /journal/tail', (_request, response) => {
    connections += 1;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(connections === 1 ? ': hello\n\n' : 'data: {"seq":0}\n\n');
  });
  const first = await client.tail({ after: -1, idleMs: 30 }).next();
  expect(first.value).toEqual({ seq: 0 });
});

test('ingest sends the file with its length, and follows the progress to the result', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'indelible-client-'));
  try {
    const path = join(dir, 'rows.ndjson');
    await writeFile(path, 'row\n'.repeat(1000));
    service.routes.set('POST /journal/ingest', (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.write('{"progress":{"rows":500,"bytes":2000,"bytes_total":4000}}\n');
      response.end('{"result":{"rows":1000,"count":1000,"duplicates":0}}');
    });
    const seen: number[] = [];
    const options = { name: 'rows', onProgress: (progress: { rows: number }) => seen.push(progress.rows) };
    const result = await client.ingest(await openAsBlob(path), options);
    expect(result).toMatchObject({ rows: 1000, count: 1000 });
    expect(seen).toEqual([500]);
    expect(service.requests[0]?.headers['content-length']).toBe('4000');
    expect(service.requests[0]?.body).toHaveLength(4000);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test.each([
  ['{"problem":{"status":400,"detail":"row 7"}}\n', 'refused'],
  ['{"progress":{"rows":1,"bytes":1,"bytes_total":2}}\n', 'protocol'],
])('an ingest that ends with %s fails', async (lines, kind) => {
  service.routes.set('POST /journal/ingest', (_request, response) => response.end(lines));
  await expect(client.ingest(new Blob(['x']))).rejects.toMatchObject({ kind });
});

test('an ingest whose answer is cut off says that it can be repeated', async () => {
  service.routes.set('POST /journal/ingest', (request, response) => {
    response.writeHead(200);
    response.write('{"progress":{"rows":1,"bytes":1,"bytes_total":2}}\n', () => request.socket.destroy());
  });
  await expect(client.ingest(new Blob(['x']))).rejects.toMatchObject({
    kind: 'protocol',
    name: 'IndelibleClientError',
  });
});

test.each(['timeout', 'fenced'])('a %s is final though its status would be retried', async (kind) => {
  const body = { type: `urn:indelible:problem:${kind}`, detail: 'no' };
  service.faults.push({ kind: 'status', status: kind === 'timeout' ? 504 : 503, body });
  await expect(client.sql('SELECT 1')).rejects.toMatchObject({ kind: 'refused', message: 'no' });
  expect(service.requests).toHaveLength(1);
});
