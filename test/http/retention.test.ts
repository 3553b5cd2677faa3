import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IndelibleError } from '../../journal/index.ts';
import { event, startService, type TestResponse, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeEach(async () => {
  service = await startService();
});
afterEach(() => service.stop());

const post = (path: string, body: unknown, init = {}) =>
  service.call(path, { method: 'POST', body: JSON.stringify(body), ...init });
const retain = (more: Record<string, unknown>) => post('/journal/retention', { reason: 'ten years', ...more });
const json = async (response: TestResponse | Promise<TestResponse>) => (await response).json();

/** Forty events of five entities in four segments and a tail. */
async function fill(): Promise<void> {
  for (let segment = 0; segment < 5; segment++) {
    const events = Array.from({ length: 10 }, (_, i) =>
      event({ event_id: `e${segment * 10 + i}`, entity_id: `file-${i % 5}`, new_value: segment * 10 + i, field: 'n' }),
    );
    expect((await service.post(events)).status).toBe(201);
    if (segment < 4) await service.call('/journal/flush', { method: 'POST' });
  }
}

test('verdicts stay in compliance_events when the events they came from are removed', async () => {
  const axioms = Array.from({ length: 20 }, (_, i) => ({ source_id: `s${i}`, domain: 'd', anomaly_score: 0.05 * i }));
  expect((await post('/axioms', axioms, { headers: { 'Content-Type': 'application/json' } })).status).toBe(202);
  const listed = async () => (await json(service.call('/compliance/events?limit=100'))).events as { seq: number }[];
  await expect.poll(async () => (await listed()).length, { timeout: 30_000 }).toBe(20);
  const before = await listed();
  const last = Math.max(...before.map(({ seq }) => seq));
  expect((await retain({ seq: last + 1 })).status).toBe(200);
  const sql = "SELECT count(*) FROM journal WHERE entity_type = 'indelible.verdict'";
  const { rows } = (await json(
    post('/journal/query', { sql }, { headers: { 'Content-Type': 'application/json' } }),
  )) as unknown as { rows: unknown[][] };
  expect(rows).toEqual([[0]]);
  expect(await listed()).toEqual(before);
});

type Shown = { recent: Seen[]; histories: Seen[][]; exported: Seen[]; sql: unknown[][] };
type Seen = { seq: number; entity_type?: string };

/** What every reading route says, in the order of seq. */
async function shown(): Promise<Shown> {
  const recent: Seen[] = [];
  for (let cursor = ''; ; ) {
    const page = await json(service.call(`/journal/recent?limit=7${cursor}`));
    recent.unshift(...[...page.events].reverse());
    if (page.next_cursor === null) break;
    cursor = `&cursor=${page.next_cursor}`;
  }
  const histories: Seen[][] = [];
  for (let entity = 0; entity < 5; entity++) {
    histories.push((await json(service.call(`/journal/entity/file-${entity}?limit=1000`))).events);
  }
  const lines = (await (await service.call('/journal/export?format=ndjson')).text()).trim().split('\n');
  const sql = await service.call('/journal/query', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ sql: 'SELECT * FROM journal ORDER BY seq' }),
  });
  const { rows } = (await sql.json()) as unknown as { rows: unknown[][] };
  return { recent, histories, exported: lines.map((line) => JSON.parse(line) as Seen), sql: rows };
}

function from(firstSeq: number, { recent, histories, exported, sql }: Shown): Shown {
  const kept = (events: Seen[]) => events.filter(({ seq }) => seq >= firstSeq);
  return {
    recent: kept(recent),
    histories: histories.map(kept),
    exported: kept(exported),
    sql: sql.filter(([seq]) => Number(seq) >= firstSeq),
  };
}

/** Without the event that says what was removed. */
function withoutOrders(all: Shown): Shown {
  const seqs = new Set(all.recent.filter((one) => one.entity_type === 'indelible.retention').map(({ seq }) => seq));
  const kept = (events: Seen[]) => events.filter(({ seq }) => !seqs.has(seq));
  return {
    ...all,
    recent: kept(all.recent),
    exported: kept(all.exported),
    sql: all.sql.filter(([seq]) => !seqs.has(Number(seq))),
  };
}

describe('retention', () => {
  test.each([13, 20, 48])(
    'from seq %d on everything reads as before, also after compaction and a restart',
    async (cut) => {
      await fill();
      const before = await shown();
      const dry = await json(retain({ seq: cut, dry_run: true }));
      expect(dry).toMatchObject({ first_seq: cut, removed: cut });
      expect(await shown()).toEqual(before);
      expect(await json(retain({ seq: cut }))).toEqual(dry);
      const expected = from(cut, before);
      const check = async () => {
        expect(withoutOrders(await shown())).toEqual(expected);
        const stats = await json(service.call('/journal/stats'));
        expect(stats).toMatchObject({ first_seq: cut, total_events: 50 + 1 - cut });
        expect(await json(service.call('/journal/verify'))).toMatchObject({
          valid: true,
          first_seq: cut,
          last_seq: 50,
        });
        expect((await json(service.call(`/journal/recent?limit=${51 - cut}`))).next_cursor).toBeNull();
        const kept = await json(service.call(`/journal/events/e${cut}`));
        expect(kept).toMatchObject({ seq: cut, prev_hash: dry.before_hash });
        expect((await service.call(`/journal/events/e${cut - 1}`)).status).toBe(404);
      };
      await check();
      await service.call('/journal/compact', { method: 'POST' });
      await check();
      service = await service.restart();
      await check();
    },
  );

  test('by time of recording, and what the routes refuse', async () => {
    await fill();
    const { events } = await json(service.call('/journal/recent?limit=1'));
    const after = new Date(Date.parse(String(events[0]?.recorded_at)) + 60_000).toISOString();
    expect(await json(retain({ before: '2001-01-01T00:00:00+02:00' }))).toMatchObject({ removed: 0, first_seq: 0 });
    expect(await json(retain({ before: after, dry_run: true }))).toMatchObject({ removed: 50, first_seq: 50 });
    const refused: [Record<string, unknown>, string][] = [
      [{}, '/before'],
      [{ seq: 1, before: after }, '/before'],
      [{ before: 'yesterday' }, '/before'],
      [{ seq: -1 }, '/seq'],
      [{ seq: 1.5 }, '/seq'],
      [{ seq: '7' }, '/seq'],
      [{ seq: 51 }, '/seq'],
      [{ seq: 1, reason: '' }, '/reason'],
      [{ seq: 1, reason: 'a\u0000b' }, '/reason'],
      [{ seq: 1, reason: 'x'.repeat(1001) }, '/reason'],
      [{ seq: 1, dry_run: 'yes' }, '/dry_run'],
      [{ seq: 1, force: true }, '/force'],
    ];
    for (const [body, pointer] of refused) {
      const response = await retain(body);
      expect(response.status, JSON.stringify(body)).toBe(400);
      expect((await response.json()).errors[0]?.pointer).toBe(pointer);
    }
    expect((await post('/journal/retention', { seq: 1 })).status).toBe(400);
    expect((await post('/journal/retention', { seq: 1, reason: 'x' }, { workspace: 'nobody' })).status).toBe(404);
    await post('/workspaces', { id: 'empty' }, { workspace: null });
    expect(await json(post('/journal/retention', { seq: 0, reason: 'x' }, { workspace: 'empty' }))).toMatchObject({
      first_seq: 0,
      removed: 0,
    });
    expect(await json(service.call('/journal/stats'))).toMatchObject({ first_seq: 0, total_events: 50 });
  });

  test('an id of a removed event is never used again', async () => {
    await fill();
    await retain({ seq: 5 });
    const response = await service.post([event({ event_id: 'new' }), event({ event_id: 'e3' })]);
    expect(response.status).toBe(409);
    const problem = await response.json();
    expect(problem.errors[0]).toMatchObject({ pointer: '/1/event_id' });
    expect(problem.detail).toContain('recorded as seq 3 and removed by retention');
  });

  test('a tail that asks for what was removed begins with what is there', async () => {
    await fill();
    await retain({ seq: 48 });
    const stop = new AbortController();
    const response = await service.call('/journal/tail?from_start=true', { signal: stop.signal });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    while (!text.includes('id: 50\n')) text += Buffer.from((await reader.read()).value ?? []).toString();
    stop.abort();
    expect([...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))).toEqual([48, 49, 50]);
  });
});

describe('a legal hold', () => {
  const hold = (name: string, reason = 'court order') => post('/journal/holds', { name, reason });
  const release = (name: string) => service.call(`/journal/holds/${name}`, { method: 'DELETE' });

  test('forbids retention by name until it is released, also after a restart', async () => {
    await fill();
    expect(await json(hold('case-7'))).toMatchObject({ workspace: 'acme', name: 'case-7', released_at: null });
    await hold('case-8');
    for (const dry_run of [true, false]) {
      const refused = await retain({ seq: 5, dry_run });
      expect(refused.status).toBe(409);
      expect((await refused.json()).detail).toContain("'case-7'");
    }
    service = await service.restart();
    expect((await release('case-7')).status).toBe(200);
    expect((await (await retain({ seq: 5 })).json()).detail).toContain("'case-8'");
    await service.call('/journal/flush', { method: 'POST' });
    expect(await json(service.call('/journal/stats'))).toMatchObject({ first_seq: 0, total_events: 50 });
    await release('case-8');
    expect(await json(retain({ seq: 5 }))).toMatchObject({ removed: 5 });
    const { holds } = (await json(service.call('/journal/holds'))) as unknown as { holds: Record<string, unknown>[] };
    expect(holds.map(({ name, released_by }) => [name, released_by])).toEqual([
      ['case-7', 'operator'],
      ['case-8', 'operator'],
    ]);
  });

  test('is of one workspace, has one reason, and is made and released once', async () => {
    await fill();
    await service.post([event()], { workspace: 'rival' });
    const made = await json(hold('h'));
    expect(await json(hold('h'))).toEqual(made);
    expect((await hold('h', 'another reason')).status).toBe(409);
    expect((await json(service.call('/journal/holds', { workspace: 'rival' }))).holds).toEqual([]);
    expect((await post('/journal/retention', { seq: 1, reason: 'x' }, { workspace: 'rival' })).status).toBe(200);
    expect((await service.call('/journal/holds/h', { method: 'DELETE', workspace: 'rival' })).status).toBe(404);
    const released = await json(release('h'));
    expect(await json(release('h'))).toEqual(released);
    expect(await json(hold('h', 'another reason'))).toMatchObject({ reason: 'another reason', released_at: null });
    for (const body of [{ name: 'a/b', reason: 'x' }, { name: '', reason: 'x' }, { name: 'x' }, { reason: 'x' }, []]) {
      expect((await post('/journal/holds', body)).status).toBe(400);
    }
    expect((await post('/journal/holds', { name: 'x', reason: 'y' }, { workspace: 'nobody' })).status).toBe(404);
  });

  test('is answered when a removal that was let through is over, and stops one that was not', async () => {
    await fill();
    const [removal, made] = await Promise.all([retain({ seq: 10 }), hold('now')]);
    expect(made.status).toBe(201);
    const { first_seq } = await json(service.call('/journal/stats'));
    expect([200, 409]).toContain(removal.status);
    expect(first_seq).toBe(removal.status === 200 ? 10 : 0);
    expect((await retain({ seq: 20 })).status).toBe(409);
    expect((await json(service.call('/journal/stats'))).first_seq).toBe(first_seq);
  });

  test('stops what was ordered and not carried out; released, it stays stopped', async () => {
    await fill();
    const { journals, retention } = service.services;
    // Killed at the commit that removes: the third time it is asked for.
    let asked = 0;
    const dies = <T>(commit: () => Promise<T>) => {
      asked += 1;
      return asked < 3 ? commit() : Promise.reject(new IndelibleError('unavailable', 'the process is gone'));
    };
    const order = { cut: { seq: 30 }, reason: 'x', keyId: 'k', keyName: 'k' };
    await expect(journals.retention.remove('acme', order, dies, false)).rejects.toThrow('gone');
    await hold('late');
    service = await service.restart();
    await release('late');
    expect(await json(service.call('/journal/stats'))).toMatchObject({ first_seq: 0 });
    await service.services.journals.retention.resume('acme', (commit) => commit());
    expect(await json(service.call('/journal/stats'))).toMatchObject({ first_seq: 0 });
    const { events } = await json(service.call('/journal/entity/acme?type=indelible.retention'));
    expect(events.map(({ action }) => action)).toEqual(['delete', 'cancel']);
    expect(retention.holds('acme')).toHaveLength(1);
  });
});
