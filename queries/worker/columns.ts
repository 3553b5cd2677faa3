import { type DuckDBDecimalType, type DuckDBType, DuckDBTypeId } from '@duckdb/node-api';

/**
 * How a column of any type is fetched and what its values then are:
 * boolean, double: as JavaScript's; integer: number or bigint; decimal: text of the number; text: string;
 * json: JSON text; null for NULL in all.
 */
export type TextKind = 'boolean' | 'integer' | 'double' | 'decimal' | 'text' | 'json';

const INTEGERS = new Set([
  DuckDBTypeId.TINYINT,
  DuckDBTypeId.SMALLINT,
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.UTINYINT,
  DuckDBTypeId.USMALLINT,
  DuckDBTypeId.UINTEGER,
  DuckDBTypeId.UBIGINT,
  DuckDBTypeId.HUGEINT,
  DuckDBTypeId.UHUGEINT,
]);
const DOUBLES = new Set([DuckDBTypeId.FLOAT, DuckDBTypeId.DOUBLE]);
const TIMESTAMPS = new Set([
  DuckDBTypeId.TIMESTAMP,
  DuckDBTypeId.TIMESTAMP_S,
  DuckDBTypeId.TIMESTAMP_MS,
  DuckDBTypeId.TIMESTAMP_NS,
  DuckDBTypeId.TIMESTAMP_TZ,
]);
const NESTED = new Set([
  DuckDBTypeId.LIST,
  DuckDBTypeId.STRUCT,
  DuckDBTypeId.MAP,
  DuckDBTypeId.ARRAY,
  DuckDBTypeId.UNION,
]);

/** A column name as an SQL identifier. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function isTimestamp(type: DuckDBType): boolean {
  return TIMESTAMPS.has(type.typeId);
}

/** Columns that come as JSON text of their own. */
export function isJson(type: DuckDBType): boolean {
  return type.alias === 'JSON' || NESTED.has(type.typeId);
}

/** Expression and kind for an answer in text. Timestamps become RFC 3339 in UTC (the session's zone), BLOBs hex. */
export function textColumn(column: string, type: DuckDBType): { sql: string; kind: TextKind } {
  const { typeId } = type;
  if (isJson(type)) return { sql: jsonSql(column, type), kind: 'json' };
  if (typeId === DuckDBTypeId.BOOLEAN) return { sql: column, kind: 'boolean' };
  if (INTEGERS.has(typeId)) return { sql: column, kind: 'integer' };
  if (DOUBLES.has(typeId)) return { sql: column, kind: 'double' };
  if (typeId === DuckDBTypeId.DECIMAL) return { sql: `CAST(${column} AS VARCHAR)`, kind: 'decimal' };
  if (typeId === DuckDBTypeId.BLOB) return { sql: `lower(hex(${column}))`, kind: 'text' };
  if (isTimestamp(type)) return { sql: timeSql(column, type), kind: 'text' };
  return { sql: typeId === DuckDBTypeId.VARCHAR ? column : `CAST(${column} AS VARCHAR)`, kind: 'text' };
}

/**
 * JSON on one line. Line breaks in JSON text can only stand between its tokens; json() would round long numbers.
 * A column that a file merely declares to be JSON may be none: its text is then a JSON string.
 */
function jsonSql(column: string, type: DuckDBType): string {
  if (type.alias !== 'JSON') return oneLineSql(`CAST(to_json(${column}) AS VARCHAR)`);
  const text = `CAST(${column} AS VARCHAR)`;
  const quoted = `CAST(to_json(${text}) AS VARCHAR)`;
  return `CASE WHEN ${column} IS NULL THEN NULL WHEN json_valid(${text}) THEN ${oneLineSql(text)} ELSE ${quoted} END`;
}

function oneLineSql(text: string): string {
  return `replace(replace(${text}, chr(10), ' '), chr(13), ' ')`;
}

/** Infinite timestamps have no RFC 3339 form and keep their name. */
export function timeSql(column: string, type: DuckDBType): string {
  const time = type.typeId === DuckDBTypeId.TIMESTAMP_TZ ? column : `CAST(${column} AS TIMESTAMP)`;
  return `CASE WHEN isfinite(${time}) THEN strftime(${time}, '%Y-%m-%dT%H:%M:%S.%fZ') ELSE CAST(${column} AS VARCHAR) END`;
}

export function decimalOf(type: DuckDBType): { width: number; scale: number } | undefined {
  return type.typeId === DuckDBTypeId.DECIMAL ? (type as DuckDBDecimalType) : undefined;
}
