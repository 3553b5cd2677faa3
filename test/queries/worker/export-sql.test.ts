import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EVENT_COLUMNS, sqlString } from '../../../journal/index.ts';
import { csvRows } from '../../../queries/worker/export-sql.ts';

const ODD = ['"', ',', '\n', '\r', '\\', "'", '=', ' ', '\u000b', '\u001f', '\u2028', 'é', '😀', 'u', '0', 'x'];
const text = fc.array(fc.constantFrom(...ODD), { maxLength: 8 }).map((chars) => chars.join(''));
const json = fc.oneof(text, fc.jsonValue({ depthSize: 'small' })).map((value) => JSON.stringify(value));
const wellFormed = json.filter((value) => !value.includes('\\u0000') && !/\\ud[89a-f]/.test(value));
const event = fc.record({
  entity_id: text,
  actor: text,
  source: fc.option(text, { nil: null }),
  old_value: fc.option(wellFormed, { nil: null }),
  new_value: fc.option(wellFormed, { nil: null }),
  metadata: fc.option(wellFormed, { nil: null }),
});
const JSON_COLUMNS = ['old_value', 'new_value', 'metadata'];
const PLAIN: Record<string, string> = { event_hash: "unhex('00AB')", seq: '7::BIGINT' };

it('a CSV record is RFC 4180 for every text, JSON strings bare and absent values empty', async () => {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  await connection.run("SET TimeZone = 'UTC'");
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 10, maxLength: 10 }), async (events) => {
      const literal = (made: Record<string, string | null>, name: string) => {
        if (name.endsWith('_at')) return "'2026-01-02T03:04:05.678901Z'::TIMESTAMPTZ";
        const value = made[name];
        return PLAIN[name] ?? (value === null ? 'NULL::VARCHAR' : sqlString(value ?? name));
      };
      const rows = events.map(
        (made, nth) =>
          `SELECT ${EVENT_COLUMNS.map((name) => `${literal(made, name)} AS ${name}`)
            .join(', ')
            .replace('7::BIGINT', `${nth}::BIGINT`)}`,
      );
      const reader = await connection.runAndReadAll(
        `SELECT line FROM (${csvRows('raw')(`(${rows.join(' UNION ALL ')})`)}) ORDER BY seq`,
      );
      const shown = (value: string | null) => (value?.startsWith('"') ? (JSON.parse(value) as string) : value);
      const expected = events.map((made: Record<string, string | null>, nth) =>
        EVENT_COLUMNS.map((name) => {
          if (name === 'seq') return nth;
          if (name === 'event_hash') return '00ab';
          if (name.endsWith('_at')) return '2026-01-02T03:04:05.678901Z';
          if (!(name in made)) return name;
          const value = made[name] as string | null;
          return JSON_COLUMNS.includes(name) ? shown(value) : value;
        }),
      );
      const cell = (value: string) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
      const lines = reader.getRowsJS().map(([line]) => line);
      expect(lines).toEqual(expected.map((cells) => `${cells.map((value) => cell(String(value ?? ''))).join(',')},`));
    }),
    { numRuns: 100 },
  );
});
