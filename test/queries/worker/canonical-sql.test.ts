import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  canonicalEvent,
  canonicalSql,
  leafHash,
  leafHashSql,
  lowerEscapesSql,
  type JournalEvent,
  sqlString,
} from '../../../journal/index.ts';

const ALPHABET = [
  ...Array.from({ length: 0x21 }, (_, code) => String.fromCharCode(code)).slice(1),
  '"',
  '\\',
  'u',
  '0',
  'B',
  'b',
  'F',
  '\u007f',
  '\u0085',
  '\ue000',
  '\u2028',
  '\ufeff',
  '\uffff',
  '😀',
  'é',
  '/',
  '<',
];
const text = fc.oneof(
  fc.array(fc.constantFrom(...ALPHABET), { maxLength: 12 }).map((chars) => chars.join('')),
  fc.string({ unit: 'grapheme', maxLength: 12 }).filter((value) => value.isWellFormed() && !value.includes('\0')),
);
const optional = fc.option(text, { nil: null });
const time = fc
  .tuple(fc.integer({ min: 0, max: 4_102_444_800_000 }), fc.integer({ min: 0, max: 999 }))
  .map(([ms, micros]) => `${new Date(ms).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}Z`);
const event: fc.Arbitrary<Omit<JournalEvent, 'event_hash'>> = fc.record({
  seq: fc.integer({ min: 0, max: 2 ** 32 }),
  event_id: text,
  occurred_at: time,
  recorded_at: time,
  workspace_id: text,
  entity_type: text,
  entity_id: text,
  field: text,
  action: text,
  old_value: optional,
  new_value: optional,
  actor: text,
  actor_type: optional,
  source: optional,
  correlation_id: optional,
  metadata: optional,
});

it('the canonical event and its hash are the same in SQL and in JavaScript, for every text', async () => {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  await connection.run("SET TimeZone = 'UTC'");
  const row = (made: Omit<JournalEvent, 'event_hash'>) =>
    Object.entries(made)
      .map(([name, value]) => {
        if (typeof value === 'number') return `${value}::BIGINT AS ${name}`;
        const literal = value === null ? 'NULL' : sqlString(value);
        return `${literal}::${name.endsWith('_at') ? 'TIMESTAMPTZ' : 'VARCHAR'} AS ${name}`;
      })
      .join(', ');
  const prevHash = 'ab'.repeat(32);
  const batch = fc.array(event, { minLength: 20, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(batch, async (events) => {
      const rows = events.map((made, index) => `SELECT ${index} AS nth, ${row(made)}`).join(' UNION ALL ');
      const reader = await connection.runAndReadAll(
        `SELECT ${lowerEscapesSql('text')} AS canonical, ${leafHashSql('text')} AS hash FROM (SELECT nth, ${canonicalSql(sqlString(prevHash))} AS text FROM (${rows})) ORDER BY nth`,
      );
      const expected = events.map((made) => canonicalEvent(made, prevHash));
      expect(reader.getRowsJson()).toEqual(expected.map((canonical) => [canonical, leafHash(canonical)]));
    }),
    { numRuns: 100 },
  );
});
