import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { holdsEvents, queryRows, totalEvents, VERDICTS } from '../e2e/compliance-signals.ts';
import { GEMINI_KEY, GeminiServer } from '../support/gemini-server.ts';
import { SeededRandom } from '../support/journal-lab.ts';
import { RealService } from '../support/real-service.ts';

const SEED = process.env.INDELIBLE_TEST_SEED ?? '2026';
const BATCH = 100;
const BATCHES = 60;

let service: RealService | undefined;
let gemini: GeminiServer | undefined;
afterEach(async () => {
  await service?.remove();
  await gemini?.stop();
  service = undefined;
  gemini = undefined;
});

/** One in ten is over the threshold, with risks of several rules. */
const batch = (number: number) =>
  Array.from({ length: BATCH }, (_, i) => ({
    source_id: `s${number}-${i}`,
    domain: ['realKnownCause', 'realTraffic', 'water'][i % 3],
    anomaly_score: i % 10 === 0 ? 0.8 + (i % 7) / 40 : 0.3,
    entity_id: `series-${i % 5}`,
  }));

type Row = { source_id: string; routed_to_ai: boolean; risk_level: string; narrative: string };

/** What was decided on every source; by which tier depends on what was judged before, and is left out. */
async function decidedBySource(of: RealService): Promise<Row[]> {
  const rows = await queryRows(of, `SELECT source_id, said FROM ${VERDICTS} ORDER BY source_id, seq`);
  return rows.map(([source_id, said]) => {
    const { routed_to_ai, risk_level, narrative } = JSON.parse(String(said)) as Row;
    return { source_id: String(source_id), routed_to_ai, risk_level, narrative };
  });
}

describe('a service that is killed while it judges', () => {
  it('at ten random moments, and started again: the rows of one that was not, and no event more when all is sent again', async () => {
    const random = new SeededRandom(SEED);
    const killed = await RealService.start();
    service = killed;
    let sent = 0;
    let brokenOff = 0;
    for (let round = 0; round < 10; round++) {
      const sending = (async () => {
        for (; sent < BATCHES; sent++) await killed.post('/axioms', batch(sent));
      })().catch(() => {
        brokenOff += 1;
      });
      await new Promise((resolve) => setTimeout(resolve, random.below(250)));
      await killed.end('SIGKILL');
      await sending;
      await killed.startAgain();
    }
    expect(brokenOff).toBeGreaterThan(0);
    for (let number = 0; number < BATCHES; number++) await killed.post('/axioms', batch(number));
    const all = 2 * BATCH * BATCHES;
    await holdsEvents(killed, all);
    const rows = await decidedBySource(killed);
    for (let number = 0; number < BATCHES; number++) await killed.post('/axioms', batch(number));
    expect(await totalEvents(killed)).toBe(all);
    await killed.remove();

    const unharmed = await RealService.start();
    service = unharmed;
    for (let number = 0; number < BATCHES; number++) await unharmed.post('/axioms', batch(number));
    await holdsEvents(unharmed, all);
    expect(rows).toHaveLength(BATCH * BATCHES);
    expect(rows).toEqual(await decidedBySource(unharmed));
  }, 240_000);

  const high = (number: number, more: Record<string, unknown> = {}) => ({
    ...{ source_id: `h${number}`, domain: 'water', anomaly_score: 0.9, entity_id: `pump-${number}`, ...more },
  });

  async function withModel(): Promise<{ judging: RealService; model: GeminiServer }> {
    gemini = await GeminiServer.start();
    const env = { GEMINI_API_KEY: GEMINI_KEY, GOOGLE_GEMINI_BASE_URL: gemini.url };
    service = await RealService.start({ env });
    return { judging: service, model: gemini };
  }

  it.each([
    ['after the signal is durable, before any verdict', 'the embedder'],
    ['while the model is asked', 'the model'],
  ])(
    '%s: it is judged after the next start',
    async (_, silent) => {
      const { judging, model } = await withModel();
      const asked = Promise.withResolvers<void>();
      model.decide = ({ endpoint }) => {
        if ((endpoint === 'generateContent') !== (silent === 'the model')) return undefined;
        asked.resolve();
        return { do: 'silent' };
      };
      await judging.post('/axioms', [high(1), high(2)]);
      await asked.promise;
      await judging.end('SIGKILL');
      model.decide = () => undefined;
      await judging.startAgain();
      await holdsEvents(judging, 4);
      expect(await judging.post('/axioms', [high(1), high(2)])).toMatchObject({ accepted: 0, duplicates: 2 });
      const rows = await queryRows(judging, `SELECT source_id, said->>'tier' FROM ${VERDICTS} ORDER BY source_id`);
      expect(rows.map(([source]) => source)).toEqual(['h1', 'h2']);
      expect(rows.every(([, tier]) => tier === 'model' || tier === 'cache')).toBe(true);
      expect(await totalEvents(judging)).toBe(4);
    },
    60_000,
  );

  it('after a verdict is recorded, before the index has it: it is reused all the same, and the model not asked again', async () => {
    const { judging, model } = await withModel();
    await judging.post('/axioms', [high(0, { domain: 'gas' })]);
    await holdsEvents(judging, 2);
    await judging.end('SIGTERM');
    // What is derived as it is just before the next verdict.
    const derived = join(judging.dataDir, 'compliance', 'acme');
    const kept = join(judging.dir, 'derived-before');
    await cp(derived, kept, { recursive: true });
    await judging.startAgain();
    await judging.post('/axioms', [high(1)]);
    await holdsEvents(judging, 4);
    await judging.end('SIGKILL');
    await rm(derived, { recursive: true });
    await cp(kept, derived, { recursive: true });
    await judging.startAgain();
    const asked = model.count;
    await judging.post('/axioms', [high(1), { ...high(1), source_id: 'alike' }]);
    await holdsEvents(judging, 6);
    const rows = await queryRows(
      judging,
      `SELECT source_id, said->>'tier', said->>'cached_from' = first(event_id) OVER (PARTITION BY said->>'domain' ORDER BY seq)
       FROM ${VERDICTS} ORDER BY seq`,
    );
    expect(rows).toEqual([
      ['h0', 'model', null],
      ['h1', 'model', null],
      ['alike', 'cache', true],
    ]);
    expect(model.count).toBe(asked);
  }, 60_000);
});
