import { mkdtemp, readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { IndelibleClient, type Receipt } from '../../src/client/index.ts';
import { run } from './run.ts';
import { type RunningService, type ServiceOptions, startService } from './service.ts';
import { removeDir } from '../support/remove-dir.ts';

let dir: string;
let running: RunningService[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'indelible-serve-'));
  running = [];
});
afterEach(async () => {
  for (const service of running) service.signal('SIGKILL');
  await Promise.all(running.map((service) => service.ended));
  // Workers of a killed service may be writing their last.
  await removeDir(dir);
});

async function serve(options: Partial<ServiceOptions> = {}): Promise<RunningService> {
  const service = await startService({ data: join(dir, 'data'), ...options });
  running.push(service);
  return service;
}

function clientOf(service: { url: string }, key: string | undefined, workspace = 'acme'): IndelibleClient {
  return new IndelibleClient({
    url: service.url,
    key,
    workspace,
    retry: { firstDelayMs: 20, delayMsMax: 100, attemptsMax: 400 },
  });
}

const draft = (id: string) => ({ entity_type: 'doc', entity_id: id, action: 'touch', actor: 'ann' });

test('the first start prints a key and a curl line that works; the next prints neither', async () => {
  const first = await serve();
  const line = /^ {2}curl -X POST (\S+) -H '(.*?): (.*?)' -H '(.*?): (.*?)' -H '(.*?): (.*?)' -d '(.*)'$/m.exec(
    first.stderr(),
  );
  const [, url = '', ...parts] = line ?? [];
  const body = parts.pop() ?? '';
  const headers = { [`${parts[0]}`]: `${parts[1]}`, [`${parts[2]}`]: `${parts[3]}`, [`${parts[4]}`]: `${parts[5]}` };
  const answer = await fetch(url, { method: 'POST', headers, body });
  expect(answer.status).toBe(201);
  first.signal('SIGTERM');
  expect(await first.ended).toBe(0);
  const second = await serve();
  expect(second.key).toBeUndefined();
  expect(second.stderr()).not.toContain('curl');
  expect(await clientOf(second, first.key, 'demo').stats()).toMatchObject({ total_events: 1, buffered_events: 0 });
});

test('a relative data directory serves everything, its workers too', async () => {
  const service = await serve({ data: './data', cwd: dir });
  const client = clientOf(service, service.key);
  await client.append([draft('a'), draft('b')]);
  expect((await client.sql('SELECT count(*) AS n FROM journal')).rows).toEqual([[2]]);
  await client.seal();
  expect(await client.verify()).toMatchObject({ valid: true, events: 2 });
  expect(await readdir(dir)).toEqual(['data']);
});

test('a configured operator key is used, and none is made', async () => {
  const key = 'an-operator-key-of-my-own';
  const service = await serve({ env: { INDELIBLE_OPERATOR_KEY: key } });
  expect(service.key).toBeUndefined();
  expect((await clientOf(service, key).append([draft('a')])).count).toBe(1);
});

test('a second process on the same data directory is refused with exit code 3 and does no harm', async () => {
  const service = await serve();
  const second = await run(['serve', '--data', join(dir, 'data'), '--port', '0']);
  expect(second.code).toBe(3);
  expect(second.stderr).toMatch(/^indelible: the data directory .* is in use by process \d+.*\n$/);
  expect((await clientOf(service, service.key).append([draft('a')])).count).toBe(1);
});

test('so is a second data directory on the same store', async () => {
  const store = join(dir, 'store');
  await serve({ args: ['--store', store] });
  const second = await run(['serve', '--data', join(dir, 'other'), '--store', store, '--port', '0']);
  expect(second.code).toBe(3);
  expect(second.stderr).toContain('belongs to another data directory');
});

test('a port in use and a bad setting each stop the start with one line', async () => {
  const service = await serve();
  const port = new URL(service.url).port;
  const inUse = await run(['serve', '--data', join(dir, 'other'), '--port', port], {
    env: { INDELIBLE_LOG_LEVEL: 'error' },
  });
  expect(inUse).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^indelible: .* is in use: .*\n$/),
  });
  const bad = await run(['serve'], { cwd: join(dir, 'other'), env: { INDELIBLE_FLUSH_EVENTS: '0' } });
  expect(bad).toMatchObject({ code: 2, stderr: expect.stringContaining('INDELIBLE_FLUSH_EVENTS must be') });
  expect(await readdir(join(dir, 'other'))).not.toContain('data');
});

test('a stop ends the tails, seals what is buffered and leaves nothing to recover', async () => {
  const service = await serve();
  const client = clientOf(service, service.key);
  await client.append([draft('a'), draft('b')]);
  const tail = client.tail({ after: -1, signal: AbortSignal.timeout(20_000) });
  expect((await tail.next()).value?.seq).toBe(0);
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
  await tail.return(undefined);
  expect(await readdir(join(dir, 'data', 'wal'))).toEqual([]);
});

test('a second signal ends it at once, whatever is open', async () => {
  const service = await serve({ args: ['--shutdown-timeout-ms', '600000'] });
  const headers = {
    authorization: `Bearer ${service.key}`,
    'x-workspace': 'acme',
    'content-type': 'application/x-ndjson',
  };
  const open = request(`${service.url}/journal/ingest`, { method: 'POST', headers });
  open.on('error', () => {});
  open.write('{');
  await expect.poll(async () => (await fetch(`${service.url}/health`)).ok).toBe(true);
  service.signal('SIGTERM');
  await expect.poll(() => fetch(`${service.url}/health`).catch(() => 'closed')).toBe('closed');
  service.signal('SIGTERM');
  expect(await service.ended).toBe(1);
  open.destroy();
});

test('a service that is killed and comes back loses nothing that the client was told, and stores nothing twice', async () => {
  const service = await serve();
  const port = Number(new URL(service.url).port);
  const client = clientOf(service, service.key);
  const receipts: Promise<Receipt>[] = [];
  for (let round = 0; round < 3; round++) {
    const current = running.at(-1);
    for (let i = 0; i < 1500; i++) receipts.push(client.record(draft(`e${receipts.length}`)));
    await receipts[round * 1500 + 700];
    current?.signal('SIGKILL');
    await current?.ended;
    await serve({ port });
  }
  await client.close();
  const told = await Promise.all(receipts);
  const { events } = await allEvents(client);
  expect(events.map((event) => event.seq)).toEqual(told.map((_, seq) => seq));
  expect(new Map(events.map((event) => [event.event_id, event.seq]))).toEqual(
    new Map(told.map((receipt) => [receipt.event_id, receipt.seq])),
  );
  expect(events.map((event) => event.entity_id)).toEqual(told.map((_, i) => `e${i}`));
});

async function allEvents(
  client: IndelibleClient,
): Promise<{ events: { seq: number; event_id: string; entity_id: string }[] }> {
  const events = [];
  const { total_events } = await client.stats();
  for await (const { seq, event_id, entity_id } of client.tail({ after: -1 })) {
    events.push({ seq, event_id, entity_id });
    if (events.length === total_events) break;
  }
  return { events };
}
