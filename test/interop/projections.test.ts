import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ComplianceEvents, type ComplianceRow } from '../../projections/index.ts';
import { manualRunner, verdictEvent } from '../projections/projection-lab.ts';
import { COMMITTED, drafts, Lab } from '../support/journal-lab.ts';
import { microsOf } from './questions.ts';
import { isThere, READERS, type Reader } from './readers.ts';

const lab = new Lab();
const TABLE = join(lab.storeDir, 'acme', '_projections', 'compliance_events', 'v000002');
const ROUNDS = 12;
let rows: ComplianceRow[];

/** So many folds that files were merged; then a rebuild, and more. */
beforeAll(async () => {
  const journals = await lab.open();
  const runner = manualRunner(journals);
  const round = async (n: number) => {
    const changes = {
      metric_value: n + 0.1,
      routed_to_ai: n % 2 === 0,
      narrative: `it's é \u{1F600} ${n}`,
      rule: n % 3 === 0 ? 'r' : null,
    };
    await journals.append('acme', [verdictEvent(`s${n}`, changes), ...drafts(`d${n}-`, 2)], COMMITTED);
    await runner.catchUp('acme');
  };
  await round(0);
  await runner.rebuild('acme', 'compliance_events', { by: 'ann', force: false });
  for (let n = 1; n < ROUNDS; n++) await round(n);
  expect((await runner.table('acme', 'compliance_events').view()).files.length).toBeLessThan(ROUNDS);
  rows = (await new ComplianceEvents(runner).page('acme', { limit: 100 })).rows.toReversed();
  expect(rows).toHaveLength(ROUNDS);
  await runner.close();
  await lab.close(journals);
}, 120_000);
afterAll(() => lab.dispose());

const TEXTS = [
  'id',
  'source_id',
  'domain',
  'risk_level',
  'driver_used',
  'audit_narrative',
  'rule',
  'failures',
] as const;
const TIMES = ['emitted_at', 'created_at'] as const;

function everyRow({ micros }: Reader): string {
  const flag = "CASE WHEN routed_to_ai THEN 'yes' ELSE 'no' END";
  const exact = [...TEXTS, ...TIMES.map(micros), 'CAST(seq AS VARCHAR)', flag, 'CAST(metric_value AS VARCHAR)'];
  return `SELECT ${exact.map((sql, index) => `${sql} AS c${index}`).join(', ')} FROM journal ORDER BY seq`;
}

function asTold(row: ComplianceRow): (string | null)[] {
  const times = TIMES.map((name) => String(microsOf(row[name])));
  return [
    ...TEXTS.map((name) => row[name]),
    ...times,
    String(row.seq),
    row.routed_to_ai ? 'yes' : 'no',
    String(row.metric_value),
  ];
}

for (const reader of READERS) {
  // reason: the engine is not a package of the project, and not everybody can install it; isThere says so
  describe.skipIf(!isThere(reader))(
    `${reader.title} reads a projection's table as it lies`,
    { timeout: 120_000 },
    () => {
      it('row by row, and by statistics', async () => {
        const last = rows.at(-1) as ComplianceRow;
        const queries = [
          everyRow(reader),
          `SELECT CAST(count(*) AS VARCHAR) FROM journal WHERE seq >= ${last.seq}`,
          `SELECT CAST(count(*) AS VARCHAR) FROM journal WHERE created_at <= ${reader.time(microsOf(last.created_at))}`,
        ];
        const { results } = await reader.ask({ table: TABLE, version: null, queries });
        expect(results).toEqual([rows.map(asTold), [['1']], [[String(ROUNDS)]]]);
      });
    },
  );
}
