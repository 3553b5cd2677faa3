import {
  BIGINT,
  BOOLEAN,
  type DuckDBConnection,
  DuckDBInstance,
  DuckDBScalarFunction,
  VARCHAR,
} from '@duckdb/node-api';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { sqlString } from '../../../journal/index.ts';
import { integersOf, visitTexts } from '../../../queries/worker/texts.ts';

let connection: DuckDBConnection;
let seen: [number, string][] = [];

beforeAll(async () => {
  connection = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect();
  connection.registerScalarFunction(
    DuckDBScalarFunction.create({
      name: 'see',
      parameterTypes: [BIGINT, VARCHAR],
      returnType: BOOLEAN,
      volatile: true,
      mainFunction: (_info, { chunk }, output) => {
        const integerOf = integersOf(chunk, 0);
        visitTexts(chunk, 1, (row, bytes, start, end) => {
          seen.push([integerOf(row), bytes.toString('utf8', start, end)]);
          output.setItem(row, true);
        });
        output.flush();
      },
    }),
  );
});

async function textsOf(source: string): Promise<[number, string][]> {
  seen = [];
  const reader = await connection.runAndReadAll(`SELECT count(*) FILTER (WHERE see(id, text)) FROM (${source})`);
  expect(Number(reader.getRowsJS()[0]?.[0])).toBe(seen.length);
  return seen.sort(([a], [b]) => a - b);
}

it('every text is seen with its integer, short or long, stored, made or repeated', async () => {
  // Twelve bytes are kept within the vector, thirteen elsewhere.
  const text = fc
    .string({ unit: 'grapheme', maxLength: 40 })
    .filter((value) => value.isWellFormed() && !value.includes('\0'));
  const expression = fc.constantFrom(
    'text',
    "concat('<', text, '>')",
    "repeat('0123456789', 30) || text",
    "'one for all, and all for one'",
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { minLength: 1, maxLength: 50 }),
      expression,
      fc.integer({ min: -(2 ** 52), max: 2 ** 52 }),
      async (texts, sql, first) => {
        const rows = texts.map((value, index) => `(${first + index}::BIGINT, ${sqlString(value)})`).join(', ');
        const source = `SELECT id, ${sql} AS text FROM (VALUES ${rows}) AS made(id, text)`;
        const expected = texts.map((value, index) => {
          if (sql.startsWith('concat')) return [first + index, `<${value}>`];
          if (sql.startsWith('repeat')) return [first + index, `${'0123456789'.repeat(30)}${value}`];
          return [first + index, sql === 'text' ? value : 'one for all, and all for one'];
        });
        expect(await textsOf(source)).toEqual(expected);
      },
    ),
    { numRuns: 100 },
  );
});

it('many chunks of texts of all lengths are seen whole', async () => {
  const found = await textsOf("SELECT range AS id, repeat('ab', (range % 700)::INTEGER) AS text FROM range(20000)");
  expect(found).toHaveLength(20_000);
  for (const [id, text] of found)
    if (text !== 'ab'.repeat(id % 700)) throw new Error(`text ${id} is ${text.length} long`);
});
