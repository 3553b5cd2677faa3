import type { DuckDBType } from '@duckdb/node-api';
import { EVENT_COLUMNS, segmentsSql, sqlStrings, ZERO_HASH } from '../../journal/index.ts';
import { arrowColumn } from './arrow.ts';
import { assertRows, chunksOf, type JobContext, writeArrow } from './batches.ts';
import { type Cluster, clustersOf } from './clusters.ts';
import { AS_IT_IS, copyRows, rowsOf } from './database.ts';
import { csvRows, filterSql, jsonRows, orderedSql, storedRows } from './export-sql.ts';
import { OUTPUT_PATH } from './output.ts';
import type { ExportJob, ExportMeta, RowSummary } from './protocol.ts';

type Context = JobContext<ExportMeta>;
/** A cluster and its filtered rows in order; `rows` of them by a count of their own. */
type Piece = { cluster: Cluster; rows: number; beforeHash: string };

/** For the columns of an answer without events. */
const NOTHING: Piece = { cluster: { sql: segmentsSql([]), firstSeq: 0, lastSeq: -1 }, rows: 0, beforeHash: ZERO_HASH };

const HEADER = `${[...EVENT_COLUMNS, 'prev_hash'].join(',')}\r\n`;
const BYTE_ORDER_MARK = '\uFEFF';
const PARQUET = 'FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536';
const PARQUET_PATH = 'export.parquet';

/** Every event of the snapshot that passes the filter, by ascending seq, piece by piece: memory does not grow. */
export async function exportEvents(job: ExportJob, context: Context): Promise<RowSummary> {
  const pieces = await piecesOf(job, context);
  const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
  if (filterSql(job.filter) === undefined) assertRows(rows, job.files.durableSeq + 1);
  // A Parquet file is made whole before it leaves: its footer comes last, and a reader needs it first.
  if (job.format === 'parquet') await writeParquet(job, pieces, context);
  await context.ready({ rows });
  if (job.format === 'csv') return assertRows(await copyCsv(job, pieces, context), rows);
  if (job.format === 'ndjson') return assertRows(await copyLines(job, pieces, context, jsonRows, `, '"}'`), rows);
  if (job.format === 'arrow') return writeArrowEvents(job, pieces, rows, context);
  await context.output.file(PARQUET_PATH);
  return { rows };
}

async function piecesOf(job: ExportJob, { connection }: Context): Promise<Piece[]> {
  const where = filterSql(job.filter);
  const pieces: Piece[] = [];
  let beforeHash = ZERO_HASH;
  for (const cluster of clustersOf(job.files)) {
    const [row] = await rowsOf(
      connection,
      `SELECT count(*) FILTER (WHERE ${where ?? 'true'}) AS rows, lower(hex(any_value(event_hash) FILTER (WHERE seq = ${cluster.lastSeq}))) AS last_hash FROM (${cluster.sql})`,
    );
    pieces.push({ cluster, rows: Number(row?.rows), beforeHash });
    if (typeof row?.last_hash !== 'string') throw new Error(`seq ${cluster.lastSeq} is missing from its segment`);
    beforeHash = row.last_hash;
  }
  return pieces.filter((piece) => piece.rows > 0);
}

async function copyCsv(job: ExportJob, pieces: readonly Piece[], context: Context): Promise<number> {
  await context.output.add(job.profile === 'spreadsheet' ? BYTE_ORDER_MARK + HEADER : HEADER);
  await context.output.flush();
  return copyLines(job, pieces, context, csvRows(job.profile), '', ", NEW_LINE '\\r\\n'");
}

/** DuckDB itself writes to the pipe: five times what a loop here could. */
async function copyLines(
  job: ExportJob,
  pieces: readonly Piece[],
  { connection }: Context,
  rows: (source: string) => string,
  foot: string,
  options = '',
): Promise<number> {
  let copied = 0;
  for (const piece of pieces) {
    const ordered = orderedSql(rows, piece.cluster.sql, filterSql(job.filter), piece.beforeHash);
    const lines = `SELECT concat(line, lower(hex(prev))${foot}) FROM (${ordered})`;
    copied += await copyRows(connection, `COPY (${lines}) TO '${OUTPUT_PATH}' (${AS_IT_IS}${options})`);
  }
  return copied;
}

/** One file, in order. Many pieces are sorted into a file each and then put end to end. */
async function writeParquet(job: ExportJob, pieces: readonly Piece[], { connection }: Context): Promise<void> {
  const parts = pieces.length > 0 ? pieces : [NOTHING];
  const paths = parts.map((_, index) => (parts.length === 1 ? PARQUET_PATH : `piece-${index}.parquet`));
  for (const [index, piece] of parts.entries()) {
    const copied = await copyRows(connection, `COPY (${storedSql(job, piece)}) TO '${paths[index]}' (${PARQUET})`);
    assertRows(copied, piece.rows);
  }
  if (parts.length === 1) return;
  const all = `SELECT * FROM read_parquet(${sqlStrings(paths)})`;
  const rows = parts.reduce((sum, piece) => sum + piece.rows, 0);
  assertRows(await copyRows(connection, `COPY (${all}) TO '${PARQUET_PATH}' (${PARQUET})`), rows);
}

function storedSql(job: ExportJob, { cluster, beforeHash }: Piece): string {
  const ordered = orderedSql(storedRows, cluster.sql, filterSql(job.filter), beforeHash);
  return `SELECT ${EVENT_COLUMNS.join(', ')}, prev AS prev_hash FROM (${ordered})`;
}

async function writeArrowEvents(
  job: ExportJob,
  pieces: readonly Piece[],
  rows: number,
  { connection, output }: Context,
): Promise<RowSummary> {
  const shape = await connection.run(`SELECT * FROM (${storedSql(job, NOTHING)}) LIMIT 0`);
  const types = shape.columnTypes();
  const columns = shape.columnNames().map((name, index) => arrowColumn(name, name, types[index] as DuckDBType));
  const select = columns.map(({ sql }) => sql).join(', ');
  async function* chunks(): AsyncGenerator<unknown[][]> {
    for (const piece of pieces) {
      yield* chunksOf(connection, `SELECT ${select} FROM (${storedSql(job, piece)})`, piece.rows);
    }
  }
  await writeArrow(columns, chunks(), output);
  return { rows };
}
