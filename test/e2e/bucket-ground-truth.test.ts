/**
 * The real histories on a real S3 server: it is killed in the middle of their ingest and comes back, the journals are
 * compacted, the service goes on from an empty cache; the answers stay the same, byte for byte.
 */
import { createHash } from 'node:crypto';
import { openAsBlob } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { hasS3Server } from '../../scripts/s3-server.mjs';
import { RealService } from '../support/real-service.ts';
import { S3Server } from '../support/s3-server.ts';
import {
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

const TIMEOUT_MS = 180_000;

let server: S3Server | undefined;
let service: RealService | undefined;
afterEach(async () => {
  await service?.remove();
  await server?.remove();
});

const SETTINGS = { INDELIBLE_FLUSH_EVENTS: '5000', INDELIBLE_FLUSH_AGE_MS: '200', INDELIBLE_COMPACTION: 'off' };
/** Enough segments for a merge. */
const PARTS = 9;
const [FIRST] = HISTORIES as [HistoryName];

async function textOf(running: RealService, path: string, workspace: string): Promise<string> {
  const answer = await running.call(path, { workspace });
  expect(answer.status).toBe(200);
  return answer.text();
}

/** Everything a reader can ask of a workspace, as one hash for each question. */
async function answersOf(running: RealService, workspace: string): Promise<Record<string, string>> {
  const input = readHistory(workspace as HistoryName);
  const entities = [...new Set(input.map((event) => event.entity_id))].filter((_, index) => index % 499 === 0);
  const paths = [
    ...['csv', 'ndjson'].map((format) => `/journal/export?format=${format}`),
    '/journal/recent?limit=1000',
    ...entities.map((id) => `/journal/entity/${encodeURIComponent(id)}?limit=1000`),
    ...entities.map((id) => `/journal/entity/${encodeURIComponent(id)}/state?type=file`),
  ];
  const answers: Record<string, string> = {};
  for (const path of paths) {
    answers[path] = createHash('sha256')
      .update(await textOf(running, path, workspace))
      .digest('hex');
  }
  return answers;
}

async function allAnswers(running: RealService): Promise<Record<string, string>[]> {
  return Promise.all(HISTORIES.map((workspace) => answersOf(running, workspace)));
}

async function expectInput(running: RealService): Promise<void> {
  for (const workspace of HISTORIES) {
    const lines = (await textOf(running, '/journal/export?format=ndjson', workspace)).split('\n').filter(Boolean);
    const journal = lines.map((line) => JSON.parse(line) as Said & { action: string });
    const input = readHistory(workspace);
    expectSame(journal.slice(0, input.length).map(said), input);
    // An ingest that was cut off and sent again leaves its own event, and no other twice.
    expect(journal.slice(input.length).every((event) => event.action === 'ingest')).toBe(true);
    expect(await running.json('/journal/verify', { workspace })).toMatchObject({ valid: true, events: journal.length });
  }
}

testWithHistories(
  'the real histories in a bucket: its server killed in the middle, compaction, an empty cache',
  async ({ skip }) => {
    if (!hasS3Server()) skip('the S3 server could not be built here; on a build machine that fails');
    server = await S3Server.start();
    const store = `s3://${await server.makeBucket()}/journals`;
    const endpoint = { INDELIBLE_S3_ENDPOINT: server.endpoint };
    service = await RealService.start({ env: { ...SETTINGS, ...endpoint, INDELIBLE_STORE: store } });

    const ingest = async (running: RealService, name: HistoryName) =>
      running.json<{ count: number; duplicates: number }>(`/journal/ingest?format=ndjson&name=${name}.ndjson.gz`, {
        method: 'POST',
        body: await openAsBlob(historyFile(name)),
        workspace: name,
      });
    await sendInParts(service, FIRST);
    const ingesting = HISTORIES.map((name) => ingest(service as RealService, name));
    await untilSomethingIsSealed(service, HISTORIES.at(-1) as HistoryName);
    await server.kill();
    await Promise.all(ingesting);
    await expectInput(service);
    await server.startAgain();
    for (const name of HISTORIES) {
      expect(await ingest(service, name)).toMatchObject({ count: 0, duplicates: EVENTS_OF[name] });
      await service.json('/journal/flush', { method: 'POST', workspace: name });
    }
    await expectInput(service);

    const before = await allAnswers(service);
    const merged = await Promise.all(
      HISTORIES.map((workspace) =>
        (service as RealService).json<{ merges: number }>('/journal/compact', { method: 'POST', workspace }),
      ),
    );
    expect(merged.some(({ merges }) => merges > 0)).toBe(true);
    expect(await allAnswers(service)).toEqual(before);

    await service.end('SIGKILL');
    await rm(join(service.dataDir, 'cache'), { recursive: true, force: true });
    await service.startAgain();
    expect(await allAnswers(service)).toEqual(before);
    await expectInput(service);
  },
  TIMEOUT_MS,
);

/** A segment each. */
async function sendInParts(running: RealService, workspace: HistoryName): Promise<void> {
  const lines = historyLines(workspace);
  const size = Math.ceil(lines.length / PARTS);
  for (let at = 0; at < lines.length; at += size) {
    const body = lines.slice(at, at + size).join('\n');
    const headers = { 'Content-Type': 'application/x-ndjson' };
    await running.json('/journal/events?receipts=summary', { method: 'POST', body, headers, workspace });
    await running.json('/journal/flush', { method: 'POST', workspace });
  }
}

async function untilSomethingIsSealed(running: RealService, workspace: string): Promise<void> {
  for (let files = 0; files === 0; ) {
    const answer = await running.call('/journal/stats', { workspace });
    files = answer.ok ? ((await answer.json()) as { persisted_files: number }).persisted_files : 0;
  }
}
