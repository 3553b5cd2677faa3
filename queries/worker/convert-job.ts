import { createReadStream, createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { DuckDBConnection, DuckDBType } from '@duckdb/node-api';
import { IndelibleError, LIMITS, sqlString } from '../../journal/index.ts';
import type { JobContext } from './context.ts';
import { identifier, textColumn } from './columns.ts';
import { AS_IT_IS, confineDatabase, copyRows, lockDatabase } from './database.ts';
import { InputError } from './failure.ts';
import { OUTPUT_PATH } from './output.ts';
import type { ConvertFormat, ConvertJob, ConvertMeta, RowSummary } from './protocol.ts';

const UNPACKED_PATH = 'unpacked.csv';
/** DuckDB takes sixteen lines for a buffer, where it is not told. */
const CSV_BUFFER_BYTES = 2 * LIMITS.eventBytesMax;

/** Every row of a stranger's file as one JSON object on one line. */
export async function convertFile(
  job: ConvertJob,
  { connection, ready, tempBytes }: JobContext<ConvertMeta>,
): Promise<RowSummary> {
  const path = job.gzip ? await unpacked(job.path, tempBytes) : job.path;
  if (job.format === 'csv') await checkHeader(path);
  await confineDatabase(connection, [path, OUTPUT_PATH]);
  await lockDatabase(connection);
  try {
    const source = sourceSql(job.format, path);
    const columns = await columnsOf(connection, source);
    await ready({ columns: columns.map(({ name, type }) => ({ name, type: type.toString() })) });
    const members = columns.map(
      ({ name, type }, index) =>
        `${sqlString(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:`)}, coalesce(${jsonTextSql(identifier(name), type)}, 'null')`,
    );
    const lines = `SELECT concat(${members.join(', ')}, '}') FROM ${source}`;
    return { rows: await copyRows(connection, `COPY (${lines}) TO '${OUTPUT_PATH}' (${AS_IT_IS})`) };
  } catch (error) {
    throw fileFault(error, job.format);
  }
}

/** DuckDB reads gzip that is cut or damaged as if it ended there; zlib checks length and sum. */
async function unpacked(path: string, bytesMax: number): Promise<string> {
  let bytes = 0;
  const bounded = new Transform({
    transform(chunk: Buffer, _encoding, next) {
      bytes += chunk.length;
      const isOver = bytes > bytesMax;
      next(isOver ? new IndelibleError('too-large', `the file unpacks to more than ${bytesMax} bytes`) : null, chunk);
    },
  });
  try {
    await pipeline(createReadStream(path), createGunzip(), bounded, createWriteStream(UNPACKED_PATH));
  } catch (error) {
    if (error instanceof IndelibleError) throw error;
    throw new InputError('', `the file is not readable as gzip: ${(error as Error).message}`);
  }
  return UNPACKED_PATH;
}

/** DuckDB makes up a column for a file without any text. */
async function checkHeader(path: string): Promise<void> {
  for await (const chunk of createReadStream(path)) {
    if (/[^\r\n\uFEFF]/.test((chunk as Buffer).toString())) return;
  }
  throw new InputError('', 'the file is not readable as csv: it has no header');
}

function sourceSql(format: ConvertFormat, path: string): string {
  if (format === 'parquet') return `read_parquet([${sqlString(path)}], hive_partitioning=false)`;
  const dialect = `header=true, all_varchar=true, delim=',', quote='"', escape='"', comment='', skip=0, strict_mode=true`;
  // An empty cell is NULL, a quoted empty one the empty string.
  const cells = `nullstr='', allow_quoted_nulls=false, null_padding=false, ignore_errors=false`;
  return `read_csv([${sqlString(path)}], ${dialect}, ${cells}, compression='none', max_line_size=${LIMITS.eventBytesMax}, buffer_size=${CSV_BUFFER_BYTES})`;
}

async function columnsOf(connection: DuckDBConnection, source: string): Promise<{ name: string; type: DuckDBType }[]> {
  const result = await connection.run(`SELECT * FROM ${source} LIMIT 0`);
  const types = result.columnTypes();
  return result.columnNames().map((name, index) => ({ name, type: types[index] as DuckDBType }));
}

/** JSON text with numbers as exact as the file has them: the reader must not parse them into doubles. */
function jsonTextSql(column: string, type: DuckDBType): string {
  const { sql, kind } = textColumn(column, type);
  const text = `CAST(${sql} AS VARCHAR)`;
  if (kind === 'json') return sql;
  if (kind === 'text') return `CAST(to_json(${sql}) AS VARCHAR)`;
  return kind === 'double' ? `CASE WHEN isfinite(${column}) THEN ${text} ELSE concat('"', ${text}, '"') END` : text;
}

const NOT_CSV =
  'the file is not readable as csv: it must be UTF-8 with a header, commas, " doubled within quotes, as many cells in every record and one kind of line ends';

/** What DuckDB says of a broken file, without its advice on options that nobody here can set. */
function fileFault(error: unknown, format: ConvertFormat): Error {
  const message = error instanceof Error ? error.message : String(error);
  if (/^(Out of Memory|INTERNAL) Error|max_temp_directory_size/.test(message)) return error as Error;
  if (message.includes('Error when sniffing file')) return new InputError('', NOT_CSV);
  const [first = ''] = message.split(/\n\s*\n|\n\s*Possible (?:fixes|Solutions?)|\nLINE \d+:/i);
  return new InputError('', `the file is not readable as ${format}: ${first.trim().replaceAll(/\s*\n\s*/g, ' ')}`);
}
