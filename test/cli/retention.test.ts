import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from './run.ts';
import { type RunningService, startService } from './service.ts';
import { removeDir } from '../support/remove-dir.ts';

let dir: string;
let service: RunningService;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'indelible-retention-'));
  service = await startService({ data: join(dir, 'data') });
});
afterAll(async () => {
  service.signal('SIGTERM');
  await service.ended;
  await removeDir(dir);
});

function cli(args: string[]) {
  const env = { INDELIBLE_URL: service.url, INDELIBLE_KEY: service.key ?? '' };
  return run([...args, '--workspace', 'acme'], { cwd: dir, env });
}

test('events are removed by order, unless a hold stands, and the rest verifies with and without the service', async () => {
  // With the event of the ingest, and later the one of the order, there are 22.
  const lines = Array.from({ length: 20 }, (_, i) =>
    JSON.stringify({ event_id: `e${i}`, entity_type: 'file', entity_id: 'a', action: 'update', actor: 'ann' }),
  );
  await writeFile(join(dir, 'events.ndjson'), `${lines.join('\n')}\n`);
  expect(await cli(['ingest', 'events.ndjson'])).toMatchObject({ code: 0 });
  const order = ['retention', '--before', '8', '--reason', 'ten years are over'];
  const dry = await cli([...order, '--dry-run']);
  expect(dry.stdout).toMatch(/^would remove 8 events: the journal begins at seq 8\nbefore: [0-9a-f]{64}\n/);

  expect((await cli(['hold', 'add', 'case-7', '--reason', 'court order'])).stdout).toContain('case-7 holds acme since');
  const refused = await cli(order);
  expect(refused).toMatchObject({ code: 1, stdout: '' });
  expect(refused.stderr).toContain("the hold 'case-7' stands");
  expect((await cli(['hold', 'list'])).stdout).toMatch(/case-7 .* court order\n$/);
  expect((await cli(['hold', 'remove', 'case-7', '--json'])).stdout).toContain('"name":"case-7"');

  const removed = await cli([...order, '--json']);
  expect(JSON.parse(removed.stdout)).toMatchObject({ first_seq: 8, removed: 8 });
  expect((await cli(order)).stdout).toBe('nothing to remove: the journal begins at seq 8\n');
  expect((await cli(['verify'])).stdout).toContain('valid: 14 events from seq 8 on');
  const store = join(dir, 'data', 'store');
  expect((await cli(['verify', '--store', store])).stdout).toContain('valid: 14 events from seq 8 on');
  const exported = await cli(['export', '--format', 'ndjson', '--store', store]);
  expect(
    exported.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).seq),
  ).toEqual(Array.from({ length: 14 }, (_, i) => 8 + i));
});
