import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ScriptedService, sendJson } from '../client/scripted-service.ts';
import { type Run, run } from './run.ts';

let service: ScriptedService;
let cwd: string;
beforeEach(async () => {
  service = await ScriptedService.start();
  cwd = await mkdtemp(join(tmpdir(), 'indelible-cli-'));
});
afterEach(async () => {
  await service.close();
  await rm(cwd, { recursive: true });
});

function cli(...args: string[]): Promise<Run> {
  return run(args, { cwd, env: { INDELIBLE_URL: service.url, INDELIBLE_KEY: 'k' } });
}

const POSITION = '3:1767322800000-4';
const parameter = (name: string) => service.requests.map(({ url }) => new URL(url, 'http://x').searchParams.get(name));

test('history, recent, sql and export wait for what --after names', async () => {
  const page = { events: [], next_cursor: null, complete_through: 4, columns: [], rows: [], truncated: false };
  for (const route of ['GET /journal/entity/x', 'GET /journal/recent', 'POST /journal/query', 'GET /journal/export'])
    service.routes.set(route, (_request, response) => sendJson(response, 200, page));
  const runs = [
    await cli('history', 'x', '--after', POSITION),
    await cli('recent', '--after', '17'),
    await cli('sql', '--after', POSITION, 'SELECT 1'),
    await cli('export', '--after', POSITION),
  ];
  expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  expect(parameter('after')).toEqual([POSITION, '17', POSITION, POSITION]);
});

test.each([
  ['history', 'x'],
  ['sql', 'SELECT 1'],
  ['export', '--json'],
])('%s: a store that is read directly is what it is', async (command, argument) => {
  const { code, stderr } = await cli(command, argument, '--store', '.', '--after', '17');
  expect(code).toBe(2);
  expect(stderr).toContain('--after is for a service');
});

test('what does not come in time is told as the service tells it', async () => {
  const problem = { status: 400, detail: '/after: must be a seq' };
  service.routes.set('GET /journal/recent', (_request, response) => sendJson(response, 400, problem));
  const { code, stderr } = await cli('recent', '--after', 'soon');
  expect(code).toBe(1);
  expect(stderr).toContain('/after: must be a seq');
});

test('ingest says what it waits for and how much it matters; else the service decides', async () => {
  await writeFile(join(cwd, 'rows.csv'), 'a\r\n1\r\n');
  service.routes.set('POST /journal/ingest', (_request, response) => {
    response.end('{"result":{"rows":1,"count":1,"duplicates":0,"first_seq":0,"last_seq":0}}\n');
  });
  expect((await cli('ingest', 'rows.csv')).code).toBe(0);
  expect((await cli('ingest', 'rows.csv', '--priority', 'normal', '--ack', 'committed')).code).toBe(0);
  expect((await cli('ingest', 'rows.csv', '--priority', 'low')).code).toBe(0);
  expect(service.requests.map(({ headers }) => headers.priority)).toEqual([undefined, 'u=3', 'u=5']);
  expect(parameter('ack')).toEqual([null, 'committed', null]);
  expect((await cli('ingest', 'rows.csv', '--priority', 'high')).code).toBe(2);
  expect((await cli('ingest', 'rows.csv', '--ack', 'queued')).code).toBe(2);
});
