import { join } from 'node:path';
import { tableFromIPC } from 'apache-arrow';
import { parse } from 'csv-parse/sync';
import { beforeAll, describe, expect, it } from 'vitest';
import type { IndelibleError, SnapshotFiles } from '../../../journal/index.ts';
import { runSql, type SqlRequest } from '../../../queries/sql.ts';
import { bytesOf, LIMITS, textOf, useHarness } from './harness.ts';
import { makeJournal } from './journal-data.ts';

const harness = useHarness();
let files: SnapshotFiles;

beforeAll(async () => {
  files = await makeJournal(harness.connection, join(harness.dir, 'journal'), { events: 500, tail: 100, segments: 2 });
});

const run = (sql: string, more: Partial<SqlRequest> = {}) =>
  runSql(harness.pool, files, { sql, format: 'json', rowsMax: 1000, limits: LIMITS, ...more });
const json = async (sql: string, more: Partial<SqlRequest> = {}) => JSON.parse(await textOf(await run(sql, more)));
const failure = (sql: string, more: Partial<SqlRequest> = {}): Promise<IndelibleError> =>
  run(sql, more).then(
    () => {
      throw new Error(`${sql} did not fail`);
    },
    (error) => error,
  );

describe('a query', () => {
  it('sees every event of the snapshot once, sealed and not', async () => {
    const answer = await json('SELECT count(*) AS n, count(DISTINCT seq) AS d, max(seq) AS last FROM journal');
    expect(answer).toEqual({
      columns: [
        { name: 'n', type: 'BIGINT' },
        { name: 'd', type: 'BIGINT' },
        { name: 'last', type: 'BIGINT' },
      ],
      rows: [[500, 500, 499]],
      row_count: 1,
      truncated: false,
      snapshot: { committed_seq: 399, durable_seq: 499 },
    });
  });

  it('keeps the order it asked for', async () => {
    const { rows } = await json('SELECT seq FROM journal ORDER BY seq DESC');
    expect(rows.map(([seq]: [number]) => seq)).toEqual(Array.from({ length: 500 }, (_, index) => 499 - index));
  });

  it('is cut at the row limit, and that is known before the first byte', async () => {
    const cut = await run('SELECT seq FROM journal ORDER BY seq', { rowsMax: 7 });
    expect(cut.meta).toMatchObject({ rows: 7, truncated: true });
    expect(JSON.parse(await textOf(cut))).toMatchObject({ row_count: 7, truncated: true });
    const whole = await run('SELECT seq FROM journal ORDER BY seq LIMIT 7', { rowsMax: 7 });
    expect(whole.meta).toMatchObject({ rows: 7, truncated: false });
    await textOf(whole);
  });

  it('binds parameters by position', async () => {
    const positional = await json('SELECT ?::INTEGER + 1 AS a, ? AS b, ? IS NULL AS c, ? AS d', {
      params: [41, 'b', null, true],
    });
    expect(positional.rows).toEqual([[42, 'b', true, true]]);
    const numbered = await json('SELECT count(*) AS n FROM journal WHERE entity_type = $1 AND seq < $2', {
      params: ['file', 100],
    });
    const literal = await json("SELECT count(*) AS n FROM journal WHERE entity_type = 'file' AND seq < 100");
    expect(numbered.rows).toEqual(literal.rows);
  });

  it('may end in a semicolon or a comment', async () => {
    expect((await json('SELECT 1 AS a ; ')).rows).toEqual([[1]]);
    expect((await json('SELECT 1 AS a -- one')).rows).toEqual([[1]]);
    expect((await json('/* x */ SELECT 1 AS a')).rows).toEqual([[1]]);
  });

  it('may use other views, over their own files', async () => {
    const path = join(harness.dir, 'other.parquet');
    await harness.connection.run(`COPY (SELECT 'late' AS verdict, 7 AS seq) TO '${path}' (FORMAT parquet)`);
    const view = {
      name: 'verdicts',
      files: [path],
      sql: (names: readonly string[]) => `SELECT * FROM read_parquet('${names[0]}')`,
    };
    const answer = await json('SELECT verdict, event_id IS NOT NULL FROM journal JOIN verdicts USING (seq)', {
      views: [view],
    });
    expect(answer.rows).toEqual([['late', true]]);
  });

  it('of an empty journal has no rows and all columns', async () => {
    const empty = { ...files, committedSeq: -1, durableSeq: -1, segments: [], tail: [] };
    const answer = await runSql(harness.pool, empty, {
      sql: 'SELECT * FROM journal',
      format: 'json',
      rowsMax: 9,
      limits: LIMITS,
    });
    expect(answer.meta.columns).toHaveLength(17);
    expect(JSON.parse(await textOf(answer))).toMatchObject({ rows: [], row_count: 0 });
  });
});

const VALUES = `SELECT 9007199254740993 AS big, 170141183460469231731687303715884105727::HUGEINT AS huge, 12.50::DECIMAL(10,2) AS price,
  12345678901234567890.123::DECIMAL(30,3) AS exact, 0.1::DOUBLE AS tenth, 'nan'::DOUBLE AS nan, 'a"b,
c' AS text, '' AS empty, NULL AS nothing, true AS yes, '\\xAB\\x00'::BLOB AS bytes, TIMESTAMPTZ '2026-01-02 03:04:05.000006+01' AS at,
  DATE '2026-01-02' AS day, [1, 2] AS list, {'a': 'x'} AS struct, '{"n": 12345678901234567890,
 "m":1}'::JSON AS json, INTERVAL 1 DAY AS gap, 'infinity'::TIMESTAMP AS never`;

describe('values', () => {
  it('in JSON are exact or strings', async () => {
    const text = await textOf(await run(VALUES));
    expect(text).toContain('{"n": 12345678901234567890,  "m":1}');
    expect(JSON.parse(text).rows[0]).toEqual([
      '9007199254740993',
      '170141183460469231731687303715884105727',
      12.5,
      '12345678901234567890.123',
      0.1,
      'NaN',
      'a"b,\nc',
      '',
      null,
      true,
      'ab00',
      '2026-01-02T02:04:05.000006Z',
      '2026-01-02',
      [1, 2],
      { a: 'x' },
      { n: 12345678901234567000, m: 1 },
      '1 day',
      'infinity',
    ]);
  });

  it('in NDJSON are an object on one line', async () => {
    const text = await textOf(await run(`SELECT * FROM (${VALUES}), range(2)`, { format: 'ndjson' }));
    const lines = text.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines.map((line) => JSON.parse(line).range)).toEqual([0, 1]);
    expect(JSON.parse(lines[0] as string)).toMatchObject({ big: '9007199254740993', text: 'a"b,\nc', nothing: null });
  });

  it('in CSV follow RFC 4180', async () => {
    const text = await textOf(await run(VALUES, { format: 'csv' }));
    expect(text.startsWith('big,huge,price,exact,')).toBe(true);
    expect(text.endsWith('\r\n')).toBe(true);
    expect(text).toContain('\r\n9007199254740993,170141183460469231731687303715884105727,12.50,');
    expect(text).toContain('"a""b,\nc","",,true,ab00,2026-01-02T02:04:05.000006Z');
    const [row] = parse(text, { columns: true }) as Record<string, string>[];
    expect(row).toMatchObject({ text: 'a"b,\nc', empty: '', nothing: '', struct: '{"a":"x"}' });
  });

  it('in Arrow have its types', async () => {
    const table = tableFromIPC(
      await bytesOf(await run(`SELECT *, 5::UBIGINT AS u, 3::TINYINT AS t FROM (${VALUES})`, { format: 'arrow' })),
    );
    const types = Object.fromEntries(table.schema.fields.map(({ name, type }) => [name, String(type)]));
    expect(types).toMatchObject({
      big: 'Int64',
      huge: 'Decimal[38e0]',
      price: 'Decimal[10e+2]',
      tenth: 'Float64',
      text: 'Utf8',
      bytes: 'Binary',
      at: 'Timestamp<MICROSECOND, UTC>',
      day: 'Date32<DAY>',
      yes: 'Bool',
      list: 'Utf8',
      u: 'Uint64',
      t: 'Int32',
    });
    const row = table.get(0)?.toJSON() as Record<string, unknown>;
    expect(row.big).toBe(9007199254740993n);
    expect(row.text).toBe('a"b,\nc');
    expect(row.nothing).toBeNull();
    expect(row.never).toBeNull();
    expect([...(row.bytes as Uint8Array)]).toEqual([0xab, 0]);
    expect(table.getChild('at')?.data[0]?.values[0]).toBe(1767319445000006n);
    expect(row.list).toBe('[1,2]');
    expect(row.u).toBe(5n);
    const decimal = table.getChild('exact')?.data[0]?.values as Uint32Array;
    const words = new BigUint64Array(decimal.buffer, decimal.byteOffset, 2);
    expect((words[1] ?? 0n) * 2n ** 64n + (words[0] ?? 0n)).toBe(12345678901234567890123n);
  });

  it('in Arrow come in many batches, none lost', async () => {
    const sql =
      "SELECT range AS n, CASE WHEN range % 3 = 0 THEN NULL ELSE 'row ' || range END AS text FROM range(50000)";
    const table = tableFromIPC(await bytesOf(await run(sql, { format: 'arrow', rowsMax: 50_000 })));
    expect(table.numRows).toBe(50_000);
    expect(table.batches.length).toBeGreaterThan(1);
    expect(table.getChild('text')?.get(49_999)).toBe('row 49999');
    expect(table.getChild('text')?.get(49_998)).toBeNull();
    const none = tableFromIPC(await bytesOf(await run('SELECT 1 AS n WHERE false', { format: 'arrow' })));
    expect([none.numRows, none.schema.fields.length]).toEqual([0, 1]);
  });
});

describe('an error', () => {
  it('of the SQL names /sql and says what DuckDB says, without paths', async () => {
    for (const sql of [
      'SELECT nosuch FROM journal',
      'SELEC 1',
      'SELECT * FROM nosuch',
      "SELECT 'x'::INTEGER",
      '',
      '-- nothing',
    ]) {
      const error = await failure(sql);
      expect([sql, error.kind]).toEqual([sql, 'invalid']);
      expect(error.errors[0]?.pointer).toBe('/sql');
      expect(error.message).not.toContain(harness.dir);
      expect(error.message).not.toContain('indelible_answer');
    }
    expect((await failure('SELECT nosuch FROM journal')).message).toContain('nosuch');
  });

  it('that only the 500,000th row meets is an error of the request, never a short answer', async () => {
    const sql = "SELECT CASE WHEN range = 500000 THEN error('late') ELSE range END AS n FROM range(600000)";
    for (const format of ['json', 'ndjson', 'csv', 'arrow'] as const) {
      const error = await failure(sql, { format, rowsMax: 1_000_000 });
      expect([format, error.kind]).toEqual([format, 'invalid']);
      expect(error.message).toContain('late');
    }
  });

  it('of a parameter names it', async () => {
    expect((await failure('SELECT ?', { params: [{ a: 1 }] })).errors[0]?.pointer).toBe('/params/0');
    expect((await failure('SELECT ?, ?', { params: ['a', '\ud800'] })).errors[0]?.pointer).toBe('/params/1');
    expect((await failure('SELECT ?, ?', { params: ['a'] })).errors[0]?.pointer).toBe('/params');
    expect((await failure('SELECT 1', { params: ['a'] })).errors[0]?.pointer).toBe('/params');
  });
});
