import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { IndelibleError } from '../../journal/index.ts';
import { event, startService, type TestService } from '../support/http-service.ts';
import { FakeQueue } from '../support/fake-queue.ts';

const ndjson = (events: unknown[]) => events.map((one) => `${JSON.stringify(one)}\n`).join('');

function send(service: TestService, body: unknown, more: { query?: string; headers?: Record<string, string> } = {}) {
  return service.call(`/journal/events${more.query ?? ''}`, {
    method: 'POST',
    body: body as string,
    headers: { 'Content-Type': 'application/x-ndjson', ...more.headers },
  });
}

describe('without a queue', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.stop());

  test('the default is durable, and ack=queued is refused with what would help', async () => {
    const plain = await service.post(event());
    expect([plain.status, (await plain.json()).receipts[0]?.ack]).toEqual([201, 'durable']);
    const refused = await send(service, ndjson([event()]), { query: '?ack=queued' });
    expect(refused.status).toBe(400);
    const { errors } = await refused.json();
    expect(errors[0]?.pointer).toBe('/ack');
    expect(errors[0]?.message).toMatch(/durable or committed.*INDELIBLE_REDIS_URL/);
    expect((await send(service, ndjson([event()]), { query: '?ack=soon' })).status).toBe(400);
  });
});

describe('with a queue', () => {
  let service: TestService;
  let queue: FakeQueue;
  beforeAll(async () => {
    service = await startService();
    queue = FakeQueue.install(service);
  });
  afterAll(() => service.stop());

  const last = () => queue.entries.at(-1);
  const total = async () => (await (await service.call('/journal/stats')).json()).total_events;

  test('202 says where the events are queued and under which ids; nothing is recorded yet', async () => {
    const response = await service.post([event({ event_id: 'sä"ge' }), event()]);
    expect(response.status).toBe(202);
    const answer = await response.json();
    expect(answer).toEqual({
      queued: 2,
      position: last()?.position,
      receipts: [
        { event_id: 'sä"ge', ack: 'queued' },
        { event_id: last()?.drafts[1]?.event_id, ack: 'queued' },
      ],
    });
    expect(last()?.workspace).toBe('acme');
    expect(service.services.journals.has('acme')).toBe(false);
    await queue.record();
    expect(await total()).toBe(2);
  });

  test('in every form of a body: an object, lines, gzip; receipts=summary leaves the list out', async () => {
    const summary = { query: '?ack=queued&receipts=summary' };
    const object = await send(service, JSON.stringify(event()), {
      ...summary,
      headers: { 'Content-Type': 'application/json' },
    });
    expect([object.status, await object.json()]).toEqual([202, { queued: 1, position: last()?.position }]);
    const lines = await send(service, ndjson([event(), event(), event()]), summary);
    expect(await lines.json()).toEqual({ queued: 3, position: last()?.position });
    const packed = await send(service, gzipSync(ndjson([event()])), { headers: { 'Content-Encoding': 'gzip' } });
    expect(await packed.json()).toMatchObject({ queued: 1, receipts: [{ ack: 'queued' }] });
  });

  test('durable and committed go past the queue and have positions', async () => {
    const queued = queue.entries.length;
    for (const ack of ['durable', 'committed']) {
      const response = await send(service, ndjson([event()]), { query: `?ack=${ack}` });
      expect(response.status).toBe(201);
      expect((await response.json()).receipts[0]).toMatchObject({ seq: expect.any(Number), ack });
    }
    expect(queue.entries).toHaveLength(queued);
  });

  test('a bad event is refused at the door, and none of its neighbours is queued', async () => {
    const queued = queue.entries.length;
    const refused = await send(service, ndjson([event(), event({ actor: 7 })]));
    expect([refused.status, (await refused.json()).errors[0]?.pointer]).toEqual([400, '/1/actor']);
    expect(queue.entries).toHaveLength(queued);
  });

  test('a longer stream is queued part by part: the answer has the count and the last position', async () => {
    const queued = queue.entries.length;
    const response = await send(service, ndjson(Array.from({ length: 10_001 }, () => event())));
    expect([response.status, await response.json()]).toEqual([202, { queued: 10_001, position: last()?.position }]);
    expect(queue.entries.slice(queued).map(({ drafts }) => drafts.length)).toEqual([10_000, 1]);
  });

  test('where it fails in a later part, the problem says what is queued', async () => {
    const many = Array.from({ length: 10_000 }, () => event());
    const refused = await send(service, ndjson([...many, event({ actor: 7 })]));
    expect(refused.status).toBe(400);
    const { errors, progress } = await refused.json();
    expect(errors[0]?.pointer).toBe('/10000/actor');
    expect(progress).toEqual({
      events: 10_000,
      duplicates: 0,
      lines: 10_000,
      first_seq: null,
      last_seq: null,
      position: last()?.position,
    });
  });

  test('a queue that is away is a 503 that says when to come back', async () => {
    queue.fault = new IndelibleError('unavailable', 'the queue is away', { retryAfterS: 7 });
    const refused = await service.post(event());
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '7']);
    expect((await service.post(event())).status).toBe(202);
  });

  test('an Idempotency-Key makes the ids, also through the parts of a stream', async () => {
    const keyed = (count: number, query = '') =>
      send(service, ndjson(Array.from({ length: count }, (_, index) => event({ new_value: index }))), {
        query,
        headers: { 'Idempotency-Key': `key-${count}` },
      });
    const ids = () => last()?.drafts.map(({ event_id }) => event_id);
    await keyed(2);
    const first = ids();
    await keyed(2);
    expect(ids()).toEqual(first);
    expect(new Set(first).size).toBe(2);
    const from = queue.entries.length;
    await keyed(10_002);
    const parts = queue.entries.slice(from).flatMap(({ drafts }) => drafts.map(({ event_id }) => event_id));
    expect(new Set(parts).size).toBe(10_002);
    await queue.record();
    const again = await keyed(10_002, '?ack=committed');
    expect(await again.json()).toMatchObject({ count: 0, duplicates: 10_002 });
  });

  test('other content under a key is found out at once only where the events are waited for', async () => {
    const headers = { 'Idempotency-Key': 'other' };
    await send(service, ndjson([event(), event()]), { headers });
    await queue.record();
    const longer = ndjson([event(), event(), event()]);
    expect((await send(service, longer, { headers, query: '?ack=committed' })).status).toBe(409);
    expect((await send(service, longer, { headers })).status).toBe(202);
    queue.entries.pop();
  });

  test('an operator makes the workspace, a closed one is refused, and roles hold as ever', async () => {
    expect((await service.post(event(), { workspace: 'fresh' })).status).toBe(202);
    expect(service.keys.workspace('fresh')).toBeDefined();
    const reader = await service.key('reader', 'fresh');
    expect((await service.post(event(), { key: reader })).status).toBe(403);
    await service.call('/workspaces/fresh', { method: 'DELETE', workspace: null });
    const queued = queue.entries.length;
    expect((await service.post(event(), { workspace: 'fresh' })).status).toBe(409);
    expect(queue.entries).toHaveLength(queued);
  });

  test('the log has the status that was answered', async () => {
    const before = service.logLines.length;
    await service.post(event(), { headers: { 'X-Request-Id': 'a-queued-one' } });
    const line = service.logLines.slice(before).find((one) => one.includes('a-queued-one'));
    expect(JSON.parse(line ?? '{}')).toMatchObject({ status: 202, workspace: 'acme' });
  });
});
