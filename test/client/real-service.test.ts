import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { IndelibleClient } from '../../src/client/index.ts';
import { type RunningService, startService } from '../cli/service.ts';
import { removeDir } from '../support/remove-dir.ts';

let dir: string;
let service: RunningService;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'indelible-client-'));
  service = await startService({ data: dir });
});
afterAll(async () => {
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
  // Workers of a killed service may be writing their last.
  await removeDir(dir);
});

function clientOf(workspace: string, key = service.key): IndelibleClient {
  return new IndelibleClient({ url: service.url, key, workspace });
}

const context = { actor: 'ann', source: 'test' };
const doc = (id: string) => ({ type: 'doc', id });

test('what the record methods send reads back with the same values, as history and as state', async () => {
  const client = clientOf('values');
  const entity = doc('a/b c?#%é漢');
  const before = { text: 'x', number: 1.5, nothing: null, list: [1, { a: [] }], gone: true };
  const after = { text: 'x"\\\n\u001f😀', number: 1.5, nothing: false, list: [1, { a: [] }], fresh: {} };
  await client.recordInsert(entity, before, context);
  const receipts = await client.recordUpdate(entity, before, after, context);
  const { events, next_cursor } = await client.history(entity.id);
  expect(next_cursor).toBeNull();
  expect(events.slice(1).map((event) => event.event_id)).toEqual(receipts.map((receipt) => receipt.event_id));
  expect(events.map(({ field, old_value, new_value }) => ({ field, old_value, new_value }))).toEqual([
    { field: '*', old_value: undefined, new_value: before },
    { field: 'text', old_value: 'x', new_value: after.text },
    { field: 'nothing', old_value: null, new_value: false },
    { field: 'gone', old_value: true, new_value: undefined },
    { field: 'fresh', old_value: undefined, new_value: {} },
  ]);
  const state = await client.state(entity.id, { at: 0 });
  expect(Object.fromEntries(Object.entries(state.fields).map(([name, { value }]) => [name, value]))).toEqual(before);
  await client.recordDelete(entity, after, context);
  expect(await client.state(entity.id)).toMatchObject({ exists: false });
  expect(await client.event(receipts[0]?.event_id ?? '')).toMatchObject({ seq: 1, prev_hash: events[0]?.event_hash });
});

test('bad events and conflicting ids are refused one by one, their neighbours recorded', async () => {
  const client = clientOf('isolation');
  const good = (id: string) => ({ entity_type: 'doc', entity_id: id, action: 'touch', actor: 'ann' });
  await client.record({ ...good('first'), event_id: 'taken' });
  const results = await Promise.allSettled([
    client.record(good('a')),
    client.record({ ...good('b'), actor: '' }),
    client.record({ ...good('c'), event_id: 'taken' }),
    client.record({ ...good('d'), new_value: '\ud800' }),
    client.record(good('e')),
  ]);
  expect(results.map((result) => result.status)).toEqual([
    'fulfilled',
    'rejected',
    'rejected',
    'rejected',
    'fulfilled',
  ]);
  expect(results[1]).toMatchObject({ reason: { status: 400, problem: { errors: [{ pointer: '/actor' }] } } });
  expect(results[2]).toMatchObject({ reason: { status: 409 } });
  expect(results[3]).toMatchObject({ reason: { status: 400, problem: { errors: [{ pointer: '/new_value' }] } } });
  const { events } = await client.recent();
  expect(events.map((event) => event.entity_id)).toEqual(['e', 'a', 'first']);
});

test('history pages forward and back to every event, before and after sealing', async () => {
  const client = clientOf('pages');
  const drafts = Array.from({ length: 25 }, (_, i) => ({
    entity_type: 'doc',
    entity_id: 'x',
    action: `a${i}`,
    actor: 'ann',
  }));
  await client.append(drafts.slice(0, 15));
  expect(await client.seal()).toEqual({ events: 15 });
  expect((await client.append(drafts.slice(15), { ack: 'committed' })).receipts[0]?.ack).toBe('committed');
  for (const order of ['asc', 'desc'] as const) {
    const actions: string[] = [];
    for await (const event of client.historyEvents('x', { order, limit: 4 })) actions.push(event.action);
    const expected = drafts.map((draft) => draft.action);
    expect(actions).toEqual(order === 'asc' ? expected : expected.reverse());
  }
});

test('the tail gives what was there and what comes, each once', async () => {
  const client = clientOf('tail');
  await client.recordInsert(doc('0'), 0, context);
  const seqs: number[] = [];
  for await (const event of client.tail({ after: -1 })) {
    seqs.push(event.seq);
    if (event.seq === 4) break;
    await client.recordInsert(doc(String(event.seq + 1)), 0, context);
  }
  expect(seqs).toEqual([0, 1, 2, 3, 4]);
});

test('keys are made, listed, used within their role and workspace, and revoked', async () => {
  const operator = new IndelibleClient({ url: service.url, key: service.key });
  await operator.workspaces.create('keyed');
  const { key, id } = await operator.keys.create({ workspace: 'keyed', role: 'reader', name: 'rd' });
  expect((await operator.keys.list()).find((info) => info.id === id)).toMatchObject({
    role: 'reader',
    revoked_at: null,
  });
  expect((await operator.workspaces.list()).map((workspace) => workspace.id)).toContain('keyed');
  const reader = new IndelibleClient({ url: service.url, key });
  expect((await reader.recent()).events).toEqual([]);
  const draft = { entity_type: 'doc', entity_id: '1', action: 'touch', actor: 'ann' };
  await expect(reader.append([draft])).rejects.toMatchObject({ kind: 'refused', status: 403 });
  await expect(clientOf('values', key).recent()).rejects.toMatchObject({ status: 403 });
  expect((await operator.keys.revoke(id)).revoked_at).not.toBeNull();
  await expect(reader.recent()).rejects.toMatchObject({ kind: 'refused', status: 401 });
});

test('a workspace that does not exist is not made by reading it', async () => {
  await expect(clientOf('typo').history('x')).rejects.toMatchObject({ status: 404 });
  await expect(clientOf('typo').stats()).rejects.toMatchObject({ status: 404 });
});

test('an NDJSON file is taken in once, however often it is sent', async () => {
  const client = clientOf('files');
  const rows = Array.from({ length: 3000 }, (_, i) =>
    JSON.stringify({ entity_type: 'row', entity_id: `${i}`, action: 'insert', actor: 'f' }),
  );
  const file = new Blob([rows.join('\n')]);
  const progress: number[] = [];
  const options = {
    format: 'ndjson' as const,
    name: 'f.ndjson',
    onProgress: (step: { rows: number }) => progress.push(step.rows),
  };
  expect(await client.ingest(file, options)).toMatchObject({ rows: 3000, count: 3000, duplicates: 0 });
  expect(await client.ingest(file, options)).toMatchObject({ rows: 3000, count: 0, duplicates: 3000 });
  expect(progress.at(-1)).toBe(3000);
  expect((await client.history('f.ndjson')).events).toMatchObject([{ action: 'ingest', new_value: { rows: 3000 } }]);
});
