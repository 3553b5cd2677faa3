import { connect, type Socket } from 'node:net';
import { parse } from 'csv-parse/sync';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { OPERATOR_KEY, startService, type TestService } from '../support/http-service.ts';
import { allRows, axiom, get, judged, postAxioms, type VerdictPage } from './compliance-support.ts';

const COLUMNS = [
  ...['id', 'source_id', 'domain', 'status', 'metric_value', 'anomaly_score', 'routed_to_ai', 'risk_level'],
  ...['driver_used', 'audit_narrative', 'emitted_at', 'created_at'],
];
const ODD = [
  'plain',
  '=HYPERLINK("x")',
  '+1',
  '-1',
  '@x',
  '\ttab',
  'a "quoted" word',
  'a,b',
  'two\r\nlines',
  'č🐎',
  "'",
];

let service: TestService;
let rows: VerdictPage['events'];
beforeAll(async () => {
  service = await startService();
  await service.key('reader', 'acme');
  const axioms = ODD.flatMap((text, index) =>
    [0.95, 0.2].map((anomaly_score) =>
      axiom({
        source_id: `${text}/${anomaly_score}`,
        domain: text,
        status: index % 3 === 0 ? undefined : text,
        metric_value: index % 2 === 0 ? -index / 3 : undefined,
        anomaly_score,
        emitted_at: new Date(Date.UTC(2026, 0, 1 + index)).toISOString(),
      }),
    ),
  );
  await postAxioms(service, axioms.slice(0, 9));
  await judged(service, 9);
  await service.call('/journal/flush', { method: 'POST' });
  await postAxioms(service, axioms.slice(9));
  await judged(service, axioms.length);
  rows = (await allRows(service, '/compliance/events?limit=1000')).reverse();
});
afterAll(() => service.stop());

async function exported(query = '', workspace = 'acme') {
  const response = await service.call(`/compliance/export${query}`, { workspace });
  expect(response.status).toBe(200);
  return { response, text: Buffer.from(await response.arrayBuffer()).toString('utf8') };
}

const cell = (value: unknown) => (value === null ? '' : String(value));

test.each([
  ['', (row: VerdictPage['events'][number]) => row.routed_to_ai],
  ['?flagged=true', (row: VerdictPage['events'][number]) => row.routed_to_ai],
  ['?flagged=false', (row: VerdictPage['events'][number]) => !row.routed_to_ai],
  ['?flagged=all', () => true],
  [
    '?flagged=all&from=2026-01-03T00:00:00Z&to=2026-01-06T00:00:00Z',
    ({ emitted_at }: VerdictPage['events'][number]) =>
      emitted_at >= '2026-01-03T00:00:00.000000Z' && emitted_at < '2026-01-06T00:00:00.000000Z',
  ],
])('%j: the twelve columns in their order, every value as the list has it, by ascending seq', async (query, wanted) => {
  const { response, text } = await exported(query);
  const expected = rows.filter(wanted);
  expect(expected.length).toBeGreaterThan(5);
  expect(text.startsWith(`${COLUMNS.join(',')}\r\n`)).toBe(true);
  const records: string[][] = parse(text, { record_delimiter: '\r\n', relax_quotes: false });
  expect(records.slice(1)).toEqual(expected.map((row) => COLUMNS.map((name) => cell(row[name]))));
  expect(response.headers.get('x-row-count')).toBe(String(expected.length));
  expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect(response.headers.get('content-disposition')).toMatch(
    /^attachment; filename="compliance-events-\d{4}-\d\d-\d\d\.csv"; filename\*=UTF-8''compliance-events-\d{4}-\d\d-\d\d\.csv$/,
  );
});

test('for a spreadsheet: a byte order mark, and no text that begins like a formula; numbers stay numbers', async () => {
  const { text } = await exported('?flagged=all&profile=spreadsheet');
  expect(text.codePointAt(0)).toBe(0xfeff);
  const records: string[][] = parse(text.slice(1), { record_delimiter: '\r\n' });
  const disarmed = (value: unknown) =>
    typeof value === 'string' && /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : cell(value);
  expect(records.slice(1)).toEqual(rows.map((row) => COLUMNS.map((name) => disarmed(row[name]))));
  expect(records.flat().filter((value) => value.startsWith("'=HYPERLINK"))).not.toEqual([]);
});

test('a workspace without signals has a header alone; the columns are no journal of another', async () => {
  await service.key('reader', 'empty');
  const { response, text } = await exported('', 'empty');
  expect(text).toBe(`${COLUMNS.join(',')}\r\n`);
  expect(response.headers.get('x-row-count')).toBe('0');
});

/** What an export of many wide rows holds: whether it let go of it. */
function watchRelease() {
  const table = service.services.projections.table('large', 'compliance_events');
  const release = vi.fn();
  const view = table.view.bind(table);
  const viewed = vi.spyOn(table, 'view').mockImplementation(async () => {
    const held = await view();
    return {
      ...held,
      release() {
        release();
        held.release();
      },
    };
  });
  return { viewed, release };
}

function silentReader(): Socket {
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
  socket.on('error', () => {});
  socket.pause();
  const head = 'GET /compliance/export?flagged=all HTTP/1.1\r\nHost: x\r\nX-Workspace: large\r\n';
  socket.write(`${head}Authorization: Bearer ${OPERATOR_KEY}\r\n\r\n`);
  return socket;
}

describe('a reader that reads nothing', () => {
  beforeAll(async () => {
    // More than sockets buffer.
    const wide = 'x'.repeat(1000);
    const many = Array.from({ length: 9_000 }, (_, index) => axiom({ source_id: `${wide}${index}`.slice(-1000) }));
    await postAxioms(service, many, 'large');
    await judged(service, many.length, 'large');
    await service.call('/journal/flush', { method: 'POST', workspace: 'large' });
    await service.services.projections.catchUp('large');
  });
  afterEach(() => vi.restoreAllMocks());

  test('holds up nobody, and what is held for it is let go when it leaves', async () => {
    const { viewed, release } = watchRelease();
    const socket = silentReader();
    await vi.waitFor(() => expect(viewed).toHaveBeenCalledTimes(1), { timeout: 10_000 });
    const others = await Promise.all([
      get<VerdictPage>(service, '/compliance/events?limit=1'),
      exported('?flagged=all'),
      get(service, '/journal/recent?limit=1', 'large'),
    ]);
    expect(others[0].events).toHaveLength(1);
    expect(release).not.toHaveBeenCalled();
    socket.destroy();
    await vi.waitFor(() => expect(release).toHaveBeenCalledTimes(1), { timeout: 10_000 });
  });

  test('is cut off by the time limit of a silent connection', async () => {
    service.running.server.timeout = 300;
    const { release } = watchRelease();
    const socket = silentReader();
    await vi.waitFor(() => expect(release).toHaveBeenCalledTimes(1), { timeout: 10_000 });
    socket.destroy();
  });
});
