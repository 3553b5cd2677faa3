import { rm } from 'node:fs/promises';
import type { DuckDBType } from '@duckdb/node-api';
import { EVENT_COLUMNS, segmentsSql, sqlStrings, ZERO_HASH } from '../../journal/index.ts';
import { assertRows, chunksOf, type JobContext } from './context.ts';
import { AS_IT_IS, copyRows, rowsOf } from './database.ts';
import { csvRows, filterSql, jsonRows, orderedSql, storedRows } from './export-sql.ts';
import { OUTPUT_PATH } from './output.ts';
import type { ExportJob, ExportMeta, RowSummary } from './protocol.ts';
import { slicesOf } from './slices.ts';

type Context = JobContext<ExportMeta>;
/** A slice with what its first event links to. */
type Piece = { sql: string; beforeHash: string };

/** Events sorted at a time. Larger slices cost more memory, smaller ones more passes over a segment. */
const SLICE_EVENTS = { csv: 80_000, ndjson: 50_000, parquet: 40_000, arrow: 40_000 };
/** For the columns of an answer without events. */
const NOTHING: Piece = { sql: segmentsSql([]), beforeHash: ZERO_HASH };
const HEADER = `${[...EVENT_COLUMNS, 'prev_hash'].join(',')}\r\n`;
const BYTE_ORDER_MARK = '\uFEFF';
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
  if (job.format === 'ndjson') assertRows(await copyLines(job, context, jsonRows, `, '"}'`), rows);
  return { rows };
}

/** By the table log; with a filter, by a count that has nothing to do with the order and the text of the answer. */
async function expectedRows({ files, filter }: ExportJob, { connection }: Context): Promise<number> {
  const where = filterSql(filter);
  if (where === undefined) return files.durableSeq + 1;
  const events = segmentsSql(files.segments.map(({ path }) => path));
  return Number((await rowsOf(connection, `SELECT count(*) AS rows FROM (${events}) WHERE ${where}`))[0]?.rows);
}

async function* piecesOf({ files, format }: ExportJob, { connection }: Context): AsyncGenerator<Piece> {
  let beforeHash = ZERO_HASH;
  for await (const { sql, lastSeq } of slicesOf(connection, files, SLICE_EVENTS[format])) {
    yield { sql, beforeHash };
    const [last] = await rowsOf(
      connection,
      `SELECT lower(hex(event_hash)) AS event_hash FROM (${sql}) WHERE seq = ${lastSeq}`,
    );
    if (typeof last?.event_hash !== 'string') throw new Error(`seq ${lastSeq} is missing from its segment`);
    beforeHash = last.event_hash;
  }
}

async function writeCsv(job: ExportJob, rows: number, context: Context): Promise<void> {
  await context.output.add(job.profile === 'spreadsheet' ? BYTE_ORDER_MARK + HEADER : HEADER);
  await context.output.flush();
  assertRows(await copyLines(job, context, csvRows(job.profile), '', ", NEW_LINE '\\r\\n'"), rows);
}

/** DuckDB itself writes to the pipe: several times what a loop here could. */
async function copyLines(
  job: ExportJob,
  context: Context,
  rows: (source: string) => string,
  foot: string,
  options = '',
): Promise<number> {
  const filter = filterSql(job.filter);
  let copied = 0;
  for await (const { sql, beforeHash } of piecesOf(job, context)) {
    const lines = `SELECT concat(line, lower(hex(prev))${foot}) FROM (${orderedSql(rows, sql, filter, beforeHash)})`;
    copied += await copyRows(context.connection, `COPY (${lines}) TO '${OUTPUT_PATH}' (${AS_IT_IS}${options})`);
  }
  return copied;
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
  for await (const piece of piecesOf(job, context)) await add(piece);
  if (paths.length === 0) await add(NOTHING);
  const all = `SELECT * FROM read_parquet(${sqlStrings(paths)})`;
  assertRows(await copyRows(connection, `COPY (${all}) TO '${PARQUET_PATH}' (${PARQUET})`), rows);
  for (const path of paths) await rm(path);
}

function storedSql(job: ExportJob, { sql, beforeHash }: Piece): string {
  const ordered = orderedSql(storedRows, sql, filterSql(job.filter), beforeHash);
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
    for await (const piece of piecesOf(job, context)) {
      yield* chunksOf(connection, `SELECT ${select} FROM (${storedSql(job, piece)})`);
    }
  }
  const written = await writeArrow(columns, chunks(), output);
  assertRows(written.rows, rows);
  await written.end();
}
