import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ClientOptions, type EventInput, IndelibleClient, IndelibleClientError } from '../../src/client/index.ts';
import { type Fault, ScriptedService } from './scripted-service.ts';

let service: ScriptedService;
beforeEach(async () => {
  service = await ScriptedService.start();
});
afterEach(() => service.close());

const QUICK = { firstDelayMs: 1, delayMsMax: 4 };

function clientOf(options: Partial<ClientOptions> = {}): IndelibleClient {
  return new IndelibleClient({ url: service.url, key: 'k', retry: QUICK, timeoutMs: 2_000, ...options });
}

function event(id: string): EventInput {
  return { entity_type: 'doc', entity_id: id, action: 'touch', actor: 'ann' };
}

async function errorOf(promise: Promise<unknown>): Promise<IndelibleClientError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(IndelibleClientError);
  return error as IndelibleClientError;
}

test('neighbours share a request, and each gets its own receipt, in order', async () => {
  const client = clientOf();
  const receipts = await Promise.all(['a', 'b', 'c'].map((id) => client.record(event(id))));
  expect(receipts.map((receipt) => receipt.seq)).toEqual([0, 1, 2]);
  expect(receipts.map((receipt) => receipt.event_id)).toEqual(service.ids());
  expect(service.requests).toHaveLength(1);
  expect(service.requests[0]?.headers.authorization).toBe('Bearer k');
  expect(client.buffered).toBe(0);
});

test('events go out in the order of the calls, one request at a time, whatever the batch size', async () => {
  const client = clientOf({ batch: { maxBatchEvents: 7, maxBufferedEvents: 10 } });
  const ids = Array.from({ length: 100 }, (_, i) => `e${i}`);
  await Promise.all(ids.map((id) => client.record(event(id))));
  expect(service.events.map((recorded) => recorded.entity_id)).toEqual(ids);
  expect(service.inFlightMax).toBe(1);
  expect(service.requests.every((request) => request.body.trim().split('\n').length <= 7)).toBe(true);
});

test('a batch is cut by bytes too, and an event larger than that still goes', async () => {
  const client = clientOf({ batch: { maxBatchBytes: 300 } });
  const large = { ...event('large'), new_value: 'x'.repeat(1000) };
  await Promise.all([client.record(event('a')), client.record(large), client.record(event('b'))]);
  expect(service.requests).toHaveLength(3);
});

test('an event is what it was when it was taken', async () => {
  const client = clientOf();
  const mutable = event('before');
  const receipt = client.record(mutable);
  mutable.entity_id = 'after';
  await receipt;
  expect(service.events[0]?.entity_id).toBe('before');
});

test("the caller's event_id is kept, and an undefined one is made", async () => {
  const client = clientOf();
  await client.record({ ...event('a'), event_id: 'mine' });
  await client.record({ ...event('b'), event_id: undefined } as unknown as EventInput);
  expect(service.ids()[0]).toBe('mine');
  expect(service.ids()[1]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

const FAULTS: Fault[] = [
  { kind: 'reset-before' },
  { kind: 'reset-after' },
  { kind: 'cut-answer' },
  { kind: 'status', status: 429, headers: { 'retry-after': '0' } },
  { kind: 'status', status: 502 },
  { kind: 'status', status: 503 },
  { kind: 'status', status: 503, applied: true },
  { kind: 'status', status: 504, applied: true },
];

test.each(FAULTS)('$kind $status (applied: $applied) is retried and stores nothing twice', async (fault) => {
  const client = clientOf();
  service.faults.push(fault, fault);
  const receipts = await Promise.all([client.record(event('a')), client.record(event('b'))]);
  expect(service.requests).toHaveLength(3);
  expect(service.events.map((recorded) => recorded.entity_id)).toEqual(['a', 'b']);
  expect(receipts.map((receipt) => receipt.event_id)).toEqual(service.ids());
});

test('a service that does not answer is asked again after the time limit', async () => {
  const client = clientOf({ timeoutMs: 50 });
  service.faults.push({ kind: 'hang' });
  await client.record(event('a'));
  expect(service.ids()).toHaveLength(1);
});

test.each([400, 401, 403, 404, 409, 413, 500])('%i is not retried', async (status) => {
  const client = clientOf();
  service.faults.push({ kind: 'status', status });
  const error = await errorOf(client.record(event('a')));
  expect(error).toMatchObject({ kind: 'refused', status, problem: { detail: 'scripted fault' } });
  expect(service.requests).toHaveLength(1);
});

test('attempts are bounded, and the error says what the service said last', async () => {
  const client = clientOf({ retry: { ...QUICK, attemptsMax: 3 } });
  for (let i = 0; i < 5; i++) service.faults.push({ kind: 'status', status: 503 });
  const error = await errorOf(client.record(event('a')));
  expect(error).toMatchObject({ kind: 'unavailable', status: 503 });
  expect(service.requests).toHaveLength(3);
});

test('bad events are isolated: each gets its own faults, the others are recorded in order', async () => {
  const client = clientOf();
  service.refuse = (given) => (String(given.entity_id).startsWith('bad') ? 'is bad' : undefined);
  const ids = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? `bad${i}` : `good${i}`));
  const results = await Promise.allSettled(ids.map((id) => client.record(event(id))));
  const good = ids.filter((id) => id.startsWith('good'));
  expect(service.events.map((recorded) => recorded.entity_id)).toEqual(good);
  for (const [i, result] of results.entries()) {
    expect(result.status).toBe(ids[i]?.startsWith('bad') ? 'rejected' : 'fulfilled');
    if (result.status !== 'rejected') continue;
    expect(result.reason).toMatchObject({ kind: 'refused', status: 400 });
    expect(result.reason.problem.errors).toEqual([{ pointer: '/entity_id', message: 'is bad' }]);
  }
});

test('where the refusal does not say which event it means, the batch is halved until it shows', async () => {
  const client = clientOf();
  service.pointers = false;
  service.refuse = (given) => (given.entity_id === 'bad' ? 'is bad' : undefined);
  const results = await Promise.allSettled(['a', 'b', 'bad', 'c', 'd'].map((id) => client.record(event(id))));
  expect(results.map((result) => result.status)).toEqual([
    'fulfilled',
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
  ]);
  expect(service.events.map((recorded) => recorded.entity_id)).toEqual(['a', 'b', 'c', 'd']);
});

test('a refused key rejects every event of the batch without halving it', async () => {
  const client = clientOf();
  service.faults.push({ kind: 'status', status: 401 });
  const results = await Promise.allSettled(['a', 'b'].map((id) => client.record(event(id))));
  expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected']);
  expect(service.requests).toHaveLength(1);
});

test('beyond the buffer record() waits for room', async () => {
  const client = clientOf({ batch: { maxBufferedEvents: 2 } });
  const all = Promise.all(['a', 'b', 'c', 'd', 'e'].map((id) => client.record(event(id))));
  expect(client.buffered).toBe(2);
  await all;
  expect(service.events).toHaveLength(5);
  expect(service.requests.every((request) => request.body.trim().split('\n').length <= 2)).toBe(true);
});

test('or it fails at once, if so asked', async () => {
  const client = clientOf({ batch: { maxBufferedEvents: 1, overflow: 'reject' } });
  const first = client.record(event('a'));
  expect(await errorOf(client.record(event('b')))).toMatchObject({ kind: 'buffer-full' });
  await first;
  expect(service.events).toHaveLength(1);
});

test('flush sends without waiting and settles what was taken; close takes no more', async () => {
  const client = clientOf({ batch: { maxDelayMs: 3_600_000 } });
  const receipt = client.record(event('a'));
  await client.flush();
  expect(service.events).toHaveLength(1);
  await receipt;
  const last = client.record(event('b'));
  await client.close();
  expect((await last).seq).toBe(1);
  expect(await errorOf(client.record(event('c')))).toMatchObject({ kind: 'closed' });
});

test('an abort takes back what is not on its way: queued or waiting for room', async () => {
  const client = clientOf({ batch: { maxDelayMs: 3_600_000, maxBufferedEvents: 3 } });
  const controller = new AbortController();
  const kept = client.record(event('kept'));
  const queued = errorOf(client.record(event('queued'), { signal: controller.signal }));
  controller.abort();
  expect(await queued).toMatchObject({ kind: 'aborted' });
  expect(client.buffered).toBe(1);
  await client.flush();
  await kept;
  expect(service.events.map((recorded) => recorded.entity_id)).toEqual(['kept']);
});

test('an abort while retrying ends it', async () => {
  const client = clientOf({ retry: { firstDelayMs: 3_600_000, delayMsMax: 3_600_000, totalMs: 1e9 } });
  service.faults.push({ kind: 'status', status: 503 });
  const controller = new AbortController();
  const appended = errorOf(client.append([event('a')], { signal: controller.signal }));
  await expect.poll(() => service.requests.length).toBe(1);
  controller.abort();
  expect(await appended).toMatchObject({ kind: 'aborted' });
});

test('no service at all: unreachable, with the address', async () => {
  const gone = await ScriptedService.start();
  await gone.close();
  const client = new IndelibleClient({ url: gone.url, retry: { ...QUICK, attemptsMax: 2 } });
  const error = await errorOf(client.record(event('a')));
  expect(error.kind).toBe('unreachable');
  expect(error.message).toContain(`cannot reach ${gone.url}: connect ECONNREFUSED`);
});

test('insert, update, delete and ingest become the events they are', async () => {
  const client = clientOf();
  const doc = { type: 'doc', id: '1' };
  const context = { actor: 'ann', source: 'test', correlation_id: 'r1' };
  await client.recordInsert(doc, { a: 1 }, context);
  const receipts = await client.recordUpdate(doc, { a: 1, b: [1], gone: null }, { b: [1], a: 2, fresh: {} }, context);
  await client.recordDelete(doc, undefined, context);
  await client.recordIngest({ name: 'f.csv', rows: 3 }, context);
  expect(receipts).toHaveLength(3);
  const told = service.events.map(({ event_id, actor, source, correlation_id, ...rest }) => rest);
  expect(told).toEqual([
    { entity_type: 'doc', entity_id: '1', field: '*', action: 'insert', new_value: { a: 1 } },
    { entity_type: 'doc', entity_id: '1', field: 'a', action: 'update', old_value: 1, new_value: 2 },
    { entity_type: 'doc', entity_id: '1', field: 'gone', action: 'update', old_value: null },
    { entity_type: 'doc', entity_id: '1', field: 'fresh', action: 'update', new_value: {} },
    { entity_type: 'doc', entity_id: '1', field: '*', action: 'delete' },
    { entity_type: 'ingest', entity_id: 'f.csv', field: '*', action: 'ingest', new_value: { name: 'f.csv', rows: 3 } },
  ]);
  expect(await client.recordUpdate(doc, { a: { x: 1, y: 2 } }, { a: { y: 2, x: 1 } }, context)).toEqual([]);
});
