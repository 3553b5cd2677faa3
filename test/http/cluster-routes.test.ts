import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { hasRedisServer } from '../../scripts/redis-server.mjs';
import type { PressureLevel } from '../../src/cluster/pressure/index.ts';
import {
  AXIOMS,
  COMPLIANCE_GROUP,
  ensureGroup,
  journalStream,
  readNew,
  type Redis,
} from '../../src/cluster/redis/index.ts';
import { DeadLetters, StreamAdmin } from '../../src/cluster/upkeep/index.ts';
import { startService, type TestService } from '../support/http-service.ts';
import { RedisLab } from '../support/redis-lab.ts';
import { RedisServer } from '../support/redis-server.ts';

const JSON_BODY = { 'Content-Type': 'application/json' };
const REPLAY = { method: 'POST', headers: JSON_BODY, body: JSON.stringify({ group: 'copy', from: '0' }) };

async function answer(service: TestService, path: string, init = {}): Promise<{ status: number; body: unknown }> {
  const response = await service.call(path, { workspace: null, ...init });
  return { status: response.status, body: await response.json() };
}

test('a service that is no cluster says so, on every route', async () => {
  const service = await startService();
  try {
    const routes: [string, object?][] = [
      ['/dead-letters'],
      ['/dead-letters/1-0'],
      ['/dead-letters/1-0/replay', { method: 'POST' }],
      ['/dead-letters/1-0?reason=x', { method: 'DELETE' }],
      ['/streams'],
      ['/streams/axioms/replay', REPLAY],
    ];
    for (const [path, init] of routes) {
      expect(await answer(service, path, init), path).toMatchObject({
        status: 409,
        body: { detail: 'this service is no cluster: start it with INDELIBLE_REDIS_URL' },
      });
    }
  } finally {
    await service.stop();
  }
});

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('the streams of a cluster over HTTP', () => {
  const lab = new RedisLab();
  let server: RedisServer;
  let redis: Redis;
  let letters: DeadLetters;
  let pressure: PressureLevel;
  let service: TestService;

  beforeAll(async () => {
    server = await RedisServer.start();
    redis = await lab.ready(server.url);
    letters = new DeadLetters(redis);
    service = await startService();
    service.services.cluster = new StreamAdmin({
      redis,
      partitions: 2,
      deadLetters: letters,
      pressure: () => pressure,
    });
  });
  beforeEach(async () => {
    await redis.flushall();
    pressure = 0;
  });
  afterAll(async () => {
    await service.stop();
    lab.dispose();
    await server.remove();
  });

  const add = (reason: string, stream = AXIOMS) =>
    letters.add({
      stream,
      id: '17-3',
      workspace: 'acme',
      kind: 'poison',
      reason,
      deliveries: 6,
      fields: new Map([
        ['body', Buffer.from('text ü')],
        ['raw', Buffer.from([255, 0])],
      ]),
    });

  test('lists dead letters in pages, and shows one with its contents', async () => {
    const ids = [await add('first'), await add('second', journalStream(1)), await add('third', journalStream(9))];
    const first = await answer(service, '/dead-letters?limit=2');
    const head = { entry_id: '17-3', workspace: 'acme', kind: 'poison', deliveries: 6, bytes: 9 };
    const dead_at = expect.stringMatching(/^2\d\d\d-\d\d-\d\dT.*000Z$/);
    expect(first).toEqual({
      status: 200,
      body: {
        dead_letters: [
          { ...head, id: ids[0], dead_at, stream: 'axioms', reason: 'first' },
          { ...head, id: ids[1], dead_at, stream: 'journal-1', reason: 'second' },
        ],
        next_cursor: ids[1],
      },
    });
    const next = await answer(service, `/dead-letters?limit=2&cursor=${ids[1]}`);
    expect(next.body).toEqual({
      dead_letters: [{ ...head, id: ids[2], dead_at, stream: journalStream(9), reason: 'third' }],
      next_cursor: null,
    });
    const one = await answer(service, `/dead-letters/${ids[0]}`);
    expect(one.body).toMatchObject({ id: ids[0], fields: { body: { text: 'text ü' }, raw: { base64: '/wA=' } } });
  });

  test('processes one again, and discards one for a reason', async () => {
    const [again, gone] = [await add('first'), await add('second')];
    const replayed = await answer(service, `/dead-letters/${again}/replay`, { method: 'POST' });
    expect(replayed).toEqual({
      status: 200,
      body: { stream: 'axioms', entry_id: expect.stringMatching(/^\d+-\d+$/) },
    });
    expect(await redis.xlen(AXIOMS)).toBe(1);
    const path = `/dead-letters/${gone}`;
    expect(await answer(service, path, { method: 'DELETE' })).toMatchObject({ status: 400 });
    expect(await answer(service, `${path}?reason=a%20test`, { method: 'DELETE' })).toEqual({
      status: 200,
      body: { discarded: true },
    });
    expect(await answer(service, path)).toMatchObject({ status: 404 });
    expect(await letters.depth()).toBe(0);
    const lines = service.logLines.filter((line) => line.includes('dead letter'));
    expect(lines.find((line) => line.includes('was discarded'))).toContain('"reason":"a test"');
    expect(lines.find((line) => line.includes('processed again'))).toContain(again);
  });

  test.each(['x', '1', '1-', '..%2F1-0', '1-0%20', '99999999999999999999-0'])('knows no dead letter %j', async (id) => {
    for (const [path, init] of [
      [`/dead-letters/${id}`, {}],
      [`/dead-letters/${id}/replay`, { method: 'POST' }],
      [`/dead-letters/${id}?reason=x`, { method: 'DELETE' }],
    ] as const) {
      expect(await answer(service, path, init), path).toMatchObject({ status: 404 });
    }
  });

  test('shows what the streams hold', async () => {
    pressure = 2;
    await add('first');
    await ensureGroup(redis, AXIOMS, COMPLIANCE_GROUP);
    for (let at = 0; at < 3; at++) await redis.xadd(AXIOMS, `${at + 1}-0`, 'body', 'x');
    await readNew(redis, { streams: [AXIOMS], group: COMPLIANCE_GROUP, consumer: 'one', count: 2 });
    await redis.xgroup('CREATE', AXIOMS, 'middle', '2-0');
    const { status, body } = await answer(service, '/streams');
    expect(status).toBe(200);
    expect(body).toEqual({
      pressure_level: 2,
      dead_letters: 1,
      streams: [
        { name: 'axioms-high', length: 0, groups: [] },
        {
          name: 'axioms',
          length: 3,
          groups: [
            { name: COMPLIANCE_GROUP, consumers: 1, pending: 2, lag: 1, last_delivered_id: '2-0' },
            { name: 'middle', consumers: 0, pending: 0, lag: null, last_delivered_id: '2-0' },
          ],
        },
        { name: 'journal-0', length: 0, groups: [] },
        { name: 'journal-1', length: 0, groups: [] },
      ],
    });
  });

  test('replays a stream to a group, and refuses what it does not know', async () => {
    await redis.xadd(journalStream(1), '5-0', 'body', 'x');
    expect(await answer(service, '/streams/journal-1/replay', REPLAY)).toEqual({
      status: 200,
      body: { entries: 1, created: true },
    });
    for (const name of ['journal-2', 'journal-01', 'journal', 'dead-letters', 'indelible:axioms', '__proto__']) {
      expect(await answer(service, `/streams/${name}/replay`, REPLAY), name).toMatchObject({
        status: 404,
        body: { detail: expect.stringContaining('journal-0 to journal-1') },
      });
    }
    for (const [body, pointer] of [
      [{ group: 'a b', from: '0' }, '/group'],
      [{ group: 'copy', from: 'soon' }, '/from'],
      [{ group: 'copy' }, '/from'],
      [{ group: 'copy', from: '0', to: '9' }, '/to'],
    ] as const) {
      const refused = await answer(service, '/streams/axioms/replay', { ...REPLAY, body: JSON.stringify(body) });
      expect(refused).toMatchObject({ status: 400, body: { errors: [{ pointer }] } });
    }
  });

  test('says that Redis is away, and when to come back', async () => {
    await server.kill();
    const response = await service.call('/streams', { workspace: null });
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2']);
    await server.startAgain();
    await redis.ping();
  });
});
