import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { tableFromIPC } from 'apache-arrow';
import { parse } from 'csv-parse/sync';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { event, OPERATOR_KEY, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService({ config: { queryTimeoutMs: 3_000, queryRowsMax: 1_000 } });
  const events = Array.from({ length: 2_000 }, (_, index) =>
    event({ entity_id: `e${index % 20}`, actor: `user-${index % 3}`, new_value: index % 2 === 0 ? index : '=SUM(A1)' }),
  );
  await service.post(events);
  await service.call('/journal/flush', { method: 'POST' });
  await service.post(events.slice(0, 10));
});
afterAll(() => service.stop());

function sql(body: unknown, accept?: string, key = OPERATOR_KEY) {
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  if (accept !== undefined) headers.Accept = accept;
  return service.call('/journal/query', { method: 'POST', key, headers, body: JSON.stringify(body) });
}

describe('POST /journal/query', () => {
  test('sees sealed and unsealed events alike, with parameters', async () => {
    const answer = await (
      await sql({ sql: 'SELECT count(*) AS n, max(seq) FROM journal WHERE actor = ?', params: ['user-0'] })
    ).json();
    expect(answer).toMatchObject({ rows: [[671, 2009]], row_count: 1, truncated: false });
    expect(answer.snapshot).toEqual({ committed_seq: 1999, durable_seq: 2009 });
  });

  test('NDJSON, CSV and Arrow by Accept; anything else is 406', async () => {
    const question = { sql: 'SELECT seq, actor FROM journal ORDER BY seq LIMIT 3' };
    expect(await (await sql(question, 'application/x-ndjson')).text()).toBe(
      '{"seq":0,"actor":"user-0"}\n{"seq":1,"actor":"user-1"}\n{"seq":2,"actor":"user-2"}\n',
    );
    const csv = await sql(question, 'text/html;q=0.9, text/csv');
    expect(csv.headers.get('content-type')).toContain('text/csv');
    expect(await csv.text()).toBe('seq,actor\r\n0,user-0\r\n1,user-1\r\n2,user-2\r\n');
    const arrow = await sql(question, 'application/vnd.apache.arrow.stream');
    expect(tableFromIPC(new Uint8Array(await arrow.arrayBuffer())).numRows).toBe(3);
    expect((await sql(question, 'image/png')).status).toBe(406);
  });

  test('the row limit cuts and says so', async () => {
    const response = await sql({ sql: 'SELECT seq FROM journal' });
    expect(response.headers.get('x-truncated')).toBe('true');
    expect(await response.json()).toMatchObject({ row_count: 1_000, truncated: true });
  });

  test.each([
    ['an update', 'UPDATE journal SET actor = 1'],
    ['a drop', 'DROP VIEW journal'],
    ['two statements', 'SELECT 1; SELECT 2'],
    ['attach', "ATTACH '/tmp/x.db'"],
    ['copy', "COPY (SELECT 1) TO '/tmp/indelible-hostile.csv'"],
    ['install', 'INSTALL httpfs'],
    ['pragma', 'PRAGMA database_list'],
    ['setting', "SET memory_limit = '100GB'"],
    ['a file', "SELECT * FROM read_text('/etc/passwd')"],
    ['a glob', "SELECT * FROM glob('/**')"],
    ['the network', "SELECT * FROM read_csv('https://example.com/x.csv')"],
    ['the environment', "SELECT getenv('HOME')"],
    ['no SQL', 'hello'],
    ['an unknown table', 'SELECT * FROM keys'],
    ['nothing', ' '],
  ])('refuses %s', async (_name, text) => {
    const response = await sql({ sql: text });
    expect(response.status, await response.clone().text()).toBe(400);
    expect((await response.json()).errors[0]?.pointer).toBe('/sql');
  });

  test('a query that overruns its time or memory is ended, and the next one works', async () => {
    const slow = await sql({ sql: 'SELECT count(*) FROM range(1000000000000) a, range(1000000) b' });
    expect(slow.status).toBe(504);
    const large = await sql({ sql: "SELECT string_agg(repeat('x', 100000000), '') FROM range(100)" });
    expect([413, 504]).toContain(large.status);
    expect((await sql({ sql: 'SELECT 1' })).status).toBe(200);
  });

  test('a body that is no query names the fault', async () => {
    expect((await (await sql({ query: 'SELECT 1' })).json()).errors.map((error) => error.pointer)).toEqual([
      '/sql',
      '/query',
    ]);
    expect((await (await sql({ sql: 'SELECT ?', params: [{}] })).json()).errors[0]?.pointer).toBe('/params/0');
    expect((await service.call('/journal/query', { method: 'POST', body: 'SELECT 1' })).status).toBe(415);
  });
});

describe('GET /journal/export', () => {
  const get = (query: string) => service.call(`/journal/export?${query}`);

  test('CSV: every event in order, with a file name', async () => {
    const response = await get('format=csv');
    expect(response.headers.get('content-disposition')).toMatch(
      /^attachment; filename="acme-journal-\d{4}-\d\d-\d\d\.csv"; filename\*=UTF-8''acme-journal-/,
    );
    const rows = parse(await response.text(), { columns: true }) as Record<string, string>[];
    expect(rows.map((row) => Number(row.seq))).toEqual(Array.from({ length: 2_010 }, (_, index) => index));
    expect(rows[1]).toMatchObject({ new_value: '=SUM(A1)', prev_hash: rows[0]?.event_hash });
  });

  test('the spreadsheet profile disarms formulas, and is for CSV only', async () => {
    const text = await (await get('profile=spreadsheet&entity_id=e1')).text();
    expect(text).toContain("'=SUM(A1)");
    expect((await get('profile=spreadsheet&format=ndjson')).status).toBe(400);
  });

  test('NDJSON is the events themselves, filtered; Parquet and Arrow are files', async () => {
    const lines = (await (await get('format=ndjson&actor=user-1&entity_id=e1')).text()).trim().split('\n');
    const events = lines.map((line) => JSON.parse(line));
    expect(events.length).toBeGreaterThan(10);
    for (const one of events) expect(one).toMatchObject({ actor: 'user-1', entity_id: 'e1', workspace_id: 'acme' });
    const single = await (await service.call(`/journal/events/${events[0].event_id}`)).json();
    expect(single).toMatchObject(events[0]);
    const parquet = Buffer.from(await (await get('format=parquet')).arrayBuffer());
    expect([parquet.subarray(0, 4).toString(), parquet.subarray(-4).toString()]).toEqual(['PAR1', 'PAR1']);
    const arrow = await (await get('format=arrow')).arrayBuffer();
    expect(tableFromIPC(new Uint8Array(arrow)).numRows).toBe(2_010);
  });

  test('a worker that dies breaks the transfer off: never a clean end of a short file', async () => {
    const big = Array.from({ length: 1_000 }, () => event({ new_value: 'x'.repeat(10_000) }));
    for (let i = 0; i < 4; i += 1) await service.post(big.slice(i, i + 900), { workspace: 'large' });
    const outcome = await new Promise<string>((resolve, reject) => {
      const headers = { Authorization: `Bearer ${OPERATOR_KEY}`, 'X-Workspace': 'large' };
      const outgoing = request(`${service.url}/journal/export?format=ndjson`, { headers }, (response) => {
        response.once('data', () => {
          response.pause();
          for (const pid of service.services.pool.pids) process.kill(pid, 'SIGKILL');
          setTimeout(() => response.resume(), 100);
        });
        response.on('end', () => resolve('ended'));
        response.on('error', () => resolve('broken'));
      });
      outgoing.on('error', reject);
      outgoing.end();
    });
    expect(outcome).toBe('broken');
  });

  test('an export can be taken in again as it is', async () => {
    const csv = await (await get('format=csv&entity_id=e1')).text();
    await service.call('/workspaces', { method: 'POST', body: JSON.stringify({ id: 'copy' }) });
    const mended = csv.replaceAll(',acme,', ',copy,');
    const headers = { 'Content-Type': 'text/csv' };
    const taken = await service.call('/journal/ingest', { method: 'POST', body: mended, headers, workspace: 'copy' });
    expect(await taken.json()).toMatchObject({ rows: 101, count: 101 });
    const [ours, theirs] = await Promise.all(
      ['acme', 'copy'].map(async (workspace) =>
        (await service.call('/journal/entity/e1?limit=1000', { workspace })).json(),
      ),
    );
    const content = (page = ours) =>
      page?.events.map(({ seq, recorded_at, workspace_id, event_hash, ...rest }) => rest);
    expect(content(theirs)).toEqual(content(ours));
  });
});

test('GET /journal/verify says that all is well, or what is not', async () => {
  const verification = await (await service.call('/journal/verify')).json();
  const stats = await (await service.call('/journal/stats')).json();
  expect(verification).toMatchObject({ valid: true, events: 2_010, head_hash: stats.head_hash });
  expect((await service.call('/journal/verify', { key: await service.key('reader') })).status).toBe(403);
});

describe('files of rows', () => {
  const csv =
    'sku,name,when\r\n1,"a ""quoted"" name",2026-01-02 03:04:05\r\n2,"two\nlines",2026-01-02T03:04:05+02:00\r\n3,,\r\n';
  const ingest = (query: string, body: string | Uint8Array<ArrayBuffer>) =>
    service.call(`/journal/ingest?${query}`, { method: 'POST', body, workspace: 'files' });

  test('CSV with a mapping: a row is an entity, its cells strings, an empty one null', async () => {
    const query = 'name=products.csv&entity_type=product&id_column=sku';
    expect(await (await ingest(query, csv)).json()).toMatchObject({ rows: 3, count: 3, duplicates: 0 });
    expect(await (await ingest(query, csv)).json()).toMatchObject({ rows: 3, count: 0, duplicates: 3 });
    const state = await (await service.call('/journal/entity/2/state', { workspace: 'files' })).json();
    expect(state.fields).toMatchObject({ name: { value: 'two\nlines' } });
    const timed = await ingest(`${query}&timestamp_column=when`, csv);
    expect((await timed.json()).errors[0]?.pointer).toBe('/2/when');
  });

  test('CSV of events: cells are JSON where they parse', async () => {
    const text =
      'event_id,entity_type,entity_id,action,actor,new_value,old_value,metadata\n' +
      'c1,file,7,update,ann,"{""n"":12345678901234567890}",plain text,""\n' +
      'c2,file,7,update,ann,5,,null\n';
    expect(await (await ingest('format=csv', text)).json()).toMatchObject({ rows: 2, count: 2 });
    const first = await (await service.call('/journal/events/c1', { workspace: 'files' })).text();
    expect(first).toContain('"old_value":"plain text","new_value":{"n":12345678901234567890}');
    const second = await (await service.call('/journal/events/c2', { workspace: 'files' })).text();
    expect(second).toContain('"new_value":5,');
    expect(second).toContain('"metadata":null');
    expect(second).not.toContain('old_value');
    const unknown = await ingest('format=csv', 'entity_type,colour\nfile,red\n');
    expect((await unknown.json()).errors.map((error) => error.pointer)).toContain('/0/colour');
  });

  test('Parquet: typed columns, found by its first bytes', async () => {
    const path = `${service.dir}/rows.parquet`;
    await service.services.journals.engine.all(
      `COPY (SELECT i AS id, i * 1.5 AS price, TIMESTAMPTZ '2026-01-01 00:00:00+00' + INTERVAL (i) MINUTE AS at FROM range(12000) t(i)) TO '${path}' (FORMAT parquet)`,
    );
    const { readFile } = await import('node:fs/promises');
    const bytes = new Uint8Array(await readFile(path));
    const query = 'name=rows.parquet&entity_type=row&id_column=id&timestamp_column=at';
    const answer = await (await ingest(query, bytes)).json();
    expect(answer).toMatchObject({ rows: 12_000, count: 12_000 });
    const history = await (await service.call('/journal/entity/11999', { workspace: 'files' })).json();
    expect(history.events).toMatchObject([
      { occurred_at: '2026-01-09T07:59:00.000000Z', new_value: { id: 11_999, price: 17998.5 } },
    ]);
    const { ingest_event } = answer as unknown as { ingest_event: { event_id: string } };
    const recorded = await (
      await service.call(`/journal/events/${ingest_event.event_id}`, { workspace: 'files' })
    ).json();
    expect(recorded.new_value).toMatchObject({
      sha256: createHash('sha256').update(bytes).digest('hex'),
      bytes: bytes.length,
      rows: 12_000,
      mapping: { entity_type: 'row', id_column: 'id', action: 'insert', timestamp_column: 'at' },
    });
    const cut = await ingest('format=parquet', bytes.slice(0, 5_000));
    expect(cut.status).toBe(400);
  });
});
