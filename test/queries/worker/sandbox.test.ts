import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { IndelibleError, SnapshotFiles } from '../../../journal/index.ts';
import { runSql } from '../../../queries/sql.ts';
import { LIMITS, textOf, useHarness } from './harness.ts';
import { makeJournal } from './journal-data.ts';

const harness = useHarness();
let files: SnapshotFiles;
let outside: string;
let before: Map<string, string>;

const contents = () =>
  new Map(
    readdirSync(join(harness.dir, 'journal')).map((name) => [
      name,
      readFileSync(join(harness.dir, 'journal', name)).toString('base64'),
    ]),
  );

beforeAll(async () => {
  files = await makeJournal(harness.connection, join(harness.dir, 'journal'), { events: 300, tail: 50, segments: 2 });
  outside = join(harness.dir, 'outside.txt');
  writeFileSync(outside, 'another workspace');
  before = contents();
});

const ask = async (sql: string, limits: Partial<typeof LIMITS> = {}): Promise<string | IndelibleError> => {
  try {
    const request = { sql, format: 'json' as const, rowsMax: 1000, limits: { ...LIMITS, ...limits } };
    return await textOf(await runSql(harness.pool, files, request));
  } catch (error) {
    return error as IndelibleError;
  }
};

/** SQL for the names as the worker sees them, and as the server does. */
const HOSTILE: [string, () => string][] = [
  ['COPY to a new file', () => `COPY (SELECT 1) TO '${harness.dir}/written.csv'`],
  ['COPY over a segment', () => `COPY (SELECT 1) TO 'journal/0.parquet'`],
  ['COPY over a segment by its real name', () => `COPY (SELECT 1) TO '${files.segments[0]?.path}'`],
  ['EXPLAIN ANALYZE of a COPY', () => `EXPLAIN ANALYZE COPY (SELECT 1) TO 'journal/0.parquet'`],
  ['EXPLAIN', () => 'EXPLAIN SELECT * FROM journal'],
  ['a COPY inside query()', () => `SELECT * FROM query('COPY (SELECT 1) TO ''journal/0.parquet''')`],
  ['SQL in a string', () => `SELECT * FROM query('SELECT * FROM duckdb_settings()')`],
  ['a table named in a string', () => `SELECT * FROM query_table('pg_settings')`],
  ['SQL as a syntax tree', () => `SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))`],
  ['a plan that names files', () => `SELECT json_serialize_plan('SELECT * FROM journal')`],
  ['read_text', () => `SELECT * FROM read_text('${outside}')`],
  ['read_blob', () => `SELECT * FROM read_blob('${outside}')`],
  ['read_csv', () => `SELECT * FROM read_csv('${outside}')`],
  ['read_json', () => `SELECT * FROM read_json('${outside}')`],
  ['read_parquet', () => `SELECT * FROM read_parquet('${files.segments[0]?.path}')`],
  ['read_text in a subquery', () => `SELECT (SELECT content FROM read_text('${outside}'))`],
  ['read_text in a CTE', () => `WITH t AS MATERIALIZED (SELECT * FROM Read_Text('${outside}')) SELECT * FROM t`],
  ['read_text qualified', () => `SELECT * FROM system.main.read_text('${outside}')`],
  ['a file as a table', () => `SELECT * FROM '${outside}'`],
  ['a segment as a table', () => `SELECT * FROM "journal/0.parquet"`],
  ['parquet_metadata', () => `SELECT * FROM parquet_metadata('journal/0.parquet')`],
  ['glob', () => `SELECT * FROM glob('/*')`],
  ['glob of its own directory', () => `SELECT * FROM glob('*')`],
  ['sniff_csv', () => `SELECT * FROM sniff_csv('${outside}')`],
  ['completion of file names', () => `SELECT * FROM sql_auto_complete('SELECT * FROM ''/')`],
  ['getenv', () => `SELECT getenv('PATH')`],
  ['settings', () => 'SELECT * FROM duckdb_settings()'],
  ['settings by another name', () => 'SELECT * FROM pg_catalog.pg_settings'],
  ['settings by name', () => `SELECT current_setting('allowed_paths')`],
  ['settings qualified', () => `SELECT system.main.Current_Setting('temp_directory')`],
  ['secrets', () => 'SELECT * FROM duckdb_secrets()'],
  ['extensions', () => 'SELECT * FROM duckdb_extensions()'],
  ['temporary files', () => 'SELECT * FROM duckdb_temporary_files()'],
  ['a scan of raw memory', () => 'SELECT * FROM arrow_scan(1, 2, 3)'],
  ['PRAGMA', () => 'PRAGMA database_list'],
  ['PRAGMA with a value', () => `PRAGMA memory_limit='100GB'`],
  ['CALL', () => 'CALL pragma_version()'],
  ['ATTACH', () => `ATTACH '${harness.dir}/x.db' AS x`],
  ['INSTALL', () => 'INSTALL httpfs'],
  ['LOAD', () => 'LOAD httpfs'],
  ['SET', () => 'SET enable_external_access = true'],
  ['RESET', () => 'RESET lock_configuration'],
  ['two statements', () => 'SELECT 1; SELECT 2'],
  ['two statements, one hidden', () => `SELECT 1; DROP VIEW journal; --`],
  ['a way out of the subquery', () => 'SELECT 1) UNION ALL SELECT * FROM (SELECT 2'],
  ['a way out through a comment', () => 'SELECT 1 /*'],
  ['DROP', () => 'DROP VIEW journal'],
  ['CREATE', () => 'CREATE TABLE t AS SELECT 1'],
  ['CREATE MACRO', () => 'CREATE MACRO f(x) AS x'],
  ['INSERT', () => 'INSERT INTO journal SELECT * FROM journal'],
  ['DELETE', () => 'DELETE FROM journal'],
  ['UPDATE', () => `UPDATE journal SET actor = 'x'`],
  ['data changes in a CTE', () => 'WITH x AS (DELETE FROM journal RETURNING *) SELECT * FROM x'],
  ['EXPORT DATABASE', () => `EXPORT DATABASE '${harness.dir}/dump'`],
  ['PREPARE', () => 'PREPARE p AS SELECT 1'],
  ['a transaction', () => 'BEGIN'],
  ['CHECKPOINT', () => 'CHECKPOINT'],
  ['USE', () => 'USE temp'],
  ['VACUUM', () => 'VACUUM'],
  ['the hidden file name', () => 'SELECT filename FROM journal'],
  ['the log', () => `SELECT write_log('x')`],
];

describe('a hostile query', () => {
  it.each(HOSTILE)('gets nothing from %s', async (_name, sql) => {
    const answer = await ask(sql());
    expect(answer).toMatchObject({ kind: 'invalid', errors: [{ pointer: '/sql' }] });
    const { message } = answer as IndelibleError;
    expect(message.replaceAll(sql(), '')).not.toContain('another workspace');
    // A path may only come back where the caller said it.
    if (!sql().includes(harness.dir)) expect(message).not.toContain(harness.dir);
  });

  it('left every file as it was, and no new one', () => {
    expect(contents()).toEqual(before);
    for (const name of ['written.csv', 'x.db', 'dump']) expect(existsSync(join(harness.dir, name))).toBe(false);
  });
});

describe('what a query may see', () => {
  it.each([
    ['SELECT sql FROM duckdb_views()'],
    ['SELECT * FROM sqlite_master'],
    ['SELECT * FROM information_schema.tables'],
    ['SELECT * FROM duckdb_tables()'],
    ['SELECT * FROM duckdb_databases'],
    ['SELECT * FROM pg_class'],
    ['SELECT * FROM pg_views'],
    ['SELECT * FROM (SHOW ALL TABLES)'],
    ['DESCRIBE journal'],
    ['SUMMARIZE SELECT seq FROM journal'],
    ['SELECT current_query()'],
    ["SELECT * FROM pragma_table_info('journal')"],
  ])('of the catalog names no path of the server: %s', async (sql) => {
    const answer = await ask(sql);
    expect(typeof answer).toBe('string');
    expect(answer).not.toContain(harness.dir);
    expect(answer).not.toContain('/tmp');
  });
});

describe('a greedy query', () => {
  it.each([
    ['one huge value', "SELECT repeat('x', 2000000000)"],
    ['a huge list', 'SELECT list(a.range) FROM range(100000000) a'],
    ['a join without end', 'SELECT count(*) FROM range(1000000000000) a, range(1000000000000) b'],
    [
      'a recursion without end',
      'WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT count(*) FROM t',
    ],
    [
      'a sort of everything',
      "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY repeat('x', 500) || range) AS n FROM range(50000000))",
    ],
  ])('is stopped: %s', async (_name, sql) => {
    const answer = await ask(sql, { timeMs: 5_000 });
    expect(['timeout', 'too-large']).toContain((answer as IndelibleError).kind);
  });

  it('is cut when it only asks for too many rows', async () => {
    const answer = await ask('SELECT range FROM range(2000000)');
    expect(JSON.parse(answer as string)).toMatchObject({ row_count: 1000, truncated: true });
  });

  it('may not be nested without end', async () => {
    const answer = await ask(`SELECT ${'('.repeat(20_000)}1${')'.repeat(20_000)}`);
    expect(['invalid', 'too-large', 'timeout', 'unavailable']).toContain((answer as IndelibleError).kind);
  });

  it('leaves the next one unharmed', async () => {
    expect(JSON.parse((await ask('SELECT count(*) AS n FROM journal')) as string).rows).toEqual([[300]]);
  });
});
