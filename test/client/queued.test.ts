import { afterEach, beforeEach, expect, test } from 'vitest';
import { type EventInput, IndelibleClient, type Queued, type QueuedReceipt } from '../../src/client/index.ts';
import { FakeQueue } from '../support/fake-queue.ts';
import { OPERATOR_KEY, startService } from '../support/http-service.ts';
import { type Fault, ScriptedService, sendJson } from './scripted-service.ts';

const POSITION = '3:1767322800000-4';
const QUICK = { firstDelayMs: 1, delayMsMax: 4 };

let service: ScriptedService;
beforeEach(async () => {
  service = await ScriptedService.start();
});
afterEach(() => service.close());

const event = (id: string): EventInput => ({ entity_type: 'doc', entity_id: id, action: 'touch', actor: 'ann' });

/** Ids of what was queued, by request. */
function answerQueued(): string[][] {
  const queued: string[][] = [];
  service.routes.set('POST /journal/events', (_request, response, body) => {
    const lines = body.split('\n').filter((line) => line !== '');
    const ids = lines.map((line) => (JSON.parse(line) as { event_id: string }).event_id);
    queued.push(ids);
    const receipts = ids.map((event_id) => ({ event_id, ack: 'queued' }));
    sendJson(response, 202, { queued: ids.length, position: POSITION, receipts });
  });
  return queued;
}

const target = (index: number) => new URL(service.requests.at(index)?.url ?? '', 'http://x');

test('record() of a client that queues resolves with the position to wait for', async () => {
  const queued = answerQueued();
  const client = new IndelibleClient({ url: service.url, ack: 'queued', retry: QUICK });
  const receipts: QueuedReceipt[] = await Promise.all(['a', 'b'].map((id) => client.record(event(id))));
  expect(receipts).toEqual(queued[0]?.map((event_id) => ({ event_id, ack: 'queued', position: POSITION })));
  expect(target(0).search).toBe('?ack=queued');
  const changes: QueuedReceipt[] = await client.recordUpdate(
    { type: 'doc', id: 'a' },
    { n: 1, m: 1 },
    { n: 2, m: 2 },
    { actor: 'ann' },
  );
  expect(changes.map(({ position }) => position)).toEqual([POSITION, POSITION]);
});

test('what is waited for is always said, so that no default of a service decides it', async () => {
  const client = new IndelibleClient({ url: service.url });
  await client.record(event('a'));
  await client.append([event('b')]);
  await client.append([event('c')], { ack: 'committed' });
  expect(service.requests.map(({ url }) => url)).toEqual(
    ['durable', 'durable', 'committed'].map((ack) => `/journal/events?ack=${ack}`),
  );
  answerQueued();
  const queued: Queued = await client.append([event('d')], { ack: 'queued' });
  expect(queued).toMatchObject({ queued: 1, position: POSITION, receipts: [{ ack: 'queued' }] });
});

test.each<Fault>([
  { kind: 'status', status: 503, headers: { 'retry-after': '0' } },
  { kind: 'status', status: 429, headers: { 'retry-after': '0' } },
  { kind: 'reset-before' },
])('after %j the same events are queued again, under the same ids', async (fault) => {
  const queued = answerQueued();
  const client = new IndelibleClient({ url: service.url, ack: 'queued', retry: QUICK });
  service.faults.push(fault);
  const { event_id } = await client.record(event('a'));
  expect(queued).toEqual([[event_id]]);
  const [first, second] = service.requests.map(({ body }) => body);
  expect(first).toBe(second);
});

test('priority travels as the Priority header: of record(), and of each call', async () => {
  const low = new IndelibleClient({ url: service.url, priority: 'low' });
  await low.record(event('a'));
  service.routes.set('POST /axioms', (_request, response) => sendJson(response, 202, { accepted: 1 }));
  service.routes.set('POST /journal/ingest', (_request, response) => response.end('{"result":{"rows":1}}\n'));
  const client = new IndelibleClient({ url: service.url });
  await client.record(event('b'));
  await client.append([event('c')], { priority: 'low' });
  await client.append([event('d')], { priority: 'normal' });
  await client.axioms([{ source_id: 's', domain: 'd', anomaly_score: 0 }], { priority: 'low' });
  await client.ingest(new Blob(['x']), { format: 'csv' });
  await client.ingest(new Blob(['x']), { format: 'csv', priority: 'normal', ack: 'committed' });
  expect(service.requests.map(({ headers }) => headers.priority)).toEqual([
    'u=5',
    undefined,
    'u=5',
    'u=3',
    'u=5',
    undefined,
    'u=3',
  ]);
  expect(target(-1).searchParams.get('ack')).toBe('committed');
});

test('every read takes `after`', async () => {
  const client = new IndelibleClient({ url: service.url });
  const empty = { events: [], holds: [], next_cursor: null, complete_through: -1 };
  for (const path of [
    ...['entity/x', 'entity/x/state', 'recent', 'events/x', 'stats', 'export', 'verify', 'holds'].map(
      (name) => `GET /journal/${name}`,
    ),
    ...['events', 'events/x', 'stats', 'export'].map((name) => `GET /compliance/${name}`),
    'POST /journal/query',
  ])
    service.routes.set(path, (_request, response) => sendJson(response, 200, empty));
  const after = { after: POSITION };
  await client.history('x', {}, after);
  await client.historyEvents('x', {}, after).next();
  await client.state('x', {}, after);
  await client.recent({}, after);
  await client.event('x', after);
  await client.stats(after);
  await client.sql('SELECT 1', [], after);
  await client.sqlStream('SELECT 1', [], 'csv', after);
  await client.export({}, after);
  await client.verify(after);
  await client.holds.list(after);
  await client.complianceEvents({}, after).next();
  await client.complianceEvent('x', {}, after);
  await client.complianceStats(after);
  await client.complianceExport({}, after);
  const seen = service.requests.map((_, index) => target(index).searchParams.get('after'));
  expect(seen).toEqual(Array(15).fill(POSITION));
  await client.recent({ limit: 1 }, { after: 17 });
  expect(target(-1).search).toBe('?limit=1&after=17');
});

test('a tail after a position begins where the journal is once that is reached', async () => {
  service.routes.set('GET /journal/stats', (_request, response) => sendJson(response, 200, { durable_seq: 6 }));
  service.routes.set('GET /journal/tail', (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('id: 7\ndata: {"seq":7}\n\n');
  });
  const client = new IndelibleClient({ url: service.url, retry: QUICK });
  for await (const { seq } of client.tail({ after: POSITION })) {
    expect(seq).toBe(7);
    break;
  }
  expect([target(0).pathname, target(0).searchParams.get('after')]).toEqual(['/journal/stats', POSITION]);
  expect(service.requests[1]?.headers['last-event-id']).toBe('6');
});

test('a service with a queue: what is queued is seen by a read that waits for it', async () => {
  const real = await startService();
  try {
    const queue = FakeQueue.install(real);
    const client = new IndelibleClient({ url: real.url, key: OPERATOR_KEY, workspace: 'acme', ack: 'queued' });
    const { event_id, position } = await client.record(event('a'));
    const waits = queue.readerWaits();
    const found = client.event(event_id, { after: position });
    await waits;
    await queue.record();
    expect(await found).toMatchObject({ seq: 0, entity_id: 'a' });
    const { receipts } = await client.append([event('b')]);
    expect(receipts[0]).toMatchObject({ seq: 1, ack: 'durable' });
    expect((await client.recent({}, { after: 1 })).events).toHaveLength(2);
  } finally {
    await real.stop();
  }
});
