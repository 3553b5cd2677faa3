import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { IndelibleClient } from '../../src/client/index.ts';
import { type Run, run } from './run.ts';
import { type RunningService, startService } from './service.ts';
import { removeDir } from '../support/remove-dir.ts';

let dir: string;
let service: RunningService;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'indelible-store-'));
  // Whoever compacts here is asked to.
  service = await startService({ data: join(dir, 'data'), env: { INDELIBLE_COMPACTION: 'off' } });
  const client = clientOf('acme');
  const events = Array.from({ length: 250 }, (_, i) => ({
    event_id: `e${i}`,
    occurred_at: `2026-01-01T00:00:${String(i % 60).padStart(2, '0')}Z`,
    entity_type: 'doc',
    entity_id: `d/${i % 2}`,
    action: 'touch',
    new_value: { i, text: 'a,"b"\n=1' },
    actor: 'ann',
  }));
  await client.append(events);
  await clientOf('other').append(events.slice(0, 3));
  await client.seal();
  // Not sealed: the service has it, the store has not.
  await client.append([{ entity_type: 'doc', entity_id: 'd/0', action: 'late', actor: 'ann' }]);
});
afterAll(async () => {
  service.signal('SIGKILL');
  await service.ended;
  // Workers of a killed service may be writing their last.
  await removeDir(dir);
});

function clientOf(workspace: string): IndelibleClient {
  return new IndelibleClient({ url: service.url, key: service.key, workspace });
}

const overHttp = (args: string[], workspace = 'acme'): Promise<Run> =>
  run([...args, '-w', workspace], { cwd: dir, env: { INDELIBLE_URL: service.url, INDELIBLE_KEY: service.key ?? '' } });
const overStore = (args: string[], workspace = 'acme'): Promise<Run> =>
  run([...args, '--store', join(dir, 'data', 'store'), '-w', workspace], { cwd: dir });

test.each([
  [['history', 'd/1', '--json', '--all']],
  [['history', 'd/1', '--all']],
  [['history', 'd/1', '--limit', '7', '--order', 'desc', '--from', '2026-01-01T00:00:30Z']],
  [['sql', '--json', 'SELECT count(*) AS n, min(seq) AS first FROM journal WHERE action = ?', '--param', 'touch']],
  [['sql', 'SELECT entity_id, count(*) AS n FROM journal WHERE seq < 250 GROUP BY ALL ORDER BY ALL']],
  [['sql', '--format', 'csv', "SELECT seq, new_value FROM journal WHERE action = 'touch' ORDER BY seq"]],
  [['sql', '--format', 'ndjson', 'SELECT seq FROM journal WHERE seq < 9 ORDER BY seq']],
  [['export', '--action', 'touch']],
  [['export', '--action', 'touch', '--format', 'ndjson', '--to', '2026-01-01T00:00:10Z']],
  [['export', '--action', 'touch', '--profile', 'spreadsheet', '--entity', 'd/0']],
])('%j says the same with and without a service', async (args) => {
  const [http, store] = await Promise.all([overHttp(args), overStore(args)]);
  expect(http.code, http.stderr).toBe(0);
  expect(store.code, store.stderr).toBe(0);
  const comparable = (text: string) => text.replace(/"snapshot":\{.*?\}/, '');
  expect(comparable(store.stdout)).toBe(comparable(http.stdout));
  expect(store.stdout.length).toBeGreaterThan(20);
});

test('verify counts what each of them has, and finds a changed byte', async () => {
  expect(JSON.parse((await overHttp(['verify', '--json'])).stdout)).toMatchObject({ valid: true, events: 251 });
  expect(JSON.parse((await overStore(['verify', '--json'])).stdout)).toMatchObject({ valid: true, events: 250 });
  expect((await overStore(['verify'], 'other')).stdout).toMatch(/^valid: 3 events\nhead: {2}[0-9a-f]{64}\n$/);
});

test('compaction by the service and beside it: the same events, and a service that reads on', async () => {
  for (let i = 0; i < 8; i++) {
    await clientOf('packed').append([
      { event_id: `p${i}`, entity_type: 'doc', entity_id: `d${i}`, action: 'touch', actor: 'ann' },
    ]);
    await clientOf('packed').seal();
  }
  const exported = () => overHttp(['export'], 'packed');
  const before = (await exported()).stdout;
  expect(before.split('\r\n')).toHaveLength(10);
  const direct = await overStore(['compact'], 'packed');
  expect(direct).toMatchObject({ code: 0 });
  expect(direct.stdout).toMatch(/^8 events rewritten: 8 files, .* → 1 files, /);
  expect(direct.stderr).toMatch(/^merged 8 events: 8 files → 1, /);
  const again = await overStore(['compact', '--json'], 'packed');
  expect(JSON.parse(again.stdout)).toMatchObject({ merges: 0, files_after: 1, deleted_files: 0 });
  expect((await exported()).stdout).toBe(before);
  const byService = await overHttp(['compact', '--json'], 'packed');
  expect(JSON.parse(byService.stdout)).toMatchObject({ merges: 0, files_before: 1, files_after: 1 });
  const stats = await clientOf('packed').stats();
  expect(stats).toMatchObject({ persisted_files: 1, mergeable_files: 0, total_events: 8 });
  expect((await exported()).stdout).toBe(before);
  const { key } = await clientOf('packed').keys.create({ workspace: 'packed', role: 'writer', name: 'w' });
  const refused = await run(['compact'], { cwd: dir, env: { INDELIBLE_URL: service.url, INDELIBLE_KEY: key } });
  expect(refused.code).toBe(5);
  expect((await overStore(['compact'], 'nowhere')).code).toBe(1);
});

test('a changed segment is not valid, or not readable: never fine', async () => {
  const store = join(dir, 'data', 'store');
  const files = (await readdir(store, { recursive: true })).filter(
    (name) => name.includes('other') && name.endsWith('.parquet'),
  );
  const path = join(store, files[0] ?? '');
  const bytes = await readFile(path);
  const middle = 4 + Math.floor((bytes.length - 12) / 4);
  bytes[middle] = (bytes[middle] ?? 0) ^ 0xff;
  await writeFile(path, bytes);
  const { code } = await overStore(['verify'], 'other');
  expect(code).toBe(1);
});

test('a workspace or a store that is not there is said so, and none is made', async () => {
  expect(await overStore(['verify'], 'nope')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("workspace 'nope'"),
  });
  const gone = await run(['verify', '--store', join(dir, 'gone')], { cwd: dir });
  expect(gone).toMatchObject({ code: 1, stderr: expect.stringContaining('is not a directory') });
  const unnamed = await run(['verify', '--store', join(dir, 'data', 'store')], { cwd: dir });
  expect(unnamed).toMatchObject({ code: 2, stderr: expect.stringContaining('--workspace: acme, other') });
  expect(await readdir(dir)).toEqual(['data']);
});

test('what SQL may not do it is told in one line', async () => {
  const { code, stderr } = await overStore(['sql', "COPY journal TO 'x.csv'"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^indelible: .*SELECT.*\n$/);
});

test('csv and parquet files are taken in over the command line, each once', async () => {
  const rows = ['id,name,born', ...Array.from({ length: 40 }, (_, i) => `${i},"n, ${i}",2000-01-01T00:00:00Z`)];
  await writeFile(join(dir, 'people.csv'), `${rows.join('\r\n')}\r\n`);
  const args = [
    'ingest',
    'people.csv',
    '--entity-type',
    'person',
    '--id-column',
    'id',
    '--timestamp-column',
    'born',
    '--json',
  ];
  expect(JSON.parse((await overHttp(args)).stdout)).toMatchObject({ rows: 40, count: 40 });
  expect(JSON.parse((await overHttp(args)).stdout)).toMatchObject({ rows: 40, count: 0, duplicates: 40 });
  const history = JSON.parse((await overHttp(['history', '7', '--json'])).stdout);
  expect(history.events).toMatchObject([
    {
      entity_type: 'person',
      action: 'insert',
      occurred_at: '2000-01-01T00:00:00.000000Z',
      new_value: { id: '7', name: 'n, 7' },
    },
  ]);
  const out = await overHttp(['export', '--type', 'person', '--out', 'people.parquet']);
  expect(out).toMatchObject({ code: 0, stdout: '' });
  const again = await overHttp(['ingest', 'people.parquet', '--json']);
  expect(JSON.parse(again.stdout)).toMatchObject({ rows: 40, count: 0, duplicates: 40 });
});
