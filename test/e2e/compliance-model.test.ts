import { afterEach, expect } from 'vitest';
import { failing, GEMINI_KEY, GeminiServer, type GeminiTurn } from '../support/gemini-server.ts';
import { RealService } from '../support/real-service.ts';
import { countsOf } from './histories.ts';
import {
  FLAGGED,
  holdsEvents,
  isFlagged,
  queryRows,
  sendLines,
  signalLines,
  testWithSignals,
  totalEvents,
  VERDICTS,
} from './compliance-signals.ts';

/** Of the signals below the threshold, which nobody is asked about, one in so many. */
const LOW_EVERY = 100;
const SEED = process.env.INDELIBLE_TEST_SEED ?? '2026';

let service: RealService | undefined;
let gemini: GeminiServer | undefined;
afterEach(async () => {
  await service?.remove();
  await gemini?.stop();
});

/** Three in ten requests fail, the others take their time; late in the run twenty fail in a row, which opens the breaker. */
function unreliable(): (index: number) => GeminiTurn | undefined {
  const decide = failing(0.3, SEED);
  return (index) => {
    if (index >= 600 && index < 620) return { do: 'fail', status: 503, code: 'UNAVAILABLE' };
    return decide({} as never, index) ?? { do: 'answer', delayMs: 5 + (index % 20) };
  };
}

type Said = {
  tier: string;
  driver: string;
  risk_level: string;
  cached_from?: string;
  failures?: { tier: string; cause: string }[];
};

/** The verdicts over the threshold, by event_id. */
async function routed(of: RealService): Promise<Map<string, Said>> {
  const rows = await queryRows(of, `SELECT event_id, said FROM ${VERDICTS} WHERE said LIKE '%"routed_to_ai":true%'`);
  return new Map(rows.map(([id, said]) => [String(id), JSON.parse(String(said)) as Said]));
}

/** The service's own count of tiers that failed: `tier cause` → times. */
async function countedFailures(of: RealService): Promise<Record<string, number>> {
  const text = await (await of.call('/metrics')).text();
  const lines = text.matchAll(/^indelible_tier_failures_total\{tier="([^"]+)",cause="([^"]+)"\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, tier, cause, count]) => [`${tier} ${cause}`, Number(count)]));
}

testWithSignals(
  'a model that fails three times in ten, is slow and then away: every flagged signal is judged, and none twice',
  async () => {
    gemini = await GeminiServer.start();
    const decide = unreliable();
    gemini.decide = (_request, index) => decide(index);
    service = await RealService.start({
      env: {
        GEMINI_API_KEY: GEMINI_KEY,
        GOOGLE_GEMINI_BASE_URL: gemini.url,
        INDELIBLE_AI_RETRIES: '0',
        INDELIBLE_AI_CALLS_PER_MINUTE: '100000',
      },
    });
    const all = signalLines();
    const lines = all.filter((line, index) => isFlagged(line) || index % LOW_EVERY === 0);
    await sendLines(service, lines);
    await holdsEvents(service, 2 * lines.length);

    const verdicts = await routed(service);
    expect(verdicts.size).toBe(FLAGGED);
    const tiers = countsOf([...verdicts.values()].map(({ tier }) => tier));
    expect([...tiers.keys()].sort()).toEqual(['cache', 'model', 'rules']);

    const failures = [...verdicts.values()].flatMap(({ failures = [] }) => failures);
    const causes = Object.fromEntries(countsOf(failures.map(({ tier, cause }) => `${tier} ${cause}`)));
    expect(causes).toEqual(await countedFailures(service));
    expect(causes).toMatchObject({
      'cache server-error': expect.any(Number),
      'cache unreachable': expect.any(Number),
      'model server-error': expect.any(Number),
      'model unreachable': expect.any(Number),
    });
    expect(Object.keys(causes).some((cause) => cause.endsWith('circuit-open'))).toBe(true);

    for (const { tier, driver, failures: failed = [], cached_from } of verdicts.values()) {
      const hasModelFailed = failed.some((failure) => failure.tier === 'model');
      expect([tier, hasModelFailed]).toEqual([tier, tier === 'rules']);
      expect(driver).toBe({ model: 'gemini', cache: 'cache', rules: 'rules' }[tier]);
      // What the rules said in the model's place is for that signal only.
      if (tier === 'cache') expect(verdicts.get(String(cached_from))?.tier).toBe('model');
    }

    const asked = gemini.count;
    expect(await sendLines(service, lines)).toMatchObject({ accepted: 0, duplicates: lines.length });
    expect(await totalEvents(service)).toBe(2 * lines.length);
    await service.end('SIGTERM');
    await service.startAgain();
    expect(await sendLines(service, lines)).toMatchObject({ accepted: 0, duplicates: lines.length });
    expect(await totalEvents(service)).toBe(2 * lines.length);
    expect(gemini.count).toBe(asked);
  },
  120_000,
);
