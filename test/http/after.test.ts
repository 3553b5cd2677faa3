import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { IndelibleError } from '../../journal/index.ts';
import { event, startService, type TestService } from '../support/http-service.ts';
import { FakeQueue } from '../support/fake-queue.ts';

type Parameter = { name: string; in: string };
type Operation = { parameters?: Parameter[]; 'x-roles': string[] };

/** Routes of the description as `GET /journal/recent`, with their parameters. */
async function describedRoutes(service: TestService): Promise<Map<string, Parameter[]>> {
  const { paths } = await (await service.call('/openapi.json')).json();
  const all = Object.entries(paths as Record<string, Record<string, Operation>>).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, operation]) => [`${method.toUpperCase()} ${path}`, operation.parameters ?? []] as const,
    ),
  );
  return new Map(all);
}

const takesAfter = (parameters: Parameter[]) => parameters.some(({ name }) => name === 'after');
const isScoped = (parameters: Parameter[]) => parameters.some(({ name }) => name === 'X-Workspace');

const sql = (service: TestService, query: string) =>
  service.call(`/journal/query${query}`, {
    method: 'POST',
    body: JSON.stringify({ sql: 'SELECT count(*) AS n FROM journal' }),
    headers: { 'Content-Type': 'application/json' },
  });

describe('every read', () => {
  let service: TestService;
  let reads: string[];
  beforeAll(async () => {
    service = await startService();
    await service.post([event({ event_id: 'one' }), event(), event()]);
    const routes = [...(await describedRoutes(service))];
    reads = routes.filter(([, parameters]) => takesAfter(parameters)).map(([route]) => route);
  });
  afterAll(() => service.stop());

  test('of a workspace takes ?after=, and nothing else does', async () => {
    const routes = [...(await describedRoutes(service))];
    const expected = routes.flatMap(([route, parameters]) =>
      (route.startsWith('GET ') && isScoped(parameters)) || route === 'POST /journal/query' ? [route] : [],
    );
    expect(reads).toEqual(expected);
    expect(reads.length).toBeGreaterThan(10);
    expect((await service.call('/journal/flush?after=0', { method: 'POST' })).status).toBe(400);
  });

  test('answers where the seq is there', async () => {
    for (const after of ['0', '2']) {
      expect((await service.call(`/journal/recent?after=${after}`)).status).toBe(200);
      expect((await sql(service, `?after=${after}`)).status).toBe(200);
    }
  });

  test('says by 503 and Retry-After that it is not', async () => {
    const answer = await service.call('/journal/stats?after=3');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
  });

  test.each(['', 'x', '-1', '1.5', '1e3', '0x1', '7:', '7:1', '1:2-', '1:2-3:4', '99999999999999999', '007', '1:2-3'])(
    'refuses %j in one process',
    async (after) => {
      const answer = await service.call(`/journal/recent?after=${encodeURIComponent(after)}`);
      expect([answer.status, (await answer.json()).errors[0]?.pointer]).toEqual([400, '/after']);
    },
  );

  test('of a workspace that is not there is a 404 all the same, of one that holds nothing yet a 503', async () => {
    expect((await service.call('/journal/recent?after=0', { workspace: 'nowhere' })).status).toBe(404);
    const made = { method: 'POST', workspace: null, body: '{"id":"empty"}' };
    await service.call('/workspaces', { ...made, headers: { 'Content-Type': 'application/json' } });
    const answer = await service.call('/journal/recent?after=0', { workspace: 'empty' });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
  });

  test('asks before it answers: each of them, with the workspace of the key', async () => {
    const { journals } = service.services;
    const auditor = await service.key('auditor');
    const asked: string[][] = [];
    Object.assign(journals, {
      async reached(...named: string[]) {
        asked.push(named);
        throw new IndelibleError('unavailable', 'not yet', { retryAfterS: 3 });
      },
    });
    try {
      for (const route of reads) {
        const [method = '', path = ''] = route.split(' ');
        const target = `${path.replaceAll(/\{\w+\}/g, 'one')}?after=1:2-3`;
        const key = route === 'GET /journal/holds' ? {} : { key: auditor };
        const answer = await service.call(target, { method, ...key });
        expect([route, answer.status, answer.headers.get('retry-after')]).toEqual([route, 503, '3']);
        expect(asked.splice(0)).toEqual([['acme', '1:2-3']]);
      }
      expect((await service.call('/journal/holds?after=1', { key: auditor })).status).toBe(403);
      expect(asked).toEqual([]);
    } finally {
      Reflect.deleteProperty(journals, 'reached');
    }
  });

  test('a cursor is that of the query, whatever was waited for', async () => {
    const { next_cursor } = await (await service.call('/journal/recent?limit=1&after=2')).json();
    expect((await service.call(`/journal/recent?limit=1&cursor=${next_cursor}`)).status).toBe(200);
    expect((await service.call(`/journal/recent?limit=1&after=1&cursor=${next_cursor}`)).status).toBe(200);
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

  const enqueue = async (event_id: string) =>
    (await (await service.post(event({ event_id }))).json()) as unknown as { position: string };

  test('a read waits for the position of an append, and sees its event', async () => {
    const { position } = await enqueue('first');
    const waits = queue.readerWaits();
    const answer = service.call(`/journal/events/first?after=${position}`);
    await waits;
    await queue.record();
    expect(await (await answer).json()).toMatchObject({ seq: 0, event_id: 'first' });
    expect((await sql(service, `?after=${position}`)).status).toBe(200);
  });

  test('a workspace that this process has not heard of is waited for: another may have made it', async () => {
    const answer = await service.call('/journal/recent?after=3:1-1', { workspace: 'elsewhere' });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '2']);
  });

  test('a tail begins, once the position is reached, with what comes then; after a seq, with the next', async () => {
    const { position } = await enqueue('second');
    const waits = queue.readerWaits();
    const tail = service.call(`/journal/tail?after=${position}`);
    await waits;
    await queue.record();
    const opened = await tail;
    await enqueue('third');
    await queue.record();
    expect(await firstData(opened)).toContain('"third"');
    expect(await firstData(await service.call('/journal/tail?after=0'))).toContain('"second"');
  });
});

async function firstData(response: Response): Promise<string> {
  let text = '';
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    const data = /^data: (.*)$/m.exec(text)?.[1];
    if (data !== undefined) return data;
  }
  throw new Error('the tail ended');
}
