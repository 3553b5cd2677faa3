import { afterAll, beforeAll, expect, test } from 'vitest';
import { GEMINI_KEY, GeminiServer } from '../support/gemini-server.ts';
import { startService, type TestService } from '../support/http-service.ts';
import { allRows, axiom, get, judged, postAxioms, type VerdictPage } from './compliance-support.ts';

type Stats = {
  threshold: number;
  policy: { name: string; version: string };
  verdicts: number;
  tiers: Record<string, number>;
  risks: Record<string, number>;
  routed: number;
  cache: {
    hit_rate: number | null;
    entries: number;
    over_time: { hour: string; routed: number; cache_hits: number; hit_rate: number | null }[];
  };
  fallbacks: { tier: string; cause: string; count: number }[];
  unknown: number;
  queue: { signals: number; oldest_at: string | null; unread_seqs: number };
  position: number;
};

let gemini: GeminiServer;
let service: TestService;
beforeAll(async () => {
  gemini = await GeminiServer.start();
  service = await startService({
    compliance: { geminiApiKey: GEMINI_KEY, geminiBaseUrl: gemini.url, aiRetries: 0, aiConcurrency: 1 },
  });
});
afterAll(async () => {
  await service.stop();
  await gemini.stop();
});

function countBy(rows: VerdictPage['events'], name: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const row of rows) counts[String(row[name])] = (counts[String(row[name])] ?? 0) + 1;
  return counts;
}

test('every figure is a count over all rows, before and after they are in the table', async () => {
  const signals = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) =>
      axiom({
        source_id: at % 20 === 5 ? undefined : `s/${from + at}`,
        domain: ['payments', 'realTraffic'][at % 2],
        status: ['ok', 'failed', undefined][at % 3],
        anomaly_score: at % 4 === 0 ? 0.9 : 0.3,
      }),
    );
  await postAxioms(service, signals(0, 60));
  await judged(service, 60);
  gemini.decide = () => ({ do: 'fail', status: 400, code: 'INVALID_ARGUMENT' });
  await postAxioms(service, [axiom({ source_id: 'failing', domain: 'another', anomaly_score: 0.99 })]);
  await judged(service, 61);
  const compare = async () => {
    const rows = await allRows(service, '/compliance/events?limit=1000');
    const stats = await get<Stats>(service, '/compliance/stats');
    const nonZero = (counts: Record<string, number>) => Object.fromEntries(Object.entries(counts).filter(([, n]) => n));
    expect(nonZero(stats.tiers)).toEqual(countBy(rows, 'tier'));
    expect(nonZero(stats.risks)).toEqual(countBy(rows, 'risk_level'));
    const routed = rows.filter(({ routed_to_ai }) => routed_to_ai);
    const hits = rows.filter(({ tier }) => tier === 'cache');
    expect(hits.length).toBeGreaterThan(0);
    expect(stats.routed).toBe(routed.length);
    expect(stats.unknown).toBe(rows.filter(({ source_id }) => source_id === 'unknown').length);
    expect(stats.cache.hit_rate).toBeCloseTo(hits.length / routed.length);
    const hour = (row: VerdictPage['events'][number]) => `${String(row.created_at).slice(0, 13)}:00:00Z`;
    expect(stats.cache.over_time.map((at) => at.hour)).toEqual([...new Set(rows.map(hour))].sort());
    for (const at of stats.cache.over_time) {
      expect(at.routed).toBe(routed.filter((row) => hour(row) === at.hour).length);
      expect(at.cache_hits).toBe(hits.filter((row) => hour(row) === at.hour).length);
    }
    const failures = rows.flatMap((row) => (row.failures ?? []) as { tier: string; cause: string }[]);
    expect(failures.length).toBeGreaterThan(0);
    expect(stats.fallbacks.reduce((sum, { count }) => sum + count, 0)).toBe(failures.length);
    for (const { tier, cause, count } of stats.fallbacks) {
      expect(count).toBe(failures.filter((failure) => failure.tier === tier && failure.cause === cause).length);
    }
    expect(stats.position).toBe(service.services.journals.durableSeq('acme'));
    return stats;
  };
  const fresh = await compare();
  expect(fresh).toMatchObject({ threshold: 0.8, policy: { name: 'indelible-shipped' }, verdicts: 61 });
  expect(fresh.cache.entries).toBeGreaterThan(0);
  await service.call('/journal/flush', { method: 'POST' });
  const { position: _, ...folded } = await compare();
  expect(folded).toMatchObject({ ...folded, tiers: fresh.tiers, risks: fresh.risks, fallbacks: fresh.fallbacks });
});

test('what waits is in the queue, with its age', async () => {
  gemini.decide = () => ({ do: 'silent' });
  await postAxioms(service, [axiom({ source_id: 'waits', domain: 'alone', anomaly_score: 0.9 })], 'slow');
  const recorded = await get<{ events: { recorded_at: string }[] }>(service, '/journal/recent', 'slow');
  await expect
    .poll(async () => (await get<Stats>(service, '/compliance/stats', 'slow')).queue, { timeout: 10_000 })
    .toMatchObject({ signals: 1, oldest_at: recorded.events[0]?.recorded_at });
  const late = await service.call('/compliance/events/waits', { workspace: 'slow' });
  expect((await late.json()).detail).toMatch(/waits for its verdict \(signals that wait: 1\)$/);
});

test('folds are measured', async () => {
  await service.services.projections.catchUp('acme');
  const text = await (await service.call('/metrics')).text();
  expect(text).toMatch(/indelible_projection_fold_seconds_count\{projection="compliance_events"\} [1-9]/);
  expect(text).toMatch(/indelible_projection_rows_total\{projection="compliance_events"\} 61\n/);
  expect(text).toMatch(/indelible_projection_failures_total 0\n/);
  expect(text).toContain('indelible_projection_lag_events');
});
