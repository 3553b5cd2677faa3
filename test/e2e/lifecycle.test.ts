import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { type RealOptions, RealService } from '../support/real-service.ts';
import { OPERATOR_KEY } from '../support/service-client.ts';

let services: RealService[] = [];
afterEach(async () => {
  await Promise.all(services.map((service) => service.remove()));
  services = [];
});

async function start(options: RealOptions = {}): Promise<RealService> {
  const service = await RealService.start(options);
  services.push(service);
  return service;
}

const WORKER = 'queries/worker';
const SOON = { timeout: 10_000 };
const ENDLESS = 'select sum(sqrt(range)) from range(1000000000000)';

type Receipt = { event_id: string; seq: number; event_hash: string };
type Answer = { count: number; duplicates: number; receipts: Receipt[] };
type Stats = { total_events: number; buffered_events: number; persisted_files: number; durable_seq: number };

const draft = (id: string) => ({ entity_type: 'doc', entity_id: id, action: 'touch', actor: 'ann' });

/** Appends without pause on several connections until the service answers no more. */
class Load {
  readonly receipts: Receipt[] = [];
  readonly #lanes: Promise<void>[];
  #stopped = false;

  constructor(service: RealService, lanes = 4) {
    const { url } = service;
    const call = (lane: number, round: number) =>
      fetch(`${url}/journal/events?workspace=acme`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${OPERATOR_KEY}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(Array.from({ length: 5 }, (_, index) => draft(`${lane}/${round}/${index}`))),
      });
    this.#lanes = Array.from({ length: lanes }, async (_, lane) => {
      for (let round = 0; !this.#stopped; round++) {
        const answer = await call(lane, round).catch(() => undefined);
        if (!answer?.ok) return;
        const text = await answer.text().catch(() => undefined);
        if (text === undefined) return;
        this.receipts.push(...(JSON.parse(text) as Answer).receipts);
      }
    });
  }

  async reaches(count: number): Promise<void> {
    await expect.poll(() => this.receipts.length, { timeout: 20_000 }).toBeGreaterThan(count);
  }

  /** Resolves when every lane has ended, by this or by itself. */
  async end(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
  }
}

async function exportedEvents(service: RealService): Promise<Receipt[]> {
  const text = await (await service.call('/journal/export?format=ndjson')).text();
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Receipt);
}

/** Living processes of a service beside itself: they work in its data directory, or are told of it. */
function helpersOf(service: RealService, program = ''): string[] {
  const isHelper = (pid: string) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      const isZombie = /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
      if (isZombie || !command.includes(program)) return false;
      return `${command} ${readlinkSync(`/proc/${pid}/cwd`)}`.includes(service.dataDir);
    } catch {
      return false;
    }
  };
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => Number(pid) !== service.process.pid && isHelper(pid));
}

/** Processor time of a process, in hundredths of a second. */
function cpuTicksOf(pid: string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[11]);
}

async function fill(service: RealService, batches: number): Promise<void> {
  for (let batch = 0; batch < batches; batch++) {
    const events = Array.from({ length: 10_000 }, (_, index) => draft(`${batch}-${index}`));
    await service.post('/journal/events?receipts=summary', events);
  }
}

/** The beginning of an answer, of which no more is read until somebody does. */
function beginExport(service: RealService): Promise<IncomingMessage> {
  const headers = { Authorization: `Bearer ${OPERATOR_KEY}`, 'X-Workspace': 'acme' };
  return new Promise((resolve, reject) => {
    get(`${service.url}/journal/export?format=ndjson`, { headers, agent: false }, resolve).on('error', reject);
  });
}

test('SIGTERM under load: all that was acknowledged is there afterwards, exit code 0, nothing left running', async () => {
  const service = await start({ args: ['--flush-events', '2000'] });
  const load = new Load(service);
  await load.reaches(500);
  expect(await service.end('SIGTERM')).toBe(0);
  await load.end();
  expect(helpersOf(service)).toEqual([]);
  await service.startAgain();
  expect(await service.json<Stats>('/journal/stats')).toMatchObject({ buffered_events: 0 });
  const kept = new Map((await exportedEvents(service)).map((event) => [event.event_id, event]));
  for (const { event_id, seq, event_hash } of load.receipts) {
    expect(kept.get(event_id)).toMatchObject({ seq, event_hash });
  }
  expect(await service.json('/journal/verify')).toMatchObject({ valid: true });
});

test('SIGKILL under load and under a query: the same, and its workers end by themselves', async () => {
  const service = await start({ args: ['--flush-events', '2000'] });
  const load = new Load(service);
  await load.reaches(500);
  const question = service.post('/journal/query', { sql: ENDLESS }).catch(() => 'broken off');
  await expect.poll(() => helpersOf(service).length, SOON).toBeGreaterThan(0);
  expect(await service.end('SIGKILL')).toBe('SIGKILL');
  await load.end();
  expect(await question).toBe('broken off');
  await expect.poll(() => helpersOf(service), SOON).toEqual([]);
  await service.startAgain();
  const kept = new Map((await exportedEvents(service)).map((event) => [event.event_id, event]));
  for (const { event_id, seq, event_hash } of load.receipts) {
    expect(kept.get(event_id)).toMatchObject({ seq, event_hash });
  }
});

test('a store that is away: appends stay durable, sealing says so and heals by itself', async () => {
  const service = await start({ args: ['--flush-age-ms', '500'] });
  await service.post('/journal/events', draft('before'));
  await service.json('/journal/flush', { method: 'POST' });
  const aside = join(service.dir, 'aside');
  await rename(service.storeDir, aside);
  await writeFile(service.storeDir, 'no directory');
  expect(await service.post('/journal/events', draft('during'))).toMatchObject({ count: 1 });
  const refused = await service.call('/journal/flush', { method: 'POST' });
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await refused.json()).toMatchObject({ type: 'urn:indelible:problem:unavailable', status: 503 });
  const committed = service.post('/journal/events?ack=committed', draft('waits'));
  expect(await service.json('/journal/recent?limit=1&entity_id=during')).toMatchObject({
    events: [{ entity_id: 'during' }],
  });
  const read = await service.call('/journal/entity/before');
  expect(read.status).toBe(503);
  expect((await service.call('/ready')).status).toBe(200);
  await rm(service.storeDir);
  await rename(aside, service.storeDir);
  expect(await committed).toMatchObject({ receipts: [{ ack: 'committed' }] });
  await expect
    .poll(() => service.json<Stats>('/journal/stats'), { timeout: 15_000 })
    .toMatchObject({ buffered_events: 0, total_events: 3 });
  expect(await service.json('/journal/verify')).toMatchObject({ valid: true, events: 3 });
});

test('an export is one snapshot, holds up nobody when it is not read, and its worker goes when it is given up', async () => {
  const service = await start({ args: ['--flush-events', '50000'] });
  await fill(service, 12);
  const load = new Load(service, 2);
  await load.reaches(50);
  const least = (await service.json<Stats>('/journal/stats')).total_events;
  const answer = await beginExport(service);
  const most = (await service.json<Stats>('/journal/stats')).total_events;
  const seen = load.receipts.length;
  await load.reaches(seen + 500);
  expect((await service.call('/health')).status).toBe(200);
  const rows: number[] = [];
  answer.setEncoding('utf8');
  let text = '';
  for await (const chunk of answer) text += chunk;
  for (const line of text.split('\n').filter(Boolean)) rows.push((JSON.parse(line) as Receipt).seq);
  expect(rows.length).toBeGreaterThanOrEqual(least);
  expect(rows.length).toBeLessThanOrEqual(most);
  expect(Number(answer.headers['x-row-count'])).toBe(rows.length);
  expect(rows.every((seq, index) => seq === index)).toBe(true);
  await load.end();

  const unread = await beginExport(service);
  const [busy] = helpersOf(service, WORKER);
  expect(busy).toBeDefined();
  unread.destroy();
  await expect.poll(() => helpersOf(service, WORKER), SOON).not.toContain(busy);
  expect(await service.end('SIGTERM')).toBe(0);
  expect(helpersOf(service)).toEqual([]);
});

test('a question that is given up ends its worker; one is kept ready for the next', async () => {
  const service = await start();
  await service.post('/journal/events', draft('a'));
  await expect.poll(() => helpersOf(service, WORKER).length, SOON).toBe(1);
  const [first = ''] = helpersOf(service, WORKER);
  const idleTicks = cpuTicksOf(first);
  const asked = new AbortController();
  const question = service.post('/journal/query', { sql: ENDLESS }, { signal: asked.signal }).catch(() => 'given up');
  await expect.poll(() => cpuTicksOf(first), SOON).toBeGreaterThan(idleTicks + 20);
  // While it runs nobody else is started: that would take from it.
  expect(helpersOf(service, WORKER)).toEqual([first]);
  asked.abort();
  expect(await question).toBe('given up');
  await expect.poll(() => helpersOf(service, WORKER).length, SOON).toBe(1);
  expect(helpersOf(service, WORKER)).not.toContain(first);
});
