import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasRedisServer } from '../../scripts/redis-server.mjs';
import { AxiomQueue } from '../../src/cluster/axioms/index.ts';
import { AXIOMS, AXIOMS_HIGH, axiomOfEntry, ensureGroup, readNew, type Redis } from '../../src/cluster/redis/index.ts';
import { systemClock, systemRandom } from '../../src/system.ts';
import { type CallInit, startService, type TestService } from '../support/http-service.ts';
import { RedisLab } from '../support/redis-lab.ts';
import { RedisServer } from '../support/redis-server.ts';

const signal = (source_id: string | undefined, anomaly_score = 0.2) => ({ source_id, domain: 'water', anomaly_score });

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('POST /axioms with a queue', () => {
  const connections = new RedisLab();
  let server: RedisServer;
  let redis: Redis;
  let service: TestService;
  beforeAll(async () => {
    server = await RedisServer.start({ appendonly: true });
    redis = await connections.ready(server.url);
    const queue = new AxiomQueue({ redis, threshold: 0.8, clock: systemClock, random: systemRandom });
    service = await startService({ axioms: queue });
    for (const stream of [AXIOMS, AXIOMS_HIGH]) await ensureGroup(redis, stream, 'test');
  });
  afterAll(async () => {
    await service.stop();
    connections.dispose();
    await server.remove();
  });

  const post = (body: unknown, init: CallInit = {}) =>
    service.call('/axioms', {
      method: 'POST',
      body: JSON.stringify(body),
      ...init,
      headers: { 'Content-Type': 'application/json', ...init.headers },
    });
  /** What has come since it was asked last: stream, workspace, source and id. */
  const queued = async () => {
    const found = await readNew(redis, {
      ...{ streams: [AXIOMS_HIGH, AXIOMS], group: 'test', consumer: 'test', count: 50_000 },
    });
    return [...found].flatMap(([stream, entries]) =>
      entries.map((entry) => {
        const message = axiomOfEntry(entry);
        if ('malformed' in message) throw new Error(message.malformed);
        return { stream, workspace: message.workspace, source: message.draft.entity_id, id: message.draft.event_id };
      }),
    );
  };

  test('202: each is in the stream of its score, and nothing is said of duplicates and positions', async () => {
    const answer = await post([signal('low'), signal('high', 0.8), signal(undefined)]);
    expect([answer.status, await answer.json()]).toEqual([
      202,
      { accepted: 3, duplicates: null, unknown: 1, first_seq: null, last_seq: null },
    ]);
    expect((await queued()).map(({ stream, workspace, source }) => [stream, workspace, source])).toEqual([
      [AXIOMS_HIGH, 'acme', 'high'],
      [AXIOMS, 'acme', 'low'],
      [AXIOMS, 'acme', 'unknown'],
    ]);
  });

  test('the same signal has the same id; one without a source has it from the Idempotency-Key, or a new one', async () => {
    const headers = { 'Idempotency-Key': 'once' };
    for (let times = 0; times < 2; times++) {
      await post([signal('named'), signal(undefined)], { headers });
      await post([signal(undefined)]);
    }
    const ids = (await queued()).map(({ id }) => id);
    expect([ids[0], ids[1]]).toEqual([ids[3], ids[4]]);
    expect(new Set(ids).size).toBe(4);
    expect(ids.every((id) => /^[0-9a-f-]{36}$/.test(String(id)))).toBe(true);
  });

  test('more NDJSON than one append takes is queued whole', async () => {
    const lines = Array.from({ length: 12_000 }, (_, i) => JSON.stringify(signal(`s${i}`))).join('\n');
    const answer = await post(undefined, { body: lines, headers: { 'Content-Type': 'application/x-ndjson' } });
    expect(await answer.json()).toMatchObject({ accepted: 12_000, duplicates: null });
    expect(new Set((await queued()).map(({ source }) => source)).size).toBe(12_000);
  });

  test('a fault queues nothing, and a closed workspace takes none', async () => {
    expect((await post([signal('a'), { ...signal('b'), anomaly_score: 'x' }])).status).toBe(400);
    const by = { keyId: 'test', name: 'test', role: 'operator', workspace: null } as const;
    await service.keys.createWorkspace('closed', by);
    await service.keys.closeWorkspace('closed', by);
    expect((await post([signal('a')], { workspace: 'closed' })).status).toBe(409);
    expect(await queued()).toEqual([]);
  });

  test('503 while Redis is away', async () => {
    await server.kill();
    const answer = await post([signal('late')]);
    expect([answer.status, Number(answer.headers.get('Retry-After')) > 0]).toEqual([503, true]);
    await server.startAgain();
  });
});
