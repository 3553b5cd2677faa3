import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { sqlStrings } from '../../journal/index.ts';
import type { WorkerLimits } from './protocol.ts';

const SPILL_DIR = 'spill';

/** COPY options for text that is already a line. */
export const AS_IT_IS = "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\\x01'";

export type Database = { instance: DuckDBInstance; connection: DuckDBConnection };

/** DuckDB in memory with nothing but its limits still to set: made before there is a job. */
export async function openDatabase(): Promise<Database> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  await connection.run('SELECT 1');
  return { instance, connection };
}

/**
 * For reading the tail DuckDB sets aside two of the longest possible lines for each thread. They count against its
 * memory limit, and are hardly ever touched: resident memory, which the service watches, stays as it was.
 */
const TAIL_BUFFER_BYTES = 2 * 64 * 1024 * 1024;

/** What every job gets, trusted or not. */
export async function limitDatabase(
  connection: DuckDBConnection,
  limits: WorkerLimits,
  readsTail: boolean,
): Promise<void> {
  const memoryBytes = limits.memoryBytes + (readsTail ? limits.threads * TAIL_BUFFER_BYTES : 0);
  await setAll(connection, [
    `threads = ${limits.threads}`,
    `memory_limit = '${memoryBytes} B'`,
    `temp_directory = '${SPILL_DIR}'`,
    `max_temp_directory_size = '${limits.tempBytes} B'`,
    "GLOBAL TimeZone = 'UTC'",
    'autoinstall_known_extensions = false',
    'autoload_known_extensions = false',
    'allow_community_extensions = false',
    // Files are read once, and never change: keeping their bytes only costs memory.
    'enable_external_file_cache = false',
  ]);
}

/**
 * From here on DuckDB opens these files and its spill directory, and no other; nothing turns that back.
 * It could still write what it may read: whoever passes SQL on must allow SELECT only.
 */
export async function confineDatabase(connection: DuckDBConnection, paths: readonly string[]): Promise<void> {
  await setAll(connection, [`allowed_paths = ${sqlStrings(paths)}`, 'enable_external_access = false']);
}

/** Before `confineDatabase`: what lies in this directory of the worker's own may change while the database is open. */
export async function allowDirectory(connection: DuckDBConnection, directory: string): Promise<void> {
  await setAll(connection, [`allowed_directories = ${sqlStrings([directory])}`]);
}

/** Footers are read once for each file: right where a database serves several queries. */
export async function keepFooters(connection: DuckDBConnection): Promise<void> {
  await setAll(connection, ['parquet_metadata_cache = true']);
}

export async function lockDatabase(connection: DuckDBConnection): Promise<void> {
  await setAll(connection, ['lock_configuration = true']);
}

async function setAll(connection: DuckDBConnection, settings: readonly string[]): Promise<void> {
  for (const setting of settings) await connection.run(`SET ${setting}`);
}

/** Rows of a small result. */
export async function rowsOf(connection: DuckDBConnection, sql: string): Promise<Record<string, unknown>[]> {
  return (await connection.runAndReadAll(sql)).getRowObjectsJS();
}

/** Runs a COPY and gives its row count. It throws where it fails, however late: a stream of DuckDB's would just end. */
export async function copyRows(connection: DuckDBConnection, copy: string): Promise<number> {
  const reader = await connection.runAndReadAll(copy);
  return Number(reader.getRowsJS()[0]?.[0] ?? 0);
}
