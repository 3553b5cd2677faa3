import { execFile } from 'node:child_process';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'csv-parse/sync';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cleanEnv, type Run, run } from '../cli/run.ts';
import { type RunningService, startService } from '../cli/service.ts';
import {
  countsOf,
  EVENTS_OF,
  expectSame,
  HISTORIES,
  historyFile,
  readHistory,
  type Said,
  said,
  testWithHistories,
} from './histories.ts';
import { removeDir } from '../support/remove-dir.ts';

// What a new user does, in the order of the README: each step goes on where the one before ended.

let dir: string;
let service: RunningService;
let key: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'indelible-five-minutes-'));
  service = await startService({ data: join(dir, 'data') });
  key = service.key ?? '';
});
afterAll(async () => {
  service.signal('SIGKILL');
  await service.ended;
  await removeDir(dir);
});

function cli(...args: string[]): Promise<Run> {
  return run(args, { cwd: dir, env: { INDELIBLE_URL: service.url, INDELIBLE_KEY: key } });
}

async function shell(command: string): Promise<string> {
  return (await promisify(execFile)('sh', ['-c', command], { env: cleanEnv() })).stdout;
}

test('the first start prints a key, and a curl line that records an event as it stands', async () => {
  const printed = service.stderr();
  expect(key).toMatch(/^ind_/);
  const line = printed.split('\n').find((text) => text.startsWith('  curl '));
  const answer = JSON.parse(await shell(`${line} --silent --show-error --fail-with-body`));
  expect(answer).toMatchObject({ count: 1, duplicates: 0, first_seq: 0, receipts: [{ seq: 0, ack: 'durable' }] });
  expect(printed).toContain(`export INDELIBLE_KEY=${key}\n`);
  expect(service.stdout()).not.toContain(key);
});

test('a restart keeps the key and the event, and prints neither key nor curl line again', async () => {
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
  service = await startService({ data: join(dir, 'data') });
  expect(service.stderr()).toMatch(/^Indelible is listening on http:\/\/127\.0\.0\.1:\d+ .*\n$/);
  const { events } = JSON.parse((await cli('recent', '-w', 'demo', '--json')).stdout);
  expect(events).toMatchObject([{ seq: 0, workspace_id: 'demo' }]);
  expect(await keptSecrets()).toBe(false);
});

/** Whether the key's own text is anywhere in the data directory. */
async function keptSecrets(): Promise<boolean> {
  return (await shell(`grep -rlF '${key.slice(4)}' '${join(dir, 'data')}' || true`)) !== '';
}

test('one event more with curl, given as a file', async () => {
  const event = { entity_type: 'invoice', entity_id: 'inv/17', field: 'status', action: 'update', actor: 'ann' };
  const body = JSON.stringify({ ...event, old_value: 'draft', new_value: 'sent' });
  const headers = `-H 'Authorization: Bearer ${key}' -H 'Content-Type: application/json'`;
  const url = `${service.url}/journal/events?workspace=demo`;
  const answer = await shell(`printf %s '${body}' | curl -sS ${headers} --data-binary @- '${url}'`);
  expect(JSON.parse(answer)).toMatchObject({ count: 1, first_seq: 1, last_seq: 1 });
});

testWithHistories('indelible ingest takes the three histories, 58,333 events', async () => {
  let total = 0;
  for (const name of HISTORIES) {
    const { code, stdout, stderr } = await cli('ingest', historyFile(name), '--workspace', name);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const rows = EVENTS_OF[name].toLocaleString('en-US');
    const last = (EVENTS_OF[name] - 1).toLocaleString('en-US');
    expect(stdout).toMatch(
      new RegExp(`^${rows} rows: ${rows} recorded \\(seq 0 to ${last}\\), 0 were there already in .* s\n$`),
    );
    total += EVENTS_OF[name];
  }
  expect(total).toBe(58_333);
});

testWithHistories('the history of src/context.ts in hono is that of the file', async () => {
  const expected = readHistory('hono').filter((event) => event.entity_id === 'src/context.ts');
  const { stdout } = await cli('history', 'src/context.ts', '--workspace', 'hono', '--all', '--json');
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Said);
  expectSame(events.map(said), expected);
  const table = await cli('history', 'src/context.ts', '--workspace', 'hono', '--limit', '3');
  const lines = table.stdout.trimEnd().split('\n');
  expect(lines).toHaveLength(4);
  expect(lines[0]).toMatch(/^ *seq {2}occurred_at/);
  expect(lines[1]).toContain(expected[0]?.actor);
});

const BUSIEST = `SELECT entity_id, count(*) AS changes FROM journal WHERE entity_type = 'file'
  GROUP BY entity_id ORDER BY changes DESC, entity_id LIMIT 10`;

testWithHistories('the ten busiest files by SQL are the ten one counts in the file', async () => {
  const counts = [...countsOf(readHistory('hono').map((event) => event.entity_id))];
  const byCountThenName = ([a, n]: [string, number], [b, m]: [string, number]) => m - n || (a < b ? -1 : 1);
  const { stdout } = await cli('sql', '--workspace', 'hono', '--json', BUSIEST);
  expect(JSON.parse(stdout)).toMatchObject({
    rows: counts.sort(byCountThenName).slice(0, 10),
    row_count: 10,
    truncated: false,
  });
  const table = await cli('sql', '--workspace', 'hono', BUSIEST);
  expect(table).toMatchObject({ code: 0, stderr: '10 rows\n' });
  expect(table.stdout.split('\n')[0]).toMatch(/^entity_id +changes$/);
});

testWithHistories('the CSV of a journal, read by another reader, is the input row by row', async () => {
  for (const name of HISTORIES) {
    const out = join(dir, `${name}.csv`);
    expect(await cli('export', '--workspace', name, '--out', out)).toMatchObject({ code: 0, stdout: '' });
    const rows = parse(await readFile(out), { columns: true, record_delimiter: '\r\n' }) as Record<string, string>[];
    const files = rows.filter((row) => row.entity_type === 'file');
    expectSame(
      files.map((row) => said(row as unknown as Said)),
      readHistory(name),
    );
    expect(rows.map((row) => Number(row.seq))).toEqual(rows.map((_, index) => index));
    expect(rows.length - files.length).toBe(1);
    expect(rows.slice(1).map((row) => row.prev_hash)).toEqual(rows.slice(0, -1).map((row) => row.event_hash));
  }
});

testWithHistories('everything verifies, through the service and from the files alone', async () => {
  for (const name of HISTORIES) {
    const verified = await cli('verify', '--workspace', name);
    const events = (EVENTS_OF[name] + 1).toLocaleString('en-US');
    expect(verified).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(`^valid: ${events} events\nhead: {2}[0-9a-f]{64}\n$`),
    });
    expect(await cli('flush', '--workspace', name)).toMatchObject({ code: 0 });
    const alone = await cli('verify', '--workspace', name, '--store', join(dir, 'data', 'store'));
    expect(alone).toEqual(verified);
  }
});
