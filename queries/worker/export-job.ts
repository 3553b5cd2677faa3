import { rm } from 'node:fs/promises';
import type { DuckDBType } from '@duckdb/node-api';
import { EVENT_COLUMNS, segmentsSql, sqlStrings, ZERO_HASH } from '../../journal/index.ts';
import { assertRows, chunksOf, type JobContext } from './context.ts';
import { copyRows, rowsOf } from './database.ts';
import { writeLines } from './export-lines.ts';
import { type Piece, piecesOf } from './export-pieces.ts';
import { csvRows, filterSql, jsonRows, orderedSql } from './export-sql.ts';
import type { ExportJob, ExportMeta, RowSummary } from './protocol.ts';
import { BYTE_ORDER_MARK } from './text-rows.ts';

type Context = JobContext<ExportMeta>;

/** Events sorted at a time. Larger slices cost more memory, smaller ones more passes over a segment. */
const SLICE_EVENTS = 40_000;
/** For the columns of an answer without events. */
const NOTHING: Piece = { sql: segmentsSql([]), beforeHash: ZERO_HASH, firstSeq: 0, lastSeq: -1 };
const HEADER = `${[...EVENT_COLUMNS, 'prev_hash'].join(',')}\r\n`;
const PARQUET = 'FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536';
const PARQUET_PATH = 'export.parquet';

/** Every event of the snapshot that passes the filter, by ascending seq, slice by slice: memory does not grow. */
export async function exportEvents(job: ExportJob, context: Context): Promise<RowSummary> {
  const rows = await expectedRows(job, context);
  // A Parquet file is made whole before it leaves: its footer comes last, and a reader needs it first.
  if (job.format === 'parquet') await makeParquet(job, rows, context);
  await context.ready({ rows });
  if (job.format === 'parquet') await context.output.file(PARQUET_PATH);
  if (job.format === 'arrow') await writeArrowEvents(job, rows, context);
  if (job.format === 'csv') await writeCsv(job, rows, context);
  if (job.format === 'ndjson') await writeJson(job, rows, context);
  return { rows };
}

/** By the table log; with a filter, by a count that has nothing to do with the order and the text of the answer. */
async function expectedRows({ files, filter }: ExportJob, { connection }: Context): Promise<number> {
  const where = filterSql(filter);
  if (where === undefined) return files.durableSeq + 1 - files.start.firstSeq;
  const events = segmentsSql(files.segments.map(({ path }) => path));
  return Number((await rowsOf(connection, `SELECT count(*) AS rows FROM (${events}) WHERE ${where}`))[0]?.rows);
}

async function writeCsv(job: ExportJob, rows: number, context: Context): Promise<void> {
  await context.output.add(job.profile === 'spreadsheet' ? BYTE_ORDER_MARK + HEADER : HEADER);
  await context.output.flush();
  const shape = { afterHash: ',', foot: '\r\n' };
  assertRows(await writeLines(job, context, { rows: csvRows(job.profile), ...shape }), rows);
}

async function writeJson(job: ExportJob, rows: number, context: Context): Promise<void> {
  const shape = { afterHash: '","prev_hash":"', foot: '"}\n' };
  assertRows(await writeLines(job, context, { rows: jsonRows, ...shape }), rows);
}

/** Every slice is sorted into a file of its own, and these are put end to end. */
async function makeParquet(job: ExportJob, rows: number, context: Context): Promise<void> {
  const { connection } = context;
  const paths: string[] = [];
  const add = async (piece: Piece) => {
    const path = `piece-${paths.length}.parquet`;
    await connection.run(`COPY (${storedSql(job, piece)}) TO '${path}' (${PARQUET})`);
    paths.push(path);
  };
  for await (const piece of piecesOf(connection, job.files, SLICE_EVENTS)) await add(piece);
  if (paths.length === 0) await add(NOTHING);
  const all = `SELECT * FROM read_parquet(${sqlStrings(paths)})`;
  assertRows(await copyRows(connection, `COPY (${all}) TO '${PARQUET_PATH}' (${PARQUET})`), rows);
  for (const path of paths) await rm(path);
}

function storedSql(job: ExportJob, { sql, beforeHash }: Piece): string {
  const ordered = orderedSql(sql, filterSql(job.filter), beforeHash);
  return `SELECT ${EVENT_COLUMNS.join(', ')}, prev AS prev_hash FROM (${ordered})`;
}

async function writeArrowEvents(job: ExportJob, rows: number, context: Context): Promise<void> {
  const { connection, output } = context;
  const { arrowColumn, writeArrow } = await import('./arrow.ts');
  const shape = await connection.run(`SELECT * FROM (${storedSql(job, NOTHING)}) LIMIT 0`);
  const types = shape.columnTypes();
  const columns = shape.columnNames().map((name, index) => arrowColumn(name, name, types[index] as DuckDBType));
  const select = columns.map(({ sql }) => sql).join(', ');
  async function* chunks(): AsyncGenerator<unknown[][]> {
    for await (const piece of piecesOf(connection, job.files, SLICE_EVENTS)) {
      yield* chunksOf(connection, `SELECT ${select} FROM (${storedSql(job, piece)})`);
    }
  }
  const written = await writeArrow(columns, chunks(), output);
  assertRows(written.rows, rows);
  await written.end();
}
