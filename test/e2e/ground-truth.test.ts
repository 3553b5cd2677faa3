import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { openAsBlob } from 'node:fs';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterEach, expect } from 'vitest';
import { RealService } from '../support/real-service.ts';
import { seeded } from '../support/seeded.ts';
import {
  countsOf,
  EVENTS_OF,
  expectSame,
  HISTORIES,
  type HistoryName,
  historyFile,
  historyLines,
  readHistory,
  type Said,
  said,
  testWithHistories,
} from './histories.ts';

const TIMEOUT_MS = 120_000;
const TOTAL = 58_333;

let services: RealService[] = [];
afterEach(async () => {
  await Promise.all(services.map((service) => service.remove()));
  services = [];
});

async function start(args: string[] = []): Promise<RealService> {
  const service = await RealService.start({ args });
  services.push(service);
  return service;
}

type Recorded = Said & { seq: number; recorded_at: string; event_hash: string };
type Page = { events: Recorded[]; next_cursor: string | null };
type IngestResult = { rows: number; count: number; duplicates: number };

/** The whole journal, by its export. */
async function exported(service: RealService, workspace: string): Promise<Recorded[]> {
  const answer = await service.call('/journal/export?format=ndjson', { workspace });
  expect(answer.status).toBe(200);
  return (await answer.text())
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Recorded);
}

async function pages(service: RealService, workspace: string, path: string): Promise<Recorded[]> {
  const events: Recorded[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Page = await service.json(`${path}&limit=1000${cursor === '' ? '' : `&cursor=${cursor}`}`, {
      workspace,
    });
    events.push(...page.events);
    cursor = page.next_cursor;
  }
  return events;
}

async function ingest(service: RealService, name: HistoryName, workspace: string = name): Promise<IngestResult> {
  const path = `/journal/ingest?format=ndjson&name=${name}.ndjson.gz`;
  return service.json(path, { method: 'POST', body: await openAsBlob(historyFile(name)), workspace });
}

/** The busiest entities and some of the others, those with unusual names among them. */
function sampleOf(input: readonly Said[]): string[] {
  const ids = [...countsOf(input.map((event) => event.entity_id))].sort(([, a], [, b]) => b - a).map(([id]) => id);
  const step = Math.floor(ids.length / 12);
  const unusual = ids.filter((id) => /[^\x21-\x7e]|["%?#+&]/.test(id)).slice(0, 5);
  return [...new Set([...ids.slice(0, 5), ...ids.filter((_, index) => index % step === 0), ...unusual])];
}

/** The journal is the input and the event of its ingest, in order, nothing twice, and it verifies. */
async function expectExport(service: RealService, name: HistoryName): Promise<void> {
  const input = readHistory(name);
  const journal = await exported(service, name);
  expect(journal.map((event) => event.seq)).toEqual(journal.map((_, index) => index));
  expectSame(journal.slice(0, input.length).map(said), input);
  expect(journal.slice(input.length)).toMatchObject([{ action: 'ingest', entity_type: 'ingest' }]);
  expect(await service.json('/journal/stats', { workspace: name })).toMatchObject({ total_events: journal.length });
  const verified = await service.json('/journal/verify', { workspace: name });
  expect(verified).toMatchObject({ valid: true, events: journal.length, head_hash: journal.at(-1)?.event_hash });
}

/** The same, and by every other way of asking too. */
async function expectInput(service: RealService, name: HistoryName): Promise<void> {
  await expectExport(service, name);
  const input = readHistory(name);
  const newest = await pages(service, name, '/journal/recent?type=file');
  expectSame(newest.reverse().map(said), input);
  for (const id of sampleOf(input)) {
    const history = await pages(service, name, `/journal/entity/${encodeURIComponent(id)}?type=file`);
    expectSame(
      history.map(said),
      input.filter((event) => event.entity_id === id),
    );
  }
}

testWithHistories(
  'the journal is its input: buffered, sealed, restarted, killed, and sent again',
  async () => {
    const service = await start();
    for (const name of HISTORIES) {
      expect(await ingest(service, name)).toMatchObject({
        rows: EVENTS_OF[name],
        count: EVENTS_OF[name],
        duplicates: 0,
      });
      expect(await service.json('/journal/stats', { workspace: name })).toMatchObject({ persisted_files: 0 });
    }
    await Promise.all(HISTORIES.map((name) => expectInput(service, name)));
    for (const name of HISTORIES) {
      await service.json('/journal/flush', { method: 'POST', workspace: name });
      const stats = await service.json('/journal/stats', { workspace: name });
      expect(stats).toMatchObject({ buffered_events: 0, persisted_files: 1 });
    }
    await Promise.all(HISTORIES.map((name) => expectInput(service, name)));
    expect(await service.end('SIGTERM')).toBe(0);
    await service.startAgain();
    await Promise.all(HISTORIES.map((name) => expectExport(service, name)));
    await service.end('SIGKILL');
    await service.startAgain();
    for (const name of HISTORIES) {
      expect(await ingest(service, name)).toMatchObject({
        rows: EVENTS_OF[name],
        count: 0,
        duplicates: EVENTS_OF[name],
      });
    }
    await Promise.all(HISTORIES.map((name) => expectExport(service, name)));
  },
  TIMEOUT_MS,
);

testWithHistories(
  'killed at ten random moments of an ingest, and sent again each time, it is still its input',
  async () => {
    const seed = Number(process.env.INDELIBLE_TEST_SEED ?? 2026);
    const random = seeded(seed);
    // Small files: sealing goes on all the while, and is killed too.
    const service = await start(['--flush-events', '3000']);
    const reached: number[] = [];
    for (let kill = 0; kill < 10; kill++) {
      let failure: unknown;
      const ingested = ingestAll(service).catch((error: unknown) => {
        failure = error;
      });
      // Some way into what is left, whatever the machine's speed.
      while ((await recordedEvents(service)) < (kill * TOTAL) / 10 && failure === undefined) await sleep(10);
      if (failure !== undefined) throw failure;
      await sleep(random() * 400);
      await service.end('SIGKILL');
      await ingested;
      await service.startAgain();
      reached.push(await recordedEvents(service));
    }
    console.log(`INDELIBLE_TEST_SEED=${seed}: events recorded after each kill: ${reached.join(', ')}`);
    expect(reached).toEqual([...reached].sort((a, b) => a - b));
    expect(reached.filter((events) => events > 0 && events < TOTAL).length).toBeGreaterThan(3);
    await ingestAll(service);
    for (const name of HISTORIES) await expectInput(service, name);
    await service.json('/journal/flush', { method: 'POST', workspace: 'hono' });
    for (const name of HISTORIES) await expectExport(service, name);
  },
  TIMEOUT_MS,
);

/** One after the other. @throws where one breaks off */
async function ingestAll(service: RealService): Promise<void> {
  for (const name of HISTORIES) {
    const { rows, count, duplicates } = await ingest(service, name);
    expect({ rows, sum: count + duplicates }).toEqual({ rows: EVENTS_OF[name], sum: EVENTS_OF[name] });
  }
}

async function recordedEvents(service: RealService): Promise<number> {
  let sum = 0;
  for (const workspace of HISTORIES) {
    const answer = await service.call('/journal/stats', { workspace });
    if (answer.ok) sum += ((await answer.json()) as { total_events: number }).total_events;
  }
  return sum;
}

testWithHistories(
  'one file as NDJSON, gzip, CSV and Parquet gives one journal',
  async () => {
    const service = await start();
    const input = readHistory('hono');
    const files = await variants(service.dir);
    for (const [workspace, { path, format }] of Object.entries(files)) {
      const body = await openAsBlob(path);
      const result = await service.json(`/journal/ingest?format=${format}`, { method: 'POST', body, workspace });
      expect(result).toMatchObject({ rows: input.length, count: input.length, duplicates: 0 });
      const journal = await exported(service, workspace);
      expectSame(journal.slice(0, -1).map(said), input);
    }
  },
  TIMEOUT_MS,
);

/** The file of hono without its workspace, so that it can go to any, in every form that is taken in. */
async function variants(dir: string): Promise<Record<string, { path: string; format: string }>> {
  const plain = join(dir, 'changes.ndjson');
  const lines = historyLines('hono').map((line) => line.replace('"workspace_id":"hono",', ''));
  await writeFile(plain, `${lines.join('\n')}\n`);
  await writeFile(`${plain}.gz`, gzipSync(`${lines.join('\n')}\n`));
  const instance = await DuckDBInstance.create();
  const connection = await instance.connect();
  const texts = ['event_id', 'entity_type', 'entity_id', 'actor', 'source', 'correlation_id', 'field', 'action'];
  const columns = [...texts, 'old_value', 'new_value', 'timestamp'].map((name) => `${name}: 'VARCHAR'`).join(', ');
  const all = `SELECT * REPLACE (timestamp::TIMESTAMPTZ AS timestamp) FROM read_json('${plain}', columns={${columns}})`;
  await connection.run(`SET TimeZone = 'UTC'`);
  await connection.run(`COPY (${all}) TO '${join(dir, 'changes.csv')}' (FORMAT csv, HEADER true)`);
  await connection.run(`COPY (${all}) TO '${join(dir, 'changes.parquet')}' (FORMAT parquet)`);
  connection.closeSync();
  instance.closeSync();
  return {
    plain: { path: plain, format: 'ndjson' },
    gzip: { path: `${plain}.gz`, format: 'ndjson' },
    csv: { path: join(dir, 'changes.csv'), format: 'csv' },
    parquet: { path: join(dir, 'changes.parquet'), format: 'parquet' },
  };
}
