import { expect, test } from 'vitest';
import { generatedSignals } from '../../src/cli/signal-generator.ts';
import { VerdictTally } from '../../src/cli/verdict-tally.ts';
import type { RecordedEvent } from '../../src/client/index.ts';

test('a seed gives the same signals, however many are asked for; another gives others', () => {
  const signals = [...generatedSignals(7, 20_000)];
  expect([...generatedSignals(7, 50)]).toEqual(signals.slice(0, 50));
  expect([...generatedSignals(8, 50)]).not.toEqual(signals.slice(0, 50));
  expect(new Set(signals.map(({ source_id }) => source_id)).size).toBe(signals.length);
  expect(new Set(signals.map(({ domain }) => domain)).size).toBe(5);
  expect(signals.every(({ anomaly_score }) => anomaly_score >= 0 && anomaly_score <= 1)).toBe(true);
  const routed = signals.filter(({ anomaly_score }) => anomaly_score >= 0.8);
  expect(routed.length / signals.length).toBeGreaterThan(0.015);
  expect(routed.length / signals.length).toBeLessThan(0.025);
});

function verdict(axiomSeq: number, more: Record<string, unknown> = {}): RecordedEvent {
  const said = { axiom: { seq: axiomSeq }, tier: 'rules', risk_level: 'low', routed_to_ai: true, ...more };
  return { new_value: said } as unknown as RecordedEvent;
}

test('verdicts count once their signals are known to be ours, whichever comes first; others never', () => {
  const tally = new VerdictTally();
  expect(tally).toMatchObject({ isComplete: true, cacheHitRate: null });
  expect(tally.percentileMs(0.5)).toBeNull();
  tally.add(verdict(11));
  tally.sent(10, 11, 2);
  tally.add(verdict(12));
  tally.add(verdict(9));
  tally.add(verdict(20, { tier: 'cache', timings: { waited: 3, judged: 4 } }));
  expect(tally).toMatchObject({ verdicts: 1, isComplete: false });
  tally.sent(20, 21, 2);
  expect(tally).toMatchObject({
    verdicts: 2,
    accepted: 4,
    routed: 2,
    tiers: { rules: 1, cache: 1 },
    cacheHitRate: 0.5,
  });
  const failures = [{ tier: 'model', cause: 'timeout', detail: 'x' }];
  tally.add(verdict(10, { failures, routed_to_ai: false, timings: { waited: 1, judged: 0 } }));
  tally.add(verdict(21, { failures, risk_level: 'high', timings: { waited: 100, judged: 0 } }));
  expect(tally).toMatchObject({ verdicts: 4, isComplete: true, risks: { low: 3, high: 1 } });
  expect(tally.fallbacks).toEqual([{ tier: 'model', cause: 'timeout', count: 2 }]);
  expect([0.3, 0.5, 0.99].map((share) => tally.percentileMs(share))).toEqual([1, 7, 100]);
});

test('in a cluster verdicts are known by their source: one each, and one for every signal without', () => {
  const tally = new VerdictTally();
  const of = (source: string) => {
    const event = verdict(0);
    const { seq: _, ...axiom } = (event.new_value as { axiom: { seq: number } }).axiom;
    return { ...event, entity_id: source, new_value: { ...(event.new_value as object), axiom } } as typeof event;
  };
  tally.sending(['a', 'b', undefined, undefined]);
  tally.queued(4);
  for (const source of ['a', 'a', 'stranger', 'unknown', 'unknown', 'unknown']) tally.add(of(source));
  expect(tally).toMatchObject({ accepted: 4, verdicts: 3, isComplete: false });
  tally.add(of('b'));
  expect(tally.isComplete).toBe(true);
});
