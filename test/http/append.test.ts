import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { event, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const ndjson = (events: unknown[]) => events.map((one) => `${JSON.stringify(one)}\n`).join('');

function send(
  body: string | Uint8Array<ArrayBuffer>,
  type = 'application/x-ndjson',
  headers: Record<string, string> = {},
  query = '',
) {
  return service.call(`/journal/events${query}`, {
    method: 'POST',
    body,
    headers: { 'Content-Type': type, ...headers },
  });
}

const total = async () => (await (await service.call('/journal/stats')).json()).total_events;

describe('POST /journal/events', () => {
  test('one event gets its receipt, and is there', async () => {
    const response = await service.post(event({ event_id: 'one', new_value: 1 }));
    expect(response.status).toBe(201);
    const answer = await response.json();
    expect(answer).toMatchObject({ count: 1, duplicates: 0, first_seq: 0, last_seq: 0 });
    expect(answer.receipts).toHaveLength(1);
    expect(answer.receipts[0]).toMatchObject({ event_id: 'one', seq: 0, ack: 'durable' });
    expect(answer.head_hash).toBe(answer.receipts[0]?.event_hash);
    const found = await (await service.call('/journal/events/one')).json();
    expect(found).toMatchObject({ seq: 0, new_value: 1, event_hash: answer.head_hash, prev_hash: '0'.repeat(64) });
  });

  test('an array and NDJSON say the same', async () => {
    const before = await total();
    const array = await service.post([event({ event_id: 'a1' }), event({ event_id: 'a2' })]);
    const lines = await send(ndjson([event({ event_id: 'a1' }), event({ event_id: 'a2' })]));
    expect(await array.json()).toMatchObject({ count: 2, duplicates: 0 });
    expect(await lines.json()).toMatchObject({ count: 0, duplicates: 2, first_seq: null, last_seq: null });
    expect(await total()).toBe(before + 2);
  });

  test('one bad event refuses the whole batch, and the fault is named', async () => {
    const before = await total();
    const response = await service.post([event(), event({ actor: 7 }), event({ colour: 'red' })]);
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    const problem = await response.json();
    expect(problem.errors.map((error) => error.pointer)).toEqual(['/1/actor', '/2/colour']);
    expect(problem.request_id).toBe(response.headers.get('x-request-id'));
    expect(await total()).toBe(before);
  });

  test('other content under a known id is a conflict', async () => {
    await service.post(event({ event_id: 'same', new_value: 'a' }));
    expect((await service.post(event({ event_id: 'same', new_value: 'b' }))).status).toBe(409);
  });

  test('receipts=summary leaves the list out; ack=committed waits for the store', async () => {
    const summary = await service.post(event(), {});
    expect(await summary.json()).toHaveProperty('receipts');
    const body = JSON.stringify(event());
    const short = await (await send(body, 'application/json', {}, '?receipts=summary&ack=committed')).json();
    expect(short).not.toHaveProperty('receipts');
    const stats = await (await service.call('/journal/stats')).json();
    expect(stats.committed_seq).toBe(short.last_seq);
  });

  test('gzip is taken, and its limits are those of what it unpacks to', async () => {
    const packed = await send(gzipSync(JSON.stringify(event())), 'application/json', { 'Content-Encoding': 'gzip' });
    expect(packed.status).toBe(201);
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '));
    expect((await send(bomb, 'application/json', { 'Content-Encoding': 'gzip' })).status).toBe(413);
    expect((await send(bomb, 'application/x-ndjson', { 'Content-Encoding': 'gzip' })).status).toBe(413);
    const cut = gzipSync(JSON.stringify(event())).subarray(0, 40);
    expect((await send(cut, 'application/json', { 'Content-Encoding': 'gzip' })).status).toBe(400);
    expect((await send(cut, 'application/json', { 'Content-Encoding': 'br' })).status).toBe(415);
  });

  test('what is not UTF-8 is refused, naming the line', async () => {
    const bad = Buffer.concat([Buffer.from(ndjson([event()])), Buffer.from([0x7b, 0xff, 0x7d])]);
    const response = await send(bad);
    expect(response.status).toBe(400);
    expect((await response.json()).errors[0]?.pointer).toBe('/1');
    expect((await send(Buffer.from([0x22, 0xc3, 0x28, 0x22]), 'application/json')).status).toBe(400);
  });

  test('a body over the limit is refused, announced or not', async () => {
    const large = Buffer.alloc(17 * 1024 * 1024, ' ');
    expect((await send(large, 'application/json')).status).toBe(413);
    const chunked = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 17; i += 1) controller.enqueue(new Uint8Array(1024 * 1024).fill(32));
        controller.close();
      },
    });
    const response = await service.call('/journal/events', {
      method: 'POST',
      body: chunked,
      headers: { 'Content-Type': 'application/json' },
      duplex: 'half',
    } as RequestInit & { headers: Record<string, string> });
    expect(response.status).toBe(413);
  });

  test('large bodies beyond what memory is set aside for are told to come back', async () => {
    const open = Array.from({ length: 33 }, () => {
      let end = () => {};
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new Uint8Array([0x20]));
          end = () => controller.close();
        },
      });
      const headers = { 'Content-Type': 'application/json' };
      const init = { method: 'POST', body, headers, duplex: 'half' } as Parameters<TestService['call']>[1];
      return { answer: service.call('/journal/events', init), end: () => end() };
    });
    const refused = await Promise.race(open.map(({ answer }) => answer));
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    for (const { end } of open) end();
    const statuses = (await Promise.all(open.map(({ answer }) => answer))).map((response) => response.status);
    expect(statuses.filter((status) => status === 400)).toHaveLength(32);
    expect((await send(JSON.stringify(event()), 'application/json')).status).toBe(201);
  });

  test('media types and charsets that are not ours are 415', async () => {
    for (const type of ['text/plain', 'application/json; charset=latin1', 'application/xml', '']) {
      expect((await send('{}', type)).status, type).toBe(415);
    }
    expect((await send(JSON.stringify(event()), 'application/json; charset=utf-8')).status).toBe(201);
  });
});

describe('longer NDJSON', () => {
  const many = (count: number, prefix: string) =>
    Array.from({ length: count }, (_, index) => event({ event_id: `${prefix}-${index}`, field: `f${index % 7}` }));

  test('10,000 events are one append with receipts; one more is a stream with a summary', async () => {
    const atOnce = await (await send(ndjson(many(10_000, 'edge')))).json();
    expect(atOnce.receipts).toHaveLength(10_000);
    const streamed = await (await send(ndjson(many(10_001, 'over')))).json();
    expect(streamed).toMatchObject({ count: 10_001, duplicates: 0 });
    expect(streamed).not.toHaveProperty('receipts');
    expect(streamed.last_seq - streamed.first_seq).toBe(10_000);
  });

  test('an error says how far it came, and sending all of it again finishes it', async () => {
    const events = many(25_000, 'stream');
    const broken = events.map((one, index) => (index === 21_234 ? { ...one, actor: '' } : one));
    const failed = await send(ndjson(broken));
    expect(failed.status).toBe(400);
    const problem = await failed.json();
    expect(problem.errors[0]?.pointer).toBe('/21234/actor');
    expect(problem.progress).toMatchObject({ events: 20_000, duplicates: 0, lines: 20_000 });
    expect(problem.progress.last_seq - problem.progress.first_seq).toBe(19_999);
    const finished = await (await send(ndjson(events))).json();
    expect(finished).toMatchObject({ count: 5_000, duplicates: 20_000 });
  });

  test('a conflict far down the stream names its line', async () => {
    await service.post(event({ event_id: 'far-10005', new_value: 'other' }));
    const failed = await send(ndjson(many(10_010, 'far')));
    expect(failed.status).toBe(409);
    const problem = await failed.json();
    expect(problem.errors[0]?.pointer).toBe('/10005/event_id');
    expect(problem.progress).toMatchObject({ events: 10_000, lines: 10_000 });
  });

  test('a last line without its newline counts; a cut one is refused', async () => {
    const text = ndjson([event({ event_id: 'last-1' }), event({ event_id: 'last-2' })]);
    expect(await (await send(text.trimEnd())).json()).toMatchObject({ count: 2 });
    const cut = await send(text.slice(0, -20));
    expect(cut.status).toBe(400);
    expect((await cut.json()).errors[0]?.pointer).toBe('/1');
  });
});

describe('Idempotency-Key', () => {
  const keyed = (events: unknown, key: string) =>
    send(JSON.stringify(events), 'application/json', { 'Idempotency-Key': key });

  test('repeating a request repeats its receipts', async () => {
    const events = [event({ new_value: 1 }), event({ new_value: 2 })];
    const first = await (await keyed(events, 'k-1')).json();
    const again = await (await keyed(events, 'k-1')).json();
    expect(again.receipts).toEqual(first.receipts);
    expect(again).toMatchObject({ count: 0, duplicates: 2 });
    expect(first.receipts[0]?.event_id).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    const other = await (await keyed(events, 'k-2')).json();
    expect(other).toMatchObject({ count: 2, duplicates: 0 });
  });

  test('other content under the key is a conflict: changed, longer or shorter', async () => {
    const events = [event({ new_value: 'x' }), event({ new_value: 'y' })];
    expect((await keyed(events, 'k-3')).status).toBe(201);
    const before = await total();
    expect((await keyed([events[0], event({ new_value: 'z' })], 'k-3')).status).toBe(409);
    expect((await keyed([...events, event()], 'k-3')).status).toBe(409);
    expect((await keyed(events.slice(0, 1), 'k-3')).status).toBe(409);
    expect(await total()).toBe(before);
  });

  test('a key that is no visible text is refused', async () => {
    expect((await keyed([event()], 'a b')).status).toBe(400);
    expect((await keyed([event()], 'x'.repeat(256))).status).toBe(400);
  });

  test('also after sealing and a restart', async () => {
    const events = [event({ new_value: 'kept' })];
    const first = await (await keyed(events, 'k-4')).json();
    await service.call('/journal/flush', { method: 'POST' });
    service = await service.restart();
    const again = await (await keyed(events, 'k-4')).json();
    expect(again.receipts).toEqual(first.receipts.map((receipt) => ({ ...receipt, ack: expect.any(String) })));
    expect(again.duplicates).toBe(1);
  });
});
