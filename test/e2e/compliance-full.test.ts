import { afterEach, beforeEach, expect } from 'vitest';
import { RealService } from '../support/real-service.ts';
import {
  FLAGGED,
  holdsEvents,
  queryRows,
  SIGNALS,
  sendLines,
  signalLines,
  testWithSignals,
  totalEvents,
  VERDICTS,
} from './compliance-signals.ts';

const BATCH_LINES = 10_000;
const TIME_LIMIT_MS = 300_000;

let service: RealService;
beforeEach(async () => {
  service = await RealService.start();
});
afterEach(() => service.remove());

async function sendAll(lines: readonly string[]): Promise<{ accepted: number; duplicates: number }> {
  const sum = { accepted: 0, duplicates: 0 };
  for (let at = 0; at < lines.length; at += BATCH_LINES) {
    const { accepted, duplicates } = await sendLines(service, lines.slice(at, at + BATCH_LINES));
    sum.accepted += accepted;
    sum.duplicates += duplicates;
  }
  return sum;
}

testWithSignals(
  'every one of the real signals gets its verdict, those over the threshold by the rules; sent again, nothing is added',
  async () => {
    const lines = signalLines();
    expect(await sendAll(lines)).toEqual({ accepted: SIGNALS, duplicates: 0 });
    await holdsEvents(service, 2 * SIGNALS, TIME_LIMIT_MS);
    const counts = await queryRows(
      service,
      `SELECT count(*), count(DISTINCT source_id), count(*) FILTER (said LIKE '%"routed_to_ai":true%') FROM ${VERDICTS}`,
    );
    expect(counts).toEqual([[SIGNALS, SIGNALS, FLAGGED]]);
    const risks = await queryRows(
      service,
      `SELECT said->>'risk_level', count(*) FROM ${VERDICTS} WHERE said LIKE '%"routed_to_ai":true%' GROUP BY ALL ORDER BY 1`,
    );
    expect(risks).toEqual([
      ['critical', 230],
      ['high', 127],
      ['low', 13],
      ['medium', 165],
    ]);
    expect(await sendAll(lines)).toEqual({ accepted: 0, duplicates: SIGNALS });
    expect(await totalEvents(service)).toBe(2 * SIGNALS);
  },
  TIME_LIMIT_MS,
);
