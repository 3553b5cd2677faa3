import type { DuckDBConnection, DuckDBType } from '@duckdb/node-api';
import { assertRows, chunksOf, type JobContext } from './context.ts';
import { identifier, type TextKind, textColumn } from './columns.ts';
import { rowsOf } from './database.ts';
import { InputError } from './failure.ts';
import type { RowSummary, SqlJob, SqlMeta } from './protocol.ts';
import { checkSql } from './sql-check.ts';
import { ANSWER } from './sql-session.ts';
import { csvCell, jsonRenderer } from './text-rows.ts';

type AnswerColumn = { name: string; sql: string; type: DuckDBType };

/**
 * Runs a user's SELECT over a session's views. The result is made whole, as a table that may spill, before its first byte
 * leaves: an error of the SQL is then an error of the request and never a broken answer, and whether the row limit
 * cut it is known in time to say so.
 */
export async function answerSql(job: SqlJob, context: JobContext<SqlMeta>): Promise<RowSummary> {
  const { connection } = context;
  await checkSql(connection, job.sql);
  await materialise(connection, job);
  const answer = await describe(connection);
  const found = Number((await rowsOf(connection, `SELECT count(*) AS rows FROM ${ANSWER}`))[0]?.rows);
  const rows = Math.min(found, job.rowsMax);
  const columns = answer.map(({ name, type }) => ({ name, type: type.toString() }));
  const meta = { columns, rows, truncated: found > rows };
  await context.ready(meta);
  if (job.format === 'arrow') await writeArrowRows(answer, rows, context);
  else await writeTextRows(job, answer, meta, context);
  return { rows };
}

async function materialise(connection: DuckDBConnection, job: SqlJob): Promise<void> {
  const select = job.sql.replace(/[\s;]+$/, '');
  try {
    await connection.run(
      `CREATE TEMP TABLE ${ANSWER} AS SELECT * FROM (\n${select}\n) LIMIT ${job.rowsMax + 1}`,
      job.params,
    );
  } catch (error) {
    throw sqlFault(error);
  }
}

/** DuckDB's own message, without the line that quotes our wrapping. Memory is not the text's fault. */
function sqlFault(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  if (/^(Out of Memory|INTERNAL|FATAL|IO) Error/.test(message)) return error as Error;
  if (/^Invalid Input Error: Values were not provided for/.test(message)) {
    return new InputError('/params', message.replace('Invalid Input Error: ', ''));
  }
  if (message.includes('Can not bind to parameter')) {
    return new InputError('/params', message.replace('Failed to bind value: Invalid Input Error: ', ''));
  }
  return new InputError('/sql', message.replace(/\n+LINE \d+:[\s\S]*$/, ''));
}

async function describe(connection: DuckDBConnection): Promise<AnswerColumn[]> {
  const result = await connection.run(`SELECT * FROM ${ANSWER} LIMIT 0`);
  const types = result.columnTypes();
  return result.columnNames().map((name, index) => ({ name, sql: identifier(name), type: types[index] as DuckDBType }));
}

function answerRows(columns: readonly { sql: string }[], rows: number, { connection }: JobContext<SqlMeta>) {
  const select = columns.map(({ sql }) => sql).join(', ');
  // Not by LIMIT, which would gather all rows first.
  return chunksOf(connection, `SELECT ${select} FROM ${ANSWER} WHERE rowid < ${rows}`);
}

async function writeArrowRows(
  answer: readonly AnswerColumn[],
  rows: number,
  context: JobContext<SqlMeta>,
): Promise<void> {
  // Loaded only where it is asked for: every idle worker would hold it.
  const { arrowColumn, writeArrow } = await import('./arrow.ts');
  const columns = answer.map(({ name, sql, type }) => arrowColumn(name, sql, type));
  const written = await writeArrow(columns, answerRows(columns, rows, context), context.output);
  assertRows(written.rows, rows);
  await written.end();
}

async function writeTextRows(
  job: SqlJob,
  answer: readonly AnswerColumn[],
  meta: SqlMeta,
  context: JobContext<SqlMeta>,
): Promise<void> {
  const { output } = context;
  const columns = answer.map(({ sql, type }) => textColumn(sql, type));
  const kinds = columns.map(({ kind }) => kind);
  const { head, row, foot } = textFormat(job, meta, kinds);
  await output.add(head);
  let index = 0;
  for await (const values of answerRows(columns, meta.rows, context)) {
    const length = values[0]?.length ?? 0;
    for (let at = 0; at < length; at += 1) {
      const wait = output.add(row(values, at, index));
      if (wait) await wait;
      index += 1;
    }
  }
  assertRows(index, meta.rows);
  await output.add(foot);
  await output.flush();
}

type TextFormat = { head: string; row: (values: unknown[][], at: number, index: number) => string; foot: string };

function textFormat(job: SqlJob, meta: SqlMeta, kinds: readonly TextKind[]): TextFormat {
  const names = meta.columns.map(({ name }) => name);
  if (job.format === 'csv') {
    const line = (cells: readonly string[]) => `${cells.join(',')}\r\n`;
    const row = (values: unknown[][], at: number) => line(values.map((column) => csvCell(column[at])));
    return { head: line(names.map(csvCell)), row, foot: '' };
  }
  const renderers = kinds.map(jsonRenderer);
  const cell = (values: unknown[][], at: number, column: number) => renderers[column]?.(values[column]?.[at]) ?? '';
  if (job.format === 'ndjson') {
    const keys = names.map((name, column) => `${column === 0 ? '{' : ','}${JSON.stringify(name)}:`);
    return {
      head: '',
      row: (values, at) => `${keys.map((key, column) => key + cell(values, at, column)).join('')}}\n`,
      foot: '',
    };
  }
  return {
    head: `{"columns":${JSON.stringify(meta.columns)},"rows":[`,
    row: (values, at, index) =>
      `${index === 0 ? '' : ','}[${names.map((_, column) => cell(values, at, column)).join(',')}]`,
    foot: jsonFoot(job, meta),
  };
}

function jsonFoot({ files }: SqlJob, { rows, truncated }: SqlMeta): string {
  const snapshot = { committed_seq: files.committedSeq, durable_seq: files.durableSeq };
  return `],"row_count":${rows},"truncated":${truncated},"snapshot":${JSON.stringify(snapshot)}}\n`;
}
