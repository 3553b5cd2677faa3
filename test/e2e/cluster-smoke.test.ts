import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ALL_ROLES, type ClusterProcess, ClusterProcesses } from '../support/cluster-processes.ts';
import { RedisCluster, RedisServer } from '../support/redis-server.ts';
import type { ServiceClient } from '../support/service-client.ts';
import { queryRows } from './compliance-signals.ts';

const TIME_LIMIT_MS = 90_000;
const WITHIN = { timeout: 20_000, interval: 50 };

type Queued = { queued: number; position: string };
type Page = { events: { event_id: string; entity_id: string; seq: number }[] };

function madeUp(id: string, more: object = {}): object {
  return {
    event_id: id,
    entity_type: 'order',
    entity_id: `o-${id}`,
    action: 'insert',
    new_value: 1,
    actor: 'ann',
    ...more,
  };
}

function signal(id: string, score: number): object {
  return { source_id: id, domain: 'realAWSCloudwatch', metric_value: 7, anomaly_score: score };
}

function enqueue(web: ServiceClient, workspace: string, ids: readonly string[]): Promise<Queued> {
  const events = ids.map((id) => madeUp(id));
  return web.post<Queued>('/journal/events?ack=queued&receipts=summary', events, { workspace });
}

/** Everything that a user of a cluster does, with one process to write to and another to read from. */
async function expectItWorks(write: ServiceClient, read: ServiceClient): Promise<void> {
  const workspace = 'smoke';
  const { queued, position } = await enqueue(write, workspace, ['a', 'b', 'c']);
  expect(queued).toBe(3);
  const recent = await read.json<Page>(`/journal/recent?after=${position}`, { workspace });
  expect(recent.events.map(({ event_id: id }) => id)).toEqual(['c', 'b', 'a']);
  const committed = await read.post<{ first_seq: number; duplicates: number }>(
    '/journal/events?ack=committed',
    [madeUp('b'), madeUp('d')],
    { workspace },
  );
  expect(committed).toMatchObject({ first_seq: 3, duplicates: 1 });
  expect((await write.call('/journal/events/d?after=3', { workspace })).status).toBe(200);
  const conflict = await write.call('/journal/events?ack=committed', {
    workspace,
    method: 'POST',
    body: JSON.stringify(madeUp('d', { new_value: 2 })),
    headers: { 'Content-Type': 'application/json' },
  });
  expect(conflict.status).toBe(409);
  await enqueue(write, workspace, ['e']);
  expect(await write.json('/journal/flush', { method: 'POST', workspace })).toMatchObject({ events: 1 });
  expect(await read.json('/journal/verify?after=4', { workspace })).toMatchObject({ valid: true, events: 5 });
  await expectSignalsJudged(write, read);
}

async function expectSignalsJudged(write: ServiceClient, read: ServiceClient): Promise<void> {
  const workspace = 'signals';
  const signals = Array.from({ length: 50 }, (_, index) => signal(`s-${index}`, index % 10 === 0 ? 0.9 : 0.1));
  for (let time = 0; time < 2; time++) {
    expect(await write.post('/axioms', signals, { workspace })).toMatchObject({ accepted: 50, duplicates: null });
  }
  await vi.waitFor(async () => {
    const rows = 'SELECT count(*), count(DISTINCT source_id), count(*) FILTER (routed_to_ai) FROM compliance_events';
    expect(await queryRows(read, rows, workspace)).toEqual([[50, 50, 5]]);
  }, WITHIN);
}

describe('one process with all roles', () => {
  let redis: RedisServer;
  let cluster: ClusterProcesses;
  beforeAll(async () => {
    redis = await RedisServer.start({ appendonly: true });
    cluster = await ClusterProcesses.start({ redisUrl: redis.url, roles: { [ALL_ROLES]: 1 } });
  }, TIME_LIMIT_MS);
  afterAll(async () => {
    await cluster?.remove();
    await redis?.remove();
  });

  test(
    'is a cluster by itself, tells its measures, and ends in peace',
    async () => {
      const all = cluster.first(ALL_ROLES);
      await expectItWorks(all, all);
      const measures = await (await all.call('/metrics', { workspace: null })).text();
      for (const name of [
        'indelible_pressure_level',
        'indelible_stream_lag_entries',
        'indelible_stream_pending_entries',
        'indelible_stream_oldest_entry_milliseconds',
        'indelible_redis_memory_ratio',
        'indelible_partitions_held',
        'indelible_dead_letters',
        'indelible_recorded_events_total',
        'indelible_leases_lost_total',
        'indelible_entries_lost_total',
        'indelible_reclaimed_entries_total',
      ]) {
        expect(measures).toMatch(new RegExp(`^# TYPE ${name} `, 'm'));
      }
      expect(Number(/^indelible_recorded_events_total (\d+)$/m.exec(measures)?.[1])).toBeGreaterThanOrEqual(105);
      const { position } = await enqueue(all, 'smoke', ['the-last']);
      expect(await all.end('SIGTERM')).toBe(0);
      // What it had read is committed, on another disk another process finds it.
      const next = await cluster.add(ALL_ROLES);
      const { events } = await next.json<Page>(`/journal/recent?after=${position}&limit=1`, { workspace: 'smoke' });
      expect(events).toMatchObject([{ event_id: 'the-last', seq: 5 }]);
    },
    TIME_LIMIT_MS,
  );
});

describe('two webs and a worker', () => {
  let redis: RedisServer;
  let cluster: ClusterProcesses;
  let one: ClusterProcess;
  let other: ClusterProcess;
  beforeAll(async () => {
    redis = await RedisServer.start({ appendonly: true });
    cluster = await ClusterProcesses.start({ redisUrl: redis.url, roles: { web: 2, worker: 1 } });
    [one, other] = cluster.running('web') as [ClusterProcess, ClusterProcess];
  }, TIME_LIMIT_MS);
  afterAll(async () => {
    await cluster?.remove();
    await redis?.remove();
  });

  test(
    'what is written to one is read from the other, and nothing is amiss',
    async () => {
      await expectItWorks(one, other);
      expect(cluster.warnings().filter((line) => line.includes('"level":"error"'))).toEqual([]);
    },
    TIME_LIMIT_MS,
  );

  test(
    'a flush commits what is only in the queue, of a workspace too that nobody has seen a journal of',
    async () => {
      const workspace = 'fresh';
      await enqueue(one, workspace, ['first']);
      expect(await one.post('/journal/flush', {}, { workspace })).toEqual({ events: 1 });
      expect((await one.call('/journal/events/first', { workspace })).status).toBe(200);
      await one.post('/workspaces', { id: 'empty' }, { workspace: null });
      expect(await one.post('/journal/flush', {}, { workspace: 'empty' })).toEqual({ events: 0 });
      expect((await one.call('/journal/flush', { method: 'POST', workspace: 'nowhere' })).status).toBe(404);
    },
    TIME_LIMIT_MS,
  );

  test(
    'a key made on one is good on the other, until it is revoked there',
    async () => {
      await one.post('/workspaces', { id: 'keyed' }, { workspace: null });
      const wanted = { workspace: 'keyed', role: 'writer', name: 'a sender' };
      const { id, key } = await one.post<{ id: string; key: string }>('/keys', wanted, { workspace: null });
      const status = async (web: ServiceClient) => (await web.call('/journal/stats', { key, workspace: null })).status;
      expect(await status(one)).not.toBe(401);
      await vi.waitFor(async () => expect(await status(other)).not.toBe(401), WITHIN);
      const sent = await other.post<Queued>('/journal/events', madeUp('by-key'), { key, workspace: null });
      expect(sent.queued).toBe(1);
      expect((await other.call(`/keys/${id}`, { method: 'DELETE', workspace: null })).status).toBe(200);
      expect(await status(other)).toBe(401);
      await vi.waitFor(async () => expect(await status(one)).toBe(401), WITHIN);
    },
    TIME_LIMIT_MS,
  );

  test(
    'without Redis they say that they are not ready and take nothing; what they took is kept',
    async () => {
      const workspace = 'outage';
      const acknowledged: string[] = [];
      const refusals: { status: number; retryAfter: string | null; detail: string }[] = [];
      let isOver = false;
      const send = async (web: ClusterProcess, name: string) => {
        for (let index = 0; !isOver; index++) {
          const id = `${name}-${index}`;
          const answer = await web.call('/journal/events?ack=queued', {
            workspace,
            method: 'POST',
            body: JSON.stringify(madeUp(id)),
            headers: { 'Content-Type': 'application/json' },
          });
          const { detail } = (await answer.json()) as { detail: string };
          if (answer.status === 202) acknowledged.push(id);
          else refusals.push({ status: answer.status, retryAfter: answer.headers.get('retry-after'), detail });
          await sleep(5);
        }
      };
      const sending = [send(one, 'one'), send(other, 'other')];
      await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan(50), WITHIN);
      await enqueue(one, workspace, ['before']);
      await one.json('/journal/flush', { method: 'POST', workspace });
      await redis.kill();
      for (const web of [one, other]) {
        await vi.waitFor(async () => {
          const ready = await web.call('/ready', { workspace: null });
          expect([ready.status, await ready.json()]).toMatchObject([
            503,
            { status: 'not-ready', parts: { redis: { ok: false }, store: { ok: true } } },
          ]);
        }, WITHIN);
        // What is committed can be read all the same, and the process is alive.
        // A web that did not write it learns of the workspace within a second or so.
        await vi.waitFor(
          async () => expect((await web.call('/journal/events/before', { workspace })).status).toBe(200),
          WITHIN,
        );
        expect((await web.call('/health', { workspace: null })).status).toBe(200);
      }
      await vi.waitFor(() => expect(refusals.length).toBeGreaterThan(1), WITHIN);
      const before = acknowledged.length;
      await redis.startAgain();
      for (const web of [one, other]) {
        await vi.waitFor(async () => expect((await web.call('/ready', { workspace: null })).status).toBe(200), WITHIN);
      }
      await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan(before + 50), WITHIN);
      isOver = true;
      await Promise.all(sending);
      expect(new Set(refusals.map(({ status }) => status))).toEqual(new Set([503]));
      // Nothing of what a driver advises its programmer.
      for (const { detail } of refusals) expect(detail).not.toContain('maxRetriesPerRequest');
      for (const { retryAfter } of refusals) expect(Number(retryAfter)).toBeGreaterThan(0);
      await vi.waitFor(() => other.json('/journal/flush', { method: 'POST', workspace }), WITHIN);
      const stored = await queryRows(other, 'SELECT event_id FROM journal', workspace);
      const ids = stored.map(([id]) => id as string);
      expect(new Set(ids).size).toBe(ids.length);
      expect(acknowledged.filter((id) => !ids.includes(id))).toEqual([]);
      expect(await one.json('/journal/verify', { workspace })).toMatchObject({ valid: true, events: ids.length });
    },
    TIME_LIMIT_MS,
  );
});

test(
  'a cluster over a Redis Cluster works the same',
  async () => {
    const redis = await RedisCluster.start();
    let cluster: ClusterProcesses | undefined;
    try {
      cluster = await ClusterProcesses.start({ redisUrl: redis.url, roles: { web: 1, worker: 1, reclaimer: 1 } });
      const [web] = cluster.running('web') as [ClusterProcess];
      await expectItWorks(web, web);
    } finally {
      await cluster?.remove();
      await redis.remove();
    }
  },
  TIME_LIMIT_MS,
);
