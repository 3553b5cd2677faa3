import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, type TestAPI, test } from 'vitest';

/** What one event says, whoever tells it: the input, the journal, an export. */
export type Said = {
  event_id: string;
  occurred_at: string;
  entity_type: string;
  entity_id: string;
  field: string;
  action: string;
  old_value?: unknown;
  new_value?: unknown;
  actor: string;
  source?: string;
  correlation_id?: string;
};

/** Real histories of files, by workspace; what they are is told by README.md beside them. */
export const EVENTS_OF = { hono: 9_918, tigerbeetle: 26_032, immudb: 22_383 } as const;
export type HistoryName = keyof typeof EVENTS_OF;
export const HISTORIES = Object.keys(EVENTS_OF) as HistoryName[];

const SHARED = process.env.INDELIBLE_SHARED ?? join(import.meta.dirname, '../../../shared');
const arePresent = HISTORIES.every((name) => existsSync(historyFile(name)));

/** A test that needs the histories. They are no part of the project: where they are not, it says so and is skipped. */
// reason: the histories are no part of the project; the line below says where they are looked for
export const testWithHistories: TestAPI = (arePresent ? test : test.skip) as TestAPI;
if (!arePresent)
  console.warn(`SKIPPED: no histories in ${SHARED}/data; INDELIBLE_SHARED names the folder that holds data/`);

export function historyFile(name: HistoryName): string {
  return join(SHARED, 'data', `mutations-${name}.ndjson.gz`);
}

/** The lines as they are in the file. */
export function historyLines(name: HistoryName): string[] {
  return gunzipSync(readFileSync(historyFile(name)))
    .toString()
    .split('\n')
    .filter(Boolean);
}

/** The same as the journal is to give it back: what was `timestamp` has microseconds and is called occurred_at. */
export function readHistory(name: HistoryName): Said[] {
  return historyLines(name).map((line) => {
    const { timestamp, ...rest } = JSON.parse(line) as Omit<Said, 'occurred_at'> & { timestamp: string };
    return said({ ...rest, occurred_at: timestamp.replace(/\.(\d{3})Z$/, '.$1000Z') });
  });
}

/** Only what the caller said, in one order of members. */
export function said(event: Said): Said {
  const { event_id, occurred_at, entity_type, entity_id, field, action, old_value, new_value } = event;
  const { actor, source, correlation_id } = event;
  const whole = { event_id, occurred_at, entity_type, entity_id, field, action, old_value, new_value, actor };
  return JSON.parse(JSON.stringify({ ...whole, source, correlation_id })) as Said;
}

/** Equal, element by element. A long list that differs is told by its first difference. */
export function expectSame(actual: readonly unknown[], expected: readonly unknown[]): void {
  const differs = expected.findIndex((value, index) => JSON.stringify(actual[index]) !== JSON.stringify(value));
  if (differs !== -1)
    expect({ at: differs, ...(actual[differs] ?? {}) }).toEqual({ at: differs, ...(expected[differs] as object) });
  expect(actual.length).toBe(expected.length);
}

export function countsOf<T>(values: Iterable<T>): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
