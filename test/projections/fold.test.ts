import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine, type JournalEvent, walSql } from '../../journal/index.ts';
import { type ActivityRow, activityOf } from '../../projections/activity-daily.ts';
import {
  COMPLIANCE_EVENTS,
  type ComplianceRow,
  complianceRowOf,
  newRowsSql,
  PROJECTIONS,
  type Projection,
  type Verdict,
  verdictDraft,
  viewSql,
} from '../../projections/index.ts';
import { ROW_SELECT, rowOf } from '../../projections/run/compliance-filter.ts';
import { type EventSpec, eventSpec, journalOf, walLines } from '../support/events.ts';
import { firstOfEach, verdict, verdicts } from './projection-lab.ts';

const dir = mkdtempSync(join(tmpdir(), 'indelible-fold-'));
let engine: Engine;
let files = 0;
beforeAll(async () => {
  const limits = { memoryLimitBytes: 512 * 1024 * 1024, threads: 2, concurrency: 2 };
  engine = await Engine.open({ path: ':memory:', tempDir: dir, ...limits });
});
afterAll(() => {
  engine.close();
  rmSync(dir, { recursive: true, force: true });
});

/** The events as a relation, as a query's worker has them. */
function relation(events: readonly JournalEvent[]): string {
  files += 1;
  const path = join(dir, `${files}.ndjson`);
  writeFileSync(path, walLines(events));
  return `(${walSql([path], 1_000_000)})`;
}

const range = (events: string, from: number, to: number) =>
  `(SELECT * FROM ${events} WHERE seq >= ${from} AND seq < ${to})`;

function specOf(made: Verdict): EventSpec {
  const { event_id: _, occurred_at: __, ...rest } = verdictDraft(made, null);
  return { ...rest, occurred_at: made.emitted_at };
}

const journals = fc
  .array(fc.oneof(verdicts.map(specOf), verdicts.map(specOf), eventSpec), { minLength: 1, maxLength: 12 })
  .map((specs) => journalOf(specs));
const RUNS = { numRuns: 60 };

const complianceRows = async (relationSql: string): Promise<ComplianceRow[]> =>
  (await engine.all(`SELECT ${ROW_SELECT} FROM ${relationSql} ORDER BY seq`)).map(rowOf);

const sorted = (projection: Projection, relationSql: string) =>
  engine.all(
    `SELECT ${projection.columns.map(({ name }) => `${name}::VARCHAR AS ${name}`).join(', ')} FROM ${relationSql} ORDER BY ALL`,
  );

describe('a row of compliance_events', () => {
  it('is the same by SQL and by JavaScript, and the first of its source', async () => {
    await fc.assert(
      fc.asyncProperty(journals, async (events) => {
        const expected = events.filter(({ entity_type }) => entity_type === 'indelible.verdict').map(complianceRowOf);
        const source = relation(events);
        expect(await complianceRows(`(${COMPLIANCE_EVENTS.foldSql(source)})`)).toEqual(expected);
        expect(await complianceRows(`(${newRowsSql(COMPLIANCE_EVENTS, source, undefined)})`)).toEqual(
          firstOfEach(expected),
        );
      }),
      RUNS,
    );
  });

  it('has the defaults of a verdict that says nothing', async () => {
    const [event] = journalOf([{ ...specOf(verdict('s')), entity_id: 's', new_value: '{}' }]) as [JournalEvent];
    for (const new_value of ['{}', null]) {
      const source = relation([{ ...event, new_value }]);
      const expected = complianceRowOf({ ...event, new_value });
      expect(await complianceRows(`(${COMPLIANCE_EVENTS.foldSql(source)})`)).toEqual([expected]);
    }
  });
});

describe.each(PROJECTIONS)('$name', (projection) => {
  it('is the same folded at once, in any pieces, and with the last piece twice', async () => {
    await fc.assert(
      fc.asyncProperty(journals, fc.array(fc.nat(12), { maxLength: 3 }), async (events, cuts) => {
        const source = relation(events);
        const whole = await sorted(projection, `(${viewSql(projection, undefined, source)})`);
        const ends = [...new Set([...cuts.filter((cut) => cut < events.length), events.length])].sort((a, b) => a - b);
        let position = 0;
        files += 1;
        const table = `folded_${files}`;
        for (const [index, end] of ends.entries()) {
          const known = index === 0 ? undefined : `(FROM ${table})`;
          // Before each step the view over the table and what is newer is the whole already.
          expect(
            await sorted(projection, `(${viewSql(projection, known, range(source, position, events.length))})`),
          ).toEqual(whole);
          const added = newRowsSql(projection, range(source, position, end), known);
          const into = index === 0 ? `CREATE TABLE ${table} AS` : `INSERT INTO ${table} BY NAME`;
          await engine.all(`${into} (${added})`);
          position = end;
        }
        expect(
          await sorted(projection, `(${viewSql(projection, `(FROM ${table})`, range(source, position, position))})`),
        ).toEqual(whole);
        if (projection.combine.kind === 'unique') {
          const again = newRowsSql(
            projection,
            `(SELECT * FROM ${source} WHERE entity_id <> 'unknown')`,
            `(FROM ${table})`,
          );
          expect(await engine.all(again)).toEqual([]);
        }
        await engine.all(`DROP TABLE ${table}`);
      }),
      RUNS,
    );
  });
});

it('activity_daily counts each event in the group that JavaScript finds', async () => {
  await fc.assert(
    fc.asyncProperty(journals, async (events) => {
      const counts = new Map<string, ActivityRow>();
      for (const event of events) {
        const group = activityOf(event);
        const key = JSON.stringify(group);
        counts.set(key, { ...group, events: (counts.get(key)?.events ?? 0) + 1 });
      }
      const [projection] = PROJECTIONS.filter(({ name }) => name === 'activity_daily') as [Projection];
      const rows = await sorted(projection, `(${viewSql(projection, undefined, relation(events))})`);
      const found = rows.map((row) => JSON.stringify(Object.values(row)));
      const expected = [...counts.values()].map((row) =>
        JSON.stringify(Object.values({ ...row, events: String(row.events) })),
      );
      expect(found.sort()).toEqual(expected.sort());
    }),
    RUNS,
  );
});
