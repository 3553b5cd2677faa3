import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect } from 'vitest';
import { partitionOf } from '../../src/cluster/index.ts';
import { ClusterProcesses } from '../support/cluster-processes.ts';
import { RedisServer } from '../support/redis-server.ts';
import { seeded } from '../support/seeded.ts';
import type { ServiceClient } from '../support/service-client.ts';
import { bodiesOf, type Lane, Senders } from './cluster-clients.ts';
import { Faults } from './cluster-faults.ts';
import { FLAGGED, queryRows, SIGNALS, signalLines, testWithSignals, VERDICTS } from './compliance-signals.ts';
import { EVENTS_OF, HISTORIES, type HistoryName, historyLines, readHistory, type Said, said } from './histories.ts';

const TIME_LIMIT_MS = 300_000;
const DRAIN_MS = 150_000;
const PARTITIONS = 16;
const LEASE_MS = 3_000;
const PAUSED_MS = 2 * LEASE_MS;
const SIGNALS_WORKSPACE = 'acme';
const EVENTS_A_BODY = 25;
const SIGNALS_A_BODY = 500;
const LANES = 2;
/** Between two requests of a lane: the longest takes three quarters of a minute, and fifteen workers die meanwhile. */
const PAUSE_MS = 85;

let redis: RedisServer | undefined;
let cluster: ClusterProcesses | undefined;
afterEach(async () => {
  await cluster?.remove();
  await redis?.remove();
});

type StreamsView = {
  streams: { name: string; length: number; groups: { name: string; pending: number }[] }[];
};

/** All of an entity's events in one lane, in their order. */
function historyLanes(name: HistoryName): Lane[] {
  const lanes: string[][] = Array.from({ length: LANES }, () => []);
  for (const line of historyLines(name)) {
    const { entity_id: id } = JSON.parse(line) as { entity_id: string };
    lanes[partitionOf(id, LANES)]?.push(line);
  }
  return lanes.map((lines) => ({
    path: '/journal/events?ack=queued&receipts=summary',
    workspace: name,
    bodies: bodiesOf(lines, EVENTS_A_BODY),
  }));
}

function signalLanes(lines: readonly string[]): Lane[] {
  const bodies = bodiesOf(lines, SIGNALS_A_BODY);
  return Array.from({ length: LANES }, (_, lane) => ({
    path: '/axioms',
    workspace: SIGNALS_WORKSPACE,
    bodies: bodies.filter((_body, index) => index % LANES === lane),
  }));
}

/** Sends everything while workers are killed, Redis is restarted, and a worker sleeps through its lease. */
async function sendUnderFaults(lanes: readonly Lane[], seed: number): Promise<void> {
  const running = cluster as ClusterProcesses;
  const faults = new Faults(running, seeded(seed));
  const senders = new Senders(() => running.running('web'));
  const bodies = lanes.reduce((sum, lane) => sum + lane.bodies.length, 0);
  const reached = async (part: number) => {
    while (!faults.isOver && senders.sent.requests < part * bodies) await sleep(50);
  };
  const killing = faults.killWorkers();
  const sending = Promise.all(lanes.map((lane) => senders.sendLane(lane, PAUSE_MS)));
  const disturbing = (async () => {
    await reached(0.25);
    await faults.restartRedis(redis as RedisServer);
    await reached(0.5);
    await faults.pauseWriterOf(partitionOf(SIGNALS_WORKSPACE, PARTITIONS), PAUSED_MS);
  })();
  try {
    await Promise.race([Promise.all([sending, disturbing]), killing]);
  } finally {
    faults.end();
  }
  await killing;
  console.log(`INDELIBLE_TEST_SEED=${seed}: ${faults.kills} kills; ${JSON.stringify(senders.sent)}`);
  expect(faults.kills).toBeGreaterThanOrEqual(10);
  expect(senders.sent.requests).toBe(bodies);
  // It woke, and found that it had lost what it wrote.
  expect(faults.saidOnWaking).toMatch(/"reason":"(expired|taken)"/);
  expect(running.running('worker')).toHaveLength(3);
}

/** Streams hold only what is not done: the reclaimer trims the rest at once. */
async function drained(web: ServiceClient): Promise<void> {
  const untilMs = performance.now() + DRAIN_MS;
  for (;;) {
    const { streams } = await web.json<StreamsView>('/streams', { workspace: null });
    const left = streams.filter(({ length, groups }) => length > 0 || groups.some(({ pending }) => pending > 0));
    if (left.length === 0) return;
    if (performance.now() > untilMs) expect(left).toEqual([]);
    await sleep(250);
  }
}

async function expectHistory(web: ServiceClient, name: HistoryName): Promise<void> {
  const answer = await web.call('/journal/export?format=ndjson', { workspace: name });
  expect(answer.status).toBe(200);
  const lines = (await answer.text()).split('\n').filter(Boolean);
  const journal = lines.map((line) => JSON.parse(line) as Said & { seq: number });
  expect(journal.length).toBe(EVENTS_OF[name]);
  expect(journal.findIndex(({ seq }, index) => seq !== index)).toBe(-1);
  // By entity, each in its order: both sides in one list.
  expectSameByEntity(journal.map(said), readHistory(name));
  const verified = await web.json('/journal/verify', { workspace: name });
  expect(verified).toMatchObject({ valid: true, events: EVENTS_OF[name] });
}

function expectSameByEntity(actual: readonly Said[], expected: readonly Said[]): void {
  const ordered = (events: readonly Said[]) => [...Map.groupBy(events, ({ entity_id: id }) => id)].sort(byKey);
  const [found, wanted] = [ordered(actual), ordered(expected)];
  expect(found.map(([id]) => id)).toEqual(wanted.map(([id]) => id));
  const differs = wanted.findIndex(([, events], index) => JSON.stringify(found[index]?.[1]) !== JSON.stringify(events));
  if (differs !== -1) expect(found[differs]).toEqual(wanted[differs]);
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : Number(a > b);
}

/** Every signal is there once, as it was sent, with one verdict and one row. */
async function expectSignals(web: ServiceClient, lines: readonly string[]): Promise<void> {
  const counts = await queryRows(
    web,
    `SELECT count(*), count(DISTINCT source_id), count(*) FILTER (said LIKE '%"routed_to_ai":true%') FROM ${VERDICTS}`,
  );
  expect(counts).toEqual([[SIGNALS, SIGNALS, FLAGGED]]);
  const rows = 'SELECT count(*), count(DISTINCT source_id) FROM compliance_events';
  expect(await queryRows(web, rows)).toEqual([[SIGNALS, SIGNALS]]);
  const risks = 'SELECT risk_level, count(*) FROM compliance_events WHERE routed_to_ai GROUP BY ALL ORDER BY 1';
  expect(await queryRows(web, risks)).toEqual([
    ['critical', 230],
    ['high', 127],
    ['low', 13],
    ['medium', 165],
  ]);
  const stored = await queryRows(
    web,
    `SELECT entity_id, new_value, epoch_ms(occurred_at) FROM journal WHERE entity_type = 'indelible.axiom'`,
  );
  const told = stored.map(([source, value, ms]) => signalText(JSON.parse(value as string), source, Number(ms)));
  const sent = lines.map((line) => {
    const signal = JSON.parse(line) as Record<string, unknown>;
    return signalText(signal, signal.source_id, Date.parse(signal.emitted_at as string));
  });
  told.sort();
  sent.sort();
  expect(told.length).toBe(sent.length);
  const differs = sent.findIndex((text, index) => told[index] !== text);
  if (differs !== -1) expect(told[differs]).toEqual(sent[differs]);
  const verified = await web.json('/journal/verify', { workspace: SIGNALS_WORKSPACE });
  expect(verified).toMatchObject({ valid: true, events: 2 * SIGNALS });
}

function signalText(said: Record<string, unknown>, source: unknown, ms: number): string {
  const { domain, metric_value, anomaly_score, entity_type, entity_id } = said;
  return JSON.stringify([source, ms, domain, metric_value, anomaly_score, entity_type, entity_id]);
}

testWithSignals(
  'a cluster whose workers are killed, whose Redis is restarted and whose writer sleeps keeps every event once, in order, and judges every signal once',
  async () => {
    const seed = Number(process.env.INDELIBLE_TEST_SEED ?? 2026);
    redis = await RedisServer.start({ appendonly: true });
    cluster = await ClusterProcesses.start({
      redisUrl: redis.url,
      roles: { web: 2, worker: 3, reclaimer: 1 },
      // Trimmed as soon as it is done, and read in one answer.
      env: {
        INDELIBLE_PARTITIONS: String(PARTITIONS),
        INDELIBLE_LEASE_MS: String(LEASE_MS),
        INDELIBLE_STREAM_KEEP_MS: '0',
        INDELIBLE_QUERY_ROWS_MAX: String(2 * SIGNALS),
      },
    });
    const lines = signalLines();
    const began = performance.now();
    const passed = () => `${((performance.now() - began) / 1_000).toFixed(0)} s`;
    try {
      await sendUnderFaults([...HISTORIES.flatMap(historyLanes), ...signalLanes(lines)], seed);
      const sentAfter = passed();
      const web = cluster.first('web');
      await drained(web);
      console.log(`all sent after ${sentAfter}, all done after ${passed()}`);
      const letters = await web.json<{ dead_letters: unknown[] }>('/dead-letters', { workspace: null });
      expect(letters.dead_letters).toEqual([]);
      for (const name of HISTORIES) await expectHistory(web, name);
      await expectSignals(web, lines);
      console.log(`all compared after ${passed()}`);
    } catch (error) {
      console.log(cluster.warnings().slice(-60).join('\n'));
      throw error;
    }
  },
  TIME_LIMIT_MS,
);
