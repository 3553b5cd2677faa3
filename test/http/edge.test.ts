import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EVENT_FIELDS } from '../../journal/index.ts';
import { permissionOf } from '../../src/http/permissions.ts';
import { type Answer, event, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

test('ids with slashes, plain and encoded; an encoded /state is part of the id', async () => {
  const ids = ['src/context.ts', 'a b/ü?#%', 'x/state', 'state', 'ends/'];
  await service.post(ids.map((id) => event({ entity_id: id, new_value: { id } })));
  for (const id of ids) {
    const encoded = `/journal/entity/${encodeURIComponent(id)}`;
    const page = await (await service.call(encoded)).json();
    expect(
      page.events.map((one) => one.entity_id),
      id,
    ).toEqual([id]);
    const state = await (await service.call(`${encoded}/state`)).json();
    expect(state, id).toMatchObject({ entity_id: id, exists: true });
  }
  const plain = await (await service.call('/journal/entity/src/context.ts')).json();
  expect(plain.events).toHaveLength(1);
  expect(await (await service.call('/journal/entity/x/state')).json()).toMatchObject({ entity_id: 'x', exists: false });
});

test('pages by a cursor that belongs to its query and its workspace', async () => {
  const events = Array.from({ length: 25 }, (_, index) => event({ entity_id: 'paged', new_value: index }));
  await service.post(events, { workspace: 'paging' });
  await service.call('/journal/flush', { method: 'POST', workspace: 'paging' });
  await service.post(events.slice(0, 5), { workspace: 'paging' });
  const seen: number[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const page: Answer = await (
      await service.call(`/journal/entity/paged?order=desc&limit=7${query}`, { workspace: 'paging' })
    ).json();
    seen.push(...page.events.map((one) => one.seq));
    cursor = page.next_cursor;
  }
  expect(seen).toEqual(Array.from({ length: 30 }, (_, index) => 29 - index));
  const first = await (await service.call('/journal/recent?limit=1', { workspace: 'paging' })).json();
  const elsewhere = [
    service.call(`/journal/recent?limit=1&cursor=${first.next_cursor}`),
    service.call(`/journal/recent?actor=ann&cursor=${first.next_cursor}`, { workspace: 'paging' }),
    service.call(`/journal/entity/paged?cursor=${first.next_cursor}`, { workspace: 'paging' }),
  ];
  for (const response of await Promise.all(elsewhere)) expect(response.status).toBe(400);
});

test('values come back as they were sent', async () => {
  const value = '{"n":12345678901234567890,"small":1e-400,"z":-0,"t":"\\u2028é😀","e":{},"l":[1.50]}';
  const body = `${JSON.stringify(event({ event_id: 'exact' })).slice(0, -1)},"new_value":${value},"old_value":null}`;
  await service.call('/journal/events', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
  const text = await (await service.call('/journal/events/exact')).text();
  expect(text).toContain('"n":12345678901234567890,"small":1e-400');
  expect(text).toContain('"old_value":null');
  expect(text).not.toContain('metadata');
});

test('HEAD answers like GET, without a body; other methods are told what is allowed', async () => {
  const head = await service.call('/journal/recent', { method: 'HEAD' });
  expect([head.status, await head.text()]).toEqual([200, '']);
  expect((await service.call('/journal/tail', { method: 'HEAD' })).status).toBe(200);
  const refused = await service.call('/journal/events', { method: 'PATCH' });
  expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'POST']);
});

test('a request id is taken if it is sane, made if not, and always returned', async () => {
  const id = async (given: string) =>
    (await service.call('/journal/stats', { headers: { 'X-Request-Id': given } })).headers.get('x-request-id');
  expect(await id('abc-1.2:3')).toBe('abc-1.2:3');
  expect(await id('<script>')).toMatch(/^[0-9a-f]{12}-/);
  const post = await service.post(event(), { headers: { 'X-Request-Id': 'mine' } });
  expect(post.headers.get('x-request-id')).toBe('mine');
});

test('log lines have pattern, status, who and correlation, and no path, body or query', async () => {
  // A line is written when its connection has taken the answer, which is not yet when the client has it.
  const headersOf = (id: string) => ({
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'X-Request-Id': `line-${id}`,
  });
  await service.call('/journal/entity/secret-entity?actor=secret-actor', { headers: headersOf('1') });
  await service.call('/journal/entity/secret-entity', { headers: headersOf('2') });
  const secret = event({ new_value: 'secret-value', entity_id: 'secret-entity' });
  await service.post(secret, { headers: headersOf('3') });
  const lines = () =>
    service.logLines.map((line) => JSON.parse(line)).filter(({ request_id: id }) => /^line-/.test(id));
  await expect.poll(() => lines().length).toBe(3);
  expect(service.logLines.join('\n')).not.toContain('secret');
  expect(lines().sort((a, b) => (a.request_id < b.request_id ? -1 : 1))).toMatchObject([
    { route: '/journal/entity/{id}', status: 400, correlation_id: '0af7651916cd43dd8448eb211c80319c' },
    { route: '/journal/entity/{id}', status: 200, workspace: 'acme', key_id: 'configured', method: 'GET' },
    { route: '/journal/events', status: 201, level: 'debug' },
  ]);
});

test('metrics name routes and kinds, never a tenant', async () => {
  await service.call('/journal/recent?limit=x');
  const text = await (await service.call('/metrics')).text();
  expect(text).toContain('route="/journal/entity/{id}"');
  expect(text).toMatch(/indelible_errors_total\{kind="invalid"\} [1-9]/);
  for (const name of ['append_seconds', 'group_commit_seconds', 'wal_bytes', 'seal_lag_events', 'query_seconds']) {
    expect(text).toContain(`indelible_${name}`);
  }
  expect(text).not.toContain('acme');
  expect(text).not.toContain('paging');
});

test('an error of ours says nothing of the inside, and the log has it', async () => {
  const { journals } = service.services;
  const stats = journals.stats;
  journals.stats = async () => {
    throw new Error('the password of the database is hunter2');
  };
  const response = await service.call('/journal/stats');
  journals.stats = stats;
  expect(response.status).toBe(500);
  const text = await response.text();
  expect(text).not.toContain('hunter2');
  const { request_id } = JSON.parse(text);
  const logged = service.logLines.map((line) => JSON.parse(line)).find((line) => line.request_id === request_id);
  expect(logged).toMatchObject({ level: 'error', err: { message: expect.stringContaining('hunter2') } });
});

test('the description has every field of an event, and the page loads nothing from outside', async () => {
  const description = await (await service.call('/openapi.json')).json();
  const schemas = (description.components as { schemas: Record<string, { properties: object; required: string[] }> })
    .schemas;
  expect(Object.keys(schemas.NewEvent?.properties ?? {})).toEqual(Object.keys(EVENT_FIELDS));
  const required = Object.entries(EVENT_FIELDS).filter(([, spec]) => spec.required);
  expect(schemas.NewEvent?.required).toEqual(required.map(([name]) => name));
  const docs = await service.call('/docs');
  expect(docs.headers.get('content-security-policy')).toContain("script-src 'self';");
  const page = await docs.text();
  for (const [, source] of page.matchAll(/(?:src|href)="([^"]+)"/g)) {
    expect(source).toMatch(/^\/docs\//);
    expect((await service.call(source as string)).status).toBe(200);
  }
  expect(page).not.toMatch(/<script>|https?:/);
});

test('a route without a permission stops the start', () => {
  expect(() => permissionOf('get', '/journal/new')).toThrow('permissions.ts');
});

test('a request that breaks off changes nothing', async () => {
  const before = await service.services.journals.stats('acme');
  const body = JSON.stringify(event());
  const socket = connect(service.running.port, '127.0.0.1');
  socket.write(
    `POST /journal/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer an-operator-key-for-the-tests\r\nX-Workspace: acme\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, -5)}`,
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  expect(await service.services.journals.stats('acme')).toEqual(before);
});

test('stopping lets open requests finish, and refuses new connections', async () => {
  const slow = new ReadableStream({
    async start(controller) {
      controller.enqueue(Buffer.from(`${JSON.stringify(event({ event_id: 'slow-1' }))}\n`));
      await new Promise((resolve) => setTimeout(resolve, 300));
      controller.enqueue(Buffer.from(`${JSON.stringify(event({ event_id: 'slow-2' }))}\n`));
      controller.close();
    },
  });
  const upload = service.call('/journal/events', {
    method: 'POST',
    body: slow,
    duplex: 'half',
    headers: { 'Content-Type': 'application/x-ndjson' },
  } as Parameters<TestService['call']>[1]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const restarting = service.restart();
  expect(service.services.lifecycle.ready).toBe(false);
  await expect(fetch(`${service.url}/health`)).rejects.toThrow();
  expect(await (await upload).json()).toMatchObject({ count: 2 });
  service = await restarting;
  expect((await service.call('/journal/events/slow-2')).status).toBe(200);
});
