import type { DuckDBConnection } from '@duckdb/node-api';
import { sqlString } from '../../journal/index.ts';
import { rowsOf } from './database.ts';
import { InputError } from './failure.ts';

const POINTER = '/sql';

/**
 * Table functions that read nothing but their arguments, the views and harmless parts of the catalog. All others are
 * refused: those that read files, run SQL in a string, or show settings (which name the server's directories).
 */
const TABLE_FUNCTIONS = new Set([
  'duckdb_columns',
  'duckdb_functions',
  'duckdb_keywords',
  'duckdb_schemas',
  'duckdb_tables',
  'duckdb_types',
  'duckdb_views',
  'generate_series',
  'generate_subscripts',
  'icu_calendar_names',
  'json_each',
  'json_tree',
  'pg_timezone_names',
  'pragma_table_info',
  'pragma_version',
  'range',
  'regexp_split_to_table',
  'repeat',
  'repeat_row',
  'unnest',
]);
/** Functions and system views that show settings or run SQL in a string. */
const REFUSED_FUNCTIONS = new Set(['current_setting', 'getvariable', 'json_serialize_plan', 'write_log']);
const REFUSED_TABLES = new Set(['pg_settings', 'duckdb_logs']);

/**
 * What the sandbox lets through and yet should not run. It is the second wall: DuckDB's own settings are the first,
 * and hold where this one is mistaken.
 * @throws InputError unless the text is exactly one SELECT that names nothing refused
 */
export async function checkSql(connection: DuckDBConnection, sql: string): Promise<void> {
  const { count } = await parsed(connection, sql);
  if (count !== 1) throw new InputError(POINTER, `holds ${count} statements: send exactly one SELECT`);
  const [row] = await rowsOf(connection, `SELECT json_serialize_sql(${sqlString(sql)}) AS tree`);
  const tree = JSON.parse(String(row?.tree)) as { error: boolean; statements?: unknown };
  if (tree.error) throw new InputError(POINTER, 'is not a SELECT: queries only read');
  const fault = treeFault(tree.statements);
  if (fault !== undefined) throw new InputError(POINTER, fault);
}

async function parsed(connection: DuckDBConnection, sql: string): Promise<{ count: number }> {
  if (sql.includes('\0')) throw new InputError(POINTER, 'holds a NUL character');
  try {
    return await connection.extractStatements(sql);
  } catch (error) {
    const message = (error as Error).message.replace(/^Failed to extract statements: /, '');
    // DuckDB has no message for a text without a statement.
    throw new InputError(POINTER, message === 'Error in native callback' ? 'holds no statement' : message);
  }
}

type TreeNode = { type?: unknown; function_name?: unknown; function?: TreeNode; table_name?: unknown };

/** Walks DuckDB's syntax tree; without recursion, for it may be deep. */
function treeFault(statements: unknown): string | undefined {
  const left: unknown[] = [statements];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value !== 'object' || value === null) continue;
    const fault = nodeFault(value as TreeNode);
    if (fault !== undefined) return fault;
    left.push(...Object.values(value));
  }
  return undefined;
}

function nodeFault(node: TreeNode): string | undefined {
  if (node.type === 'TABLE_FUNCTION') {
    const name = lower(node.function?.function_name);
    if (!TABLE_FUNCTIONS.has(name)) return `may not use the table function ${name}`;
  }
  const name = lower(node.function_name);
  if (REFUSED_FUNCTIONS.has(name)) return `may not use the function ${name}`;
  if (node.type !== 'BASE_TABLE') return undefined;
  const table = lower(node.table_name);
  if (REFUSED_TABLES.has(table) || /[/\\]/.test(table)) return `may not read ${table}`;
  return undefined;
}

function lower(name: unknown): string {
  return typeof name === 'string' ? name.toLowerCase() : '';
}
