import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startService, type TestService } from '../support/http-service.ts';
import { allRows, axiom, get, judged, postAxioms, type VerdictPage } from './compliance-support.ts';

const DOMAINS = ['payments', 'realTraffic', 'a "domain", with\nlines'];
const STATUSES = [undefined, 'ok', '=1+1', 'Žluťoučký 🐎'];
const COUNT = 240;

let service: TestService;
let rows: VerdictPage['events'];
beforeAll(async () => {
  service = await startService();
  await service.key('reader', 'acme');
  const axioms = Array.from({ length: COUNT }, (_, index) =>
    axiom({
      source_id: index % 40 === 7 ? undefined : `meters/${index}#ž"`,
      domain: DOMAINS[index % DOMAINS.length],
      status: STATUSES[index % STATUSES.length],
      anomaly_score: (index % 10) / 10,
      metric_value: index % 3 === 0 ? undefined : index / 7,
      emitted_at: new Date(Date.UTC(2026, 0, 1, 0, index % 60)).toISOString(),
      ...(index % 5 === 0 ? { entity_type: 'metric', entity_id: `meters/${index}` } : {}),
    }),
  );
  // Half of the verdicts are in the table, half in the tail.
  await postAxioms(service, axioms.slice(0, COUNT / 2));
  await judged(service, COUNT / 2);
  await service.call('/journal/flush', { method: 'POST' });
  await postAxioms(service, axioms.slice(COUNT / 2));
  await judged(service, COUNT);
  await postAxioms(service, [axiom({ source_id: 'theirs', domain: 'rival-domain' })], 'rival');
  await judged(service, 1, 'rival');
  rows = await allRows(service, '/compliance/events?limit=1000');
});
afterAll(() => service.stop());

describe('the list', () => {
  test('has every verdict of the workspace once, newest first, with the columns in their order', () => {
    expect(rows).toHaveLength(COUNT);
    expect(rows.map(({ seq }) => seq)).toEqual(rows.map(({ seq }) => seq).sort((a, b) => b - a));
    expect(new Set(rows.map(({ id }) => id)).size).toBe(COUNT);
    expect(rows.filter(({ source_id }) => source_id === 'unknown')).toHaveLength(6);
    expect(Object.keys(rows[0] as object).slice(0, 12)).toEqual([
      ...['id', 'source_id', 'domain', 'status', 'metric_value', 'anomaly_score', 'routed_to_ai', 'risk_level'],
      ...['driver_used', 'audit_narrative', 'emitted_at', 'created_at'],
    ]);
    expect(rows.every(({ anomaly_score, routed_to_ai }) => routed_to_ai === (anomaly_score as number) >= 0.8)).toBe(
      true,
    );
  });

  const time = (row: { emitted_at: string }) => row.emitted_at;
  test.each<[string, (row: VerdictPage['events'][number]) => boolean]>([
    ['flagged=true', (row) => row.routed_to_ai],
    ['flagged=false', (row) => !row.routed_to_ai],
    [`domain=${encodeURIComponent(DOMAINS[2] as string)}`, (row) => row.domain === DOMAINS[2]],
    ['risk=low', (row) => row.risk_level === 'low'],
    ['risk=critical', (row) => row.risk_level === 'critical'],
    [`status=${encodeURIComponent('=1+1')}`, (row) => row.status === '=1+1'],
    ['status=nothing-has-it', () => false],
    ['driver=rules', (row) => row.driver_used === 'rules'],
    ['driver=threshold', (row) => row.driver_used === 'threshold'],
    ['from=2026-01-01T00:30:00Z', (row) => time(row) >= '2026-01-01T00:30:00.000000Z'],
    ['to=2026-01-01T00:30:00Z', (row) => time(row) < '2026-01-01T00:30:00.000000Z'],
    [
      'from=2026-01-01T01:10:00%2B01:00&to=2026-01-01T00:10:00.000001Z&flagged=false',
      (row) => time(row) === '2026-01-01T00:10:00.000000Z' && !row.routed_to_ai,
    ],
  ])('?%s gives what a plain filter over all rows gives, also in small pages', async (query, wanted) => {
    const expected = rows.filter(wanted);
    expect(await allRows(service, `/compliance/events?limit=1000&${query}`)).toEqual(expected);
    expect(await allRows(service, `/compliance/events?limit=17&${query}`)).toEqual(expected);
  });

  test('a cursor belongs to its query, its workspace and its route', async () => {
    const page = await get<VerdictPage>(service, '/compliance/events?limit=5&flagged=true');
    expect(page.next_cursor).not.toBeNull();
    for (const [path, workspace] of [
      ['/compliance/events?limit=5', 'acme'],
      ['/compliance/events?limit=5&flagged=true&domain=payments', 'acme'],
      ['/compliance/events?limit=5&flagged=true', 'rival'],
      ['/compliance/events/unknown?limit=5', 'acme'],
      ['/journal/recent?limit=5', 'acme'],
    ] as const) {
      const response = await service.call(`${path}&cursor=${page.next_cursor}`, { workspace });
      expect(response.status, path).toBe(400);
      expect((await response.json()).errors[0]?.pointer).toBe('/cursor');
    }
  });

  test('is complete through the last durable event', async () => {
    const page = await get<VerdictPage>(service, '/compliance/events?limit=1');
    expect(page.complete_through).toBe(service.services.journals.durableSeq('acme'));
  });

  test('a workspace without signals has an empty list, one that is not there is 404', async () => {
    await service.key('reader', 'empty');
    const empty = { events: [], next_cursor: null, complete_through: -1 };
    expect(await get(service, '/compliance/events', 'empty')).toEqual(empty);
    expect((await service.call('/compliance/events', { workspace: 'nowhere' })).status).toBe(404);
    expect((await service.call('/compliance/stats', { workspace: 'nowhere' })).status).toBe(404);
    expect((await service.call('/compliance/export', { workspace: 'nowhere' })).status).toBe(404);
    expect(await get(service, '/compliance/stats', 'empty')).toMatchObject({ verdicts: 0, cache: { hit_rate: null } });
  });
});

describe('one source', () => {
  type Source = VerdictPage & { axiom_event: Recorded; verdict_event: Recorded };
  type Recorded = {
    event_id: string;
    seq: number;
    event_hash: string;
    prev_hash: string;
    links: Record<string, string>;
  };

  test('links lead from the verdict to its signal and everywhere else, and back', async () => {
    const row = rows.find(({ source_id }) => source_id === 'meters/5#ž"') as VerdictPage['events'][number];
    const source = await get<Source>(service, row.links.self as string);
    expect(source.events).toEqual([row]);
    expect(source.next_cursor).toBeNull();
    const { axiom: toAxiom, verdict: toVerdict, signals, history } = row.links;
    const axiomEvent = await get<Recorded>(service, toAxiom as string);
    const verdictEvent = await get<Recorded>(service, toVerdict as string);
    const { links: fromAxiom, ...axiomBare } = axiomEvent;
    const { links: fromVerdict, ...verdictBare } = verdictEvent;
    expect(source.axiom_event).toEqual(axiomBare);
    expect(source.verdict_event).toEqual(verdictBare);
    expect(source.verdict_event).toMatchObject({ seq: row.seq, event_id: row.id });
    expect(fromAxiom).toMatchObject({ compliance: row.links.self, verdict: toVerdict });
    expect(fromVerdict).toMatchObject({ compliance: row.links.self, axiom: toAxiom });
    expect((await get<{ events: Recorded[] }>(service, signals as string)).events).toMatchObject([
      { event_id: row.axiom_event_id },
    ]);
    expect(history).toBe('/journal/entity/meters%2F5?type=metric');
    expect(await get(service, fromAxiom.state as string)).toMatchObject({ exists: true });
  });

  test('an id with slashes is taken plain and encoded; of another workspace there is nothing', async () => {
    const plain = await get(service, '/compliance/events/meters/5%23%C5%BE%22');
    expect(plain).toEqual(await get(service, '/compliance/events/meters%2F5%23%C5%BE%22'));
    expect((await service.call('/compliance/events/theirs')).status).toBe(404);
    expect(await get(service, '/compliance/events/theirs', 'rival')).toMatchObject({ source_id: 'theirs' });
  });

  test('of `unknown` there are all rows, page by page, each with links of its own', async () => {
    const unknown = rows.filter(({ source_id }) => source_id === 'unknown');
    expect(await allRows(service, '/compliance/events/unknown?limit=2')).toEqual(unknown);
    expect(await get(service, '/compliance/events/unknown')).not.toHaveProperty('axiom_event');
    const signal = await get<Recorded>(service, unknown[0]?.links.axiom as string);
    expect(signal.links.verdict).toBe(unknown[0]?.links.verdict);
  });

  test('a verdict from the cache leads to the one that it reuses', async () => {
    const reused = rows.find(({ cached_from }) => cached_from !== null);
    const original = await get<Recorded>(service, reused?.links.cached_from as string);
    expect(original.event_id).toBe(reused?.cached_from);
    expect(original.event_id).not.toBe(reused?.id);
  });

  test('404 says whether the signal is known', async () => {
    const response = await service.call('/compliance/events/never-heard-of');
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ detail: 'no signal of this source is recorded' });
    // Taken by the journal alone: nobody judges it.
    await service.stopJudging();
    await postAxioms(service, [axiom({ source_id: 'late', anomaly_score: 0.9 })]);
    const late = await service.call('/compliance/events/late');
    expect(late.status).toBe(404);
    expect((await late.json()).detail).toMatch(/^the signal is recorded at seq \d+ and waits for its verdict/);
  });
});
