import { afterAll, beforeAll, expect, test } from 'vitest';
import { event, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

type Message = { id: number; data: { seq: number; entity_id: string } };

async function* messages(response: Response): AsyncGenerator<Message> {
  let text = '';
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
      const match = /^id: (\d+)\ndata: (.*)$/.exec(text.slice(0, end));
      text = text.slice(end + 2);
      if (match) yield { id: Number(match[1]), data: JSON.parse(match[2] as string) };
    }
  }
}

async function take(response: Response, count: number): Promise<Message[]> {
  const taken: Message[] = [];
  for await (const message of messages(response)) {
    taken.push(message);
    if (taken.length === count) break;
  }
  return taken;
}

const post = (count: number) =>
  service.post(Array.from({ length: count }, (_, index) => event({ entity_id: `e${index}` })));

test('from the start, sealed and not, each once and in order, then what is recorded while it listens', async () => {
  await post(700);
  await service.call('/journal/flush', { method: 'POST' });
  await post(600);
  const response = await service.call('/journal/tail?from_start=true');
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const taken = take(response, 1310);
  await post(10);
  const seqs = (await taken).map((message) => message.data.seq);
  expect(seqs).toEqual(Array.from({ length: 1310 }, (_, index) => index));
});

test('resumes after Last-Event-ID, before ?after=; ids are seqs', async () => {
  const resumed = await service.call('/journal/tail?after=3', { headers: { 'Last-Event-ID': '1299' } });
  expect((await take(resumed, 10)).map(({ id, data }) => [id, data.seq])).toEqual(
    Array.from({ length: 10 }, (_, index) => [1300 + index, 1300 + index]),
  );
  expect((await take(await service.call('/journal/tail?after=3'), 1))[0]?.id).toBe(4);
  expect((await service.call('/journal/tail', { headers: { 'Last-Event-ID': 'x' } })).status).toBe(400);
});

test('without a position it begins with what comes next, and a filter lets only its own through', async () => {
  const taken = take(await service.call('/journal/tail?entity_id=e1'), 1);
  await post(3);
  expect(await taken).toMatchObject([{ id: 1311, data: { entity_id: 'e1' } }]);
});

test('a client that does not read holds no more than its connection takes', async () => {
  const value = 'x'.repeat(100_000);
  for (let i = 0; i < 20; i += 1) {
    const events = Array.from({ length: 20 }, () => event({ new_value: value }));
    await service.post(events, { workspace: 'slow' });
  }
  let buffered = 0;
  service.running.server.once('request', (_request, response) => {
    const timer = setInterval(() => (buffered = Math.max(buffered, response.writableLength)), 5);
    response.once('close', () => clearInterval(timer));
  });
  const response = await service.call('/journal/tail?from_start=true', { workspace: 'slow' });
  await new Promise((resolve) => setTimeout(resolve, 500));
  // One batch may be on its way: a page of at most 16 MiB, of the 40 MB there are.
  expect(buffered).toBeGreaterThan(0);
  expect(buffered).toBeLessThan(20 * 1024 * 1024);
  const last = (await take(response, 400)).at(-1);
  expect(last?.id).toBe(399);
});

test('a workspace without events yet can be followed', async () => {
  await service.call('/workspaces', { method: 'POST', body: JSON.stringify({ id: 'new' }) });
  const taken = take(await service.call('/journal/tail', { workspace: 'new' }), 1);
  await service.post(event({ entity_id: 'first' }), { workspace: 'new' });
  expect(await taken).toMatchObject([{ id: 0, data: { entity_id: 'first' } }]);
});

test('an event of another workspace never comes through, and a stop ends the stream', async () => {
  const response = await service.call('/journal/tail', { workspace: 'slow' });
  const seen: Message[] = [];
  const ended = (async () => {
    for await (const message of messages(response)) seen.push(message);
  })();
  await post(5);
  service = await service.restart();
  await ended;
  expect(seen).toEqual([]);
});
