import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, type TestAPI, test, vi } from 'vitest';
import type { ServiceClient } from '../support/service-client.ts';
import { historyFile } from './histories.ts';

/** Signals of the real file, and those of them at or over the threshold of the shipped policies. */
export const SIGNALS = 321_206;
export const FLAGGED = 535;
const THRESHOLD = 0.8;

const FILE = join(dirname(historyFile('hono')), 'axioms-nab.ndjson.gz');
const isPresent = existsSync(FILE);

/** A test that needs the real signals. They are no part of the project: where they are not, it says so and is skipped. */
// reason: the signals are no part of the project; the line below says where they are looked for
export const testWithSignals: TestAPI = (isPresent ? test : test.skip) as TestAPI;
if (!isPresent) console.warn(`SKIPPED: no ${FILE}; INDELIBLE_SHARED names the folder that holds data/`);

/** The lines as they are in the file. */
export function signalLines(): string[] {
  return gunzipSync(readFileSync(FILE)).toString().split('\n').filter(Boolean);
}

export function isFlagged(line: string): boolean {
  return (JSON.parse(line) as { anomaly_score: number }).anomaly_score >= THRESHOLD;
}

export type AxiomsAnswer = { accepted: number; duplicates: number; unknown: number };

export function sendLines(service: ServiceClient, lines: readonly string[]): Promise<AxiomsAnswer> {
  const headers = { 'Content-Type': 'application/x-ndjson' };
  return service.json<AxiomsAnswer>('/axioms', { method: 'POST', body: lines.join('\n'), headers });
}

export async function totalEvents(service: ServiceClient): Promise<number> {
  return (await service.json<{ total_events: number }>('/journal/stats')).total_events;
}

/** Resolves once the journal holds so many events: with a verdict for each signal there is nothing more to come. */
export async function holdsEvents(service: ServiceClient, events: number, timeout = 60_000): Promise<void> {
  await vi.waitFor(async () => expect(await totalEvents(service)).toBe(events), { timeout, interval: 50 });
}

export async function queryRows(service: ServiceClient, sql: string, workspace?: string): Promise<unknown[][]> {
  const named = workspace === undefined ? {} : { workspace };
  return (await service.post<{ rows: unknown[][] }>('/journal/query', { sql }, named)).rows;
}

/** The verdicts of the journal as SQL: `said` is the JSON of each. */
export const VERDICTS = `(SELECT event_id, seq, entity_id AS source_id, new_value AS said FROM journal
  WHERE entity_type = 'indelible.verdict')`;
