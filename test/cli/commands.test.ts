import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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

function cli(args: string[], more: { env?: Record<string, string>; input?: string } = {}): Promise<Run> {
  const env = { INDELIBLE_URL: service.url, INDELIBLE_KEY: 'k', ...more.env };
  return run(args, { cwd, ...more, env });
}

const EVENT = { seq: 3, occurred_at: '2026-01-01T00:00:00.000000Z', actor: 'ann', action: 'update', field: 'a' };

test.each([
  'serve',
  'ingest',
  'history',
  'recent',
  'sql',
  'export',
  'verify',
  'flush',
  'compact',
  'stats',
  'retention',
  'hold add',
  'hold list',
  'hold remove',
  'keys create',
  'keys list',
  'keys revoke',
  'workspaces create',
  'workspaces list',
  'simulate',
  'rebuild',
  'ai-key set',
  'ai-key show',
  'ai-key remove',
  'streams',
  'replay',
  'dead-letters list',
  'dead-letters show',
  'dead-letters replay',
  'dead-letters discard',
])('`%s --help` has an example and the exit codes', async (command) => {
  const { code, stdout } = await run([...command.split(' '), '--help'], { cwd });
  expect(code).toBe(0);
  expect(stdout).toMatch(/Examples?:\n {2}\$ indelible/);
  expect(stdout).toContain('Exit codes: 0 ok');
});

test.each([
  [['histori'], "unknown command 'histori'"],
  [['history'], "missing required argument 'entity-id'"],
  [['history', 'x', '--limit', '0'], 'from 1 to 1000'],
  [['history', 'x', '--order', 'up'], 'asc, desc'],
  [['recent', '--nope'], "unknown option '--nope'"],
  [['recent', '--url', 'ftp://x'], '--url must be an http or https address'],
  [['keys', 'create'], '--role'],
  [['retention', '--before', '5'], '--reason'],
  [['retention', '--before', 'soon', '--reason', 'x'], 'a time like'],
  [['hold', 'add', 'x'], '--reason'],
  [['sql'], 'stdin is empty'],
  [['simulate', '--limit', '0'], 'from 1 to 100000000'],
  [['simulate', '--limit', '1', '--file', 'x', '--seed', '1'], 'does not go with --file'],
  [['ai-key', 'set', '--workspace', 'x'], 'stdin is empty'],
  [['ai-key', 'show'], 'name the workspace'],
  [['replay', '--from', '0'], '--group'],
  [['replay', '--group', 'copy'], '--from'],
  [['dead-letters', 'replay'], 'name a dead letter, or --all'],
  [['dead-letters', 'replay', '1-0', '--all'], 'name a dead letter, or --all'],
  [['dead-letters', 'discard', '1-0'], '--reason'],
  [['export', '--profile', 'spreadsheet', '--format', 'ndjson'], '--profile is for csv only'],
  [['serve', '--port', 'x'], '--port must be a whole number'],
])('%j is wrong usage: exit code 2, one clear line', async (args, message) => {
  const { code, stdout, stderr } = await cli(args);
  expect(code).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toContain(`indelible: `);
  expect(stderr).toContain(message);
});

test.each([
  [{ INDELIBLE_PRT: '1' }, 'INDELIBLE_PRT is not a setting'],
  [{ INDELIBLE_URL: 'nonsense' }, 'INDELIBLE_URL must be'],
])('the environment %j is wrong configuration: 2', async (env, message) => {
  const { code, stderr } = await cli(['recent'], { env: env as Record<string, string> });
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(message) });
});

test('the repo file says where the service is', async () => {
  const gone = await ScriptedService.start();
  await gone.close();
  await writeFile(join(cwd, 'indelible.config.json'), JSON.stringify({ port: Number(new URL(gone.url).port) }));
  const { code, stderr } = await run(['recent'], { cwd });
  expect(code).toBe(4);
  expect(stderr).toBe(`indelible: cannot reach ${gone.url}: is it running? (npm start)\n`);
});

test.each([
  [401, 5],
  [403, 5],
  [404, 1],
  [400, 1],
  [500, 1],
])('a %i of the service is exit code %i', async (status, expected) => {
  service.faults.push({ kind: 'status', status });
  const { code, stderr } = await cli(['recent']);
  expect(code).toBe(expected);
  expect(stderr).toMatch(/^indelible: scripted fault.*\n$/);
});

test('every fault that the service names is told, each once', async () => {
  const errors = [
    { pointer: '/0/actor', message: 'is missing' },
    { pointer: '/0/action', message: 'is missing' },
  ];
  service.faults.push({ kind: 'status', status: 400, body: { detail: '/0/actor: is missing', errors } });
  expect((await cli(['recent'])).stderr).toBe('indelible: /0/actor: is missing; /0/action is missing\n');
});

test("an operator's forgotten workspace is wrong usage", async () => {
  const errors = [{ pointer: '/workspace', message: 'is missing' }];
  service.faults.push({ kind: 'status', status: 400, body: { detail: '/workspace: is missing', errors } });
  expect(await cli(['recent'])).toMatchObject({ code: 2, stderr: 'indelible: name the workspace: --workspace NAME\n' });
});

test('a journal with another owner is exit code 3', async () => {
  service.faults.push({
    kind: 'status',
    status: 503,
    body: { type: 'urn:indelible:problem:fenced', detail: 'fenced' },
  });
  expect(await cli(['flush'])).toMatchObject({ code: 3 });
});

test('--json passes the answer on with its numbers as they are', async () => {
  const text = '{"events":[{"seq":3,"new_value":12345678901234567890}],"next_cursor":null,"complete_through":3}';
  service.routes.set('GET /journal/entity/a%2Fb', (_request, response) => response.end(text));
  const { stdout } = await cli(['history', 'a/b', '--json', '-w', 'acme']);
  expect(stdout).toBe(`${text}\n`);
  expect(service.requests[0]?.headers).toMatchObject({ 'x-workspace': 'acme', authorization: 'Bearer k' });
});

test('history is a table, values as JSON, with the way to go on', async () => {
  service.routes.set('GET /journal/entity/x', (_request, response) => {
    sendJson(response, 200, {
      events: [{ ...EVENT, old_value: '1', new_value: 1 }],
      next_cursor: 'c',
      complete_through: 3,
    });
  });
  const { stdout, stderr } = await cli(['history', 'x']);
  expect(stdout.split('\n')).toEqual([
    'seq  occurred_at                  actor  action  field  old_value  new_value',
    '  3  2026-01-01T00:00:00.000000Z  ann    update  a      "1"        1',
    '',
  ]);
  expect(stderr).toBe('there are more: --cursor c\n');
});

test('history --all --json gives one event a line, from every page', async () => {
  service.routes.set('GET /journal/entity/x', (request, response) => {
    const isSecond = request.url?.includes('cursor=c');
    sendJson(response, 200, { events: [{ seq: isSecond ? 1 : 0 }], next_cursor: isSecond ? null : 'c' });
  });
  expect((await cli(['history', 'x', '--all', '--json'])).stdout).toBe('{"seq":0}\n{"seq":1}\n');
});

test('sql reads the statement from stdin and prints a table with its count', async () => {
  service.routes.set('POST /journal/query', (_request, response) => {
    const columns = [
      { name: 'n', type: 'BIGINT' },
      { name: 'v', type: 'VARCHAR' },
    ];
    sendJson(response, 200, {
      columns,
      rows: [
        [10, 'a\u001b'],
        [5, null],
      ],
      row_count: 2,
      truncated: true,
    });
  });
  const { stdout, stderr } = await cli(['sql', '--param', '7', '--param', 'x'], { input: 'SELECT 1' });
  expect(stdout).toBe(' n  v\n10  a\\u001b\n 5\n');
  expect(stderr).toBe('2 rows; the row limit cut the rest: narrow the question, or export\n');
  expect(JSON.parse(service.requests[0]?.body ?? '')).toEqual({ sql: 'SELECT 1', params: [7, 'x'] });
});

test('sql as csv fails where the row limit cut it: nobody could tell from the rows', async () => {
  service.routes.set('POST /journal/query', (_request, response) => {
    response.writeHead(200, { 'x-row-count': '1', 'x-truncated': 'true' });
    response.end('n\r\n1\r\n');
  });
  const { code, stdout, stderr } = await cli(['sql', '--format', 'csv', 'SELECT 1']);
  expect({ code, stdout }).toEqual({ code: 1, stdout: 'n\r\n1\r\n' });
  expect(stderr).toContain('the row limit cut the answer');
});

test.each([
  [true, 0],
  [false, 1],
])('verify: valid %s is exit code %i', async (valid, expected) => {
  service.routes.set('GET /journal/verify', (_request, response) => {
    sendJson(response, 200, {
      valid,
      events: 9,
      head_hash: 'ab',
      ...(valid ? {} : { first_bad: { seq: 7, reason: 'why' } }),
    });
  });
  const { code, stdout } = await cli(['verify']);
  expect(code).toBe(expected);
  expect(stdout).toBe(valid ? 'valid: 9 events\nhead:  ab\n' : 'NOT VALID at seq 7: why (9 events)\n');
});

test('export --out is there only when it is whole', async () => {
  let isWhole = false;
  service.routes.set('GET /journal/export', (request, response) => {
    response.writeHead(200);
    response.write('seq\r\n', () => (isWhole ? response.end('0\r\n') : request.socket.destroy()));
  });
  const broken = await cli(['export', '--out', 'e.csv']);
  expect(broken).toMatchObject({ code: 1, stderr: expect.stringContaining('not the whole') });
  expect(await readdir(cwd)).toEqual([]);
  isWhole = true;
  expect(await cli(['export', '--out', 'e.csv', '--entity', 'a/b'])).toMatchObject({ code: 0 });
  expect(await readdir(cwd)).toEqual(['e.csv']);
  expect(await readFile(join(cwd, 'e.csv'), 'utf8')).toBe('seq\r\n0\r\n');
  expect(service.requests.at(-1)?.url).toBe('/journal/export?entity_id=a%2Fb&format=csv');
});

test('export to stdout fails where the answer breaks off', async () => {
  service.routes.set('GET /journal/export', (request, response) => {
    response.writeHead(200);
    response.write('seq\r\n', () => request.socket.destroy());
  });
  expect(await cli(['export'])).toMatchObject({ code: 1, stdout: 'seq\r\n' });
});

test('a reader that has enough is no error', async () => {
  service.routes.set('GET /journal/export', (_request, response) => {
    response.on('error', () => {});
    response.end('0\r\n'.repeat(5_000_000));
  });
  const env = { INDELIBLE_URL: service.url };
  const { code, stderr } = await run(['export'], { cwd, env, onStdout: (_text, stop) => stop() });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

test('ingest sends the file as it is and tells the result', async () => {
  await writeFile(join(cwd, 'rows.csv.gz'), 'pretend');
  service.routes.set('POST /journal/ingest', (_request, response) => {
    response.write('{"progress":{"rows":1,"bytes":3,"bytes_total":7}}\n');
    response.end('{"result":{"rows":2,"count":1500,"duplicates":1,"first_seq":0,"last_seq":1499}}\n');
  });
  const args = ['ingest', 'rows.csv.gz', '--entity-type', 'customer', '--id-column', 'id'];
  const { code, stdout } = await cli(args);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^2 rows: 1,500 recorded \(seq 0 to 1,499\), 1 were there already in .* s\n$/);
  expect(service.requests[0]).toMatchObject({
    url: '/journal/ingest?format=csv&name=rows.csv.gz&entity_type=customer&id_column=id',
    body: 'pretend',
    headers: { 'content-length': '7', 'content-type': 'text/csv' },
  });
});

test('ingest tells how far it came before a bad row', async () => {
  await writeFile(join(cwd, 'rows.ndjson'), '{}\n');
  const problem = { status: 400, detail: '/7/actor: is missing', progress: { events: 6, lines: 7 } };
  service.routes.set('POST /journal/ingest', (_request, response) => response.end(JSON.stringify({ problem })));
  const { code, stderr } = await cli(['ingest', 'rows.ndjson']);
  expect(code).toBe(1);
  expect(stderr).toBe('indelible: /7/actor: is missing (7 rows were done before; correct the file and run it again)\n');
});

test('a made key stands alone on stdout', async () => {
  service.routes.set('POST /keys', (_request, response) => sendJson(response, 201, { id: 'i', key: 'ind_secret' }));
  const { stdout } = await cli(['keys', 'create', '--role', 'reader', '--name', 'n', '-w', 'acme']);
  expect(stdout).toBe('ind_secret\n');
  expect(JSON.parse(service.requests[0]?.body ?? '')).toEqual({ role: 'reader', name: 'n', workspace: 'acme' });
});
