import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { event, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService({ config: { ingestBytesMax: 32 * 1024 * 1024 } });
});
afterAll(() => service.stop());

type Upload = { type?: string; headers?: Record<string, string>; workspace?: string; key?: string };

function ingest(query: string, body: string | Uint8Array<ArrayBuffer>, upload: Upload = {}) {
  const { type = 'application/octet-stream', headers, ...who } = upload;
  return service.call(`/journal/ingest?${query}`, {
    method: 'POST',
    body,
    ...who,
    headers: { 'Content-Type': type, ...headers },
  });
}

const lines = (rows: unknown[]) => `${rows.map((row) => JSON.stringify(row)).join('\n')}\n`;
const total = async (workspace = 'acme') =>
  (await (await service.call('/journal/stats', { workspace })).json()).total_events;

describe('POST /journal/ingest', () => {
  test('NDJSON of events: counted, recorded as an event itself, and nothing twice', async () => {
    const rows = Array.from({ length: 12_345 }, (_, index) => event({ field: `f${index % 5}`, new_value: index }));
    const first = await ingest('name=rows.ndjson', lines(rows));
    expect(first.status).toBe(201);
    const answer = await first.json();
    expect(answer).toMatchObject({ rows: 12_345, count: 12_345, duplicates: 0, first_seq: 0, last_seq: 12_344 });
    const { ingest_event } = answer as unknown as { ingest_event: { event_id: string } };
    const recorded = await (await service.call(`/journal/events/${ingest_event.event_id}`)).json();
    expect(recorded).toMatchObject({
      entity_type: 'ingest',
      entity_id: 'rows.ndjson',
      action: 'ingest',
      actor: 'operator',
      new_value: {
        name: 'rows.ndjson',
        rows: 12_345,
        format: 'ndjson',
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    });
    const before = await total();
    const again = await (await ingest('name=rows.ndjson', gzipSync(lines(rows)))).json();
    expect(again).toMatchObject({
      rows: 12_345,
      count: 0,
      duplicates: 12_345,
      ingest_event: { event_id: ingest_event.event_id },
    });
    expect(await total()).toBe(before);
  });

  test('ack=committed answers once all of it is in the store, also of what was there before', async () => {
    const rows = lines([event({ field: 'waits' }), event({ field: 'waits' })]);
    const committed = async () => (await (await service.call('/journal/stats')).json()).committed_seq;
    for (const ack of ['durable', 'committed', 'committed']) {
      const answer = await (await ingest(`format=ndjson&name=waits&ack=${ack}`, rows)).json();
      expect(answer.ingest_event).toMatchObject({ ack });
      const { seq } = answer.ingest_event as { seq: number };
      if (ack === 'committed') expect(await committed()).toBeGreaterThanOrEqual(seq);
      else expect(await committed()).toBeLessThan(seq);
    }
    expect((await ingest('format=ndjson&ack=queued', rows)).status).toBe(400);
  });

  test('a bad row is named, with how far it came; the mended file finishes', async () => {
    const rows: unknown[] = Array.from({ length: 10_500 }, (_, index) => event({ event_id: `mend-${index}` }));
    const good = rows[10_100];
    rows[10_100] = { ...event(), entity_id: 5 };
    const failed = await ingest('format=ndjson', lines(rows));
    expect(failed.status).toBe(400);
    const problem = await failed.json();
    expect(problem.errors[0]?.pointer).toBe('/10100/entity_id');
    expect(problem.progress).toMatchObject({ events: 10_000, lines: 10_000 });
    rows[10_100] = good;
    expect(await (await ingest('format=ndjson', lines(rows))).json()).toMatchObject({ count: 500, duplicates: 10_000 });
  });

  test('with a mapping each row is a row of an entity, its numbers kept as they are', async () => {
    const text = '{"id":12345678901234567890,"price":1.10,"when":"2026-01-02T03:04:05Z"}\n';
    const query = 'format=ndjson&entity_type=product&id_column=id&timestamp_column=when&name=p.ndjson';
    expect(await (await ingest(query, text)).json()).toMatchObject({ rows: 1, count: 1 });
    const history = await (await service.call('/journal/entity/12345678901234567890?type=product')).text();
    expect(history).toContain('"new_value":{"id":12345678901234567890,"price":1.1');
    expect(history).toContain('"occurred_at":"2026-01-02T03:04:05.000000Z"');
    expect(history).toContain('"source":"p.ndjson"');
    const missing = await ingest('format=ndjson&entity_type=product&id_column=sku', text);
    expect((await missing.json()).errors[0]?.pointer).toBe('/0/sku');
    const half = await ingest('format=ndjson&entity_type=product', text);
    expect((await half.json()).errors[0]?.pointer).toBe('/id_column');
  });

  test('progress lines end with the result, or with the problem', async () => {
    const accept = { headers: { Accept: 'application/x-ndjson' } };
    const rows = Array.from({ length: 10_001 }, (_, index) => event({ event_id: `progress-${index}` }));
    const text = await (await ingest('format=ndjson', lines(rows), accept)).text();
    const steps = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(steps).toMatchObject([
      { progress: { rows: 10_000 } },
      { progress: { rows: 10_001, bytes: lines(rows).length, bytes_total: lines(rows).length } },
      { result: { rows: 10_001, count: 10_001 } },
    ]);
    const failing = [...rows.slice(0, 10_000), { bad: 1 }];
    const broken = (await (await ingest('format=ndjson', lines(failing), accept)).text()).trim().split('\n');
    expect(JSON.parse(broken.at(-1) as string)).toMatchObject({
      problem: { status: 400, progress: { duplicates: 10_000, lines: 10_000 } },
    });
  });

  test('too large, damaged, unknown: refused, and no file is left behind', async () => {
    const bomb = gzipSync(Buffer.alloc(40 * 1024 * 1024, 10));
    expect((await ingest('format=ndjson', bomb)).status).toBe(413);
    expect((await ingest('format=ndjson', gzipSync('{}').subarray(0, 15))).status).toBe(400);
    expect((await ingest('name=data.xlsx', 'PK')).status).toBe(415);
    expect((await ingest('format=parquet', 'a,b\n1,2\n')).status).toBe(400);
    expect((await ingest('format=csv', 'PAR1....')).status).toBe(400);
    expect((await ingest('format=ndjson', '')).status).toBe(201);
    const spool = await readdir(join(service.services.journals.tempDir, 'ingest'));
    expect(spool).toEqual([]);
  });

  test('the roles that read cannot; the one that writes is the actor', async () => {
    expect((await ingest('format=ndjson', lines([event()]), { key: await service.key('auditor') })).status).toBe(403);
    const key = await service.key('writer');
    const name = 'by-the-writer.ndjson';
    expect((await ingest(`name=${name}`, lines([event()]), { key })).status).toBe(201);
    const history = await (await service.call(`/journal/entity/${name}`)).json();
    expect(history.events).toMatchObject([{ actor: 'writer-key' }]);
  });
});
