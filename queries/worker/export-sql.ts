import { EVENT_COLUMNS, lowerEscapesSql, sqlString, utcTextSql } from '../../journal/index.ts';
import { type EventFilter, FILTER_COLUMNS, isStorable } from '../filters.ts';
import type { ExportProfile } from './protocol.ts';
import { FORMULA_STARTS } from './text-rows.ts';

/** JSON text in the table; the others are plain strings, times, the position or the hash. */
const JSON_COLUMNS = new Set<string>(['old_value', 'new_value', 'metadata']);
const TIME_COLUMNS = new Set<string>(['occurred_at', 'recorded_at']);
const OPTIONAL_COLUMNS = new Set<string>([...JSON_COLUMNS, 'actor_type', 'source', 'correlation_id']);
/** Columns in whose cells nothing ever needs quoting. */
const PLAIN_COLUMNS = new Set<string>(['seq', 'occurred_at', 'recorded_at', 'event_hash']);

const FORMULA_STARTS_SQL = FORMULA_STARTS.map(sqlString).join(', ');

/** The filter as an SQL condition; undefined where it lets everything through. */
export function filterSql(filter: EventFilter): string | undefined {
  const terms: string[] = [];
  for (const [column, key] of FILTER_COLUMNS) {
    const text = filter[key];
    if (text === undefined) continue;
    terms.push(isStorable(text) ? `${column} = ${sqlString(text)}` : 'false');
  }
  const time = (comparison: string, value: string | undefined) => {
    if (value !== undefined) terms.push(`occurred_at ${comparison} CAST(${sqlString(value)} AS TIMESTAMPTZ)`);
  };
  time('>=', filter.from);
  time('<', filter.to);
  time('<=', filter.until);
  return terms.length > 0 ? terms.join(' AND ') : undefined;
}

/** SELECT over a relation of events that keeps seq and event_hash. */
export type RowsSql = (source: string) => string;

/**
 * The events of a slice by ascending seq as they are stored, with `prev`, the BLOB event_hash at seq − 1.
 * @param slice SELECT of the slice's events
 * @param beforeHash event_hash before the slice's first event, hex
 */
export function orderedSql(slice: string, filter: string | undefined, beforeHash: string): string {
  const columns = EVENT_COLUMNS.join(', ');
  const before = `lag(event_hash, 1, unhex('${beforeHash}')) OVER (ORDER BY seq) AS prev`;
  // A window without partitions gives its rows in its order: no second sort.
  if (filter === undefined) return `SELECT ${columns}, ${before} FROM (${slice})`;
  // The event before may not be among the filtered ones.
  const links = `SELECT seq, ${before} FROM (${slice})`;
  return `SELECT ${columns}, prev FROM (SELECT * FROM (${slice}) WHERE ${filter}) JOIN (${links}) USING (seq) ORDER BY seq`;
}

/** `line`: the CSV record of an event up to prev_hash. */
export function csvRows(profile: ExportProfile): RowsSql {
  const texts = EVENT_COLUMNS.filter((name) => !PLAIN_COLUMNS.has(name) && !JSON_COLUMNS.has(name));
  // Made once, in a subquery: both branches below use them.
  const cells = EVENT_COLUMNS.map((name) => `${cellSql(name, profile)} AS ${name}`).join(', ');
  const record = (cell: (name: string) => string) => `concat(${EVENT_COLUMNS.map(cell).join(", ',', ")}, ',')`;
  const quoted = (name: string) => (texts.some((text) => text === name) ? quotedSql(name) : name);
  // One look at all texts together: hardly any event has a cell to quote.
  const isClean = `NOT (${quotingNeeded(`concat(${texts.join(', ')})`)})`;
  const line = `CASE WHEN ${isClean} THEN ${record(String)} ELSE ${record(quoted)} END`;
  return (source) =>
    `SELECT seq, hash_bytes AS event_hash, ${line} AS line FROM (SELECT event_hash AS hash_bytes, ${cells} FROM ${source})`;
}

/** contains() four times costs half of one regular expression. */
function quotingNeeded(text: string): string {
  return ["'\"'", "','", 'chr(10)', 'chr(13)'].map((what) => `contains(${text}, ${what})`).join(' OR ');
}

function quotedSql(text: string): string {
  return `CASE WHEN ${quotingNeeded(text)} THEN concat('"', replace(${text}, '"', '""'), '"') ELSE ${text} END`;
}

/** Plain cells as they go out, JSON cells quoted where they need it, text cells before quoting. */
function cellSql(name: string, profile: ExportProfile): string {
  if (name === 'seq') return 'seq';
  if (name === 'event_hash') return 'lower(hex(event_hash))';
  if (TIME_COLUMNS.has(name)) return utcTextSql(name);
  if (!JSON_COLUMNS.has(name)) return profile === 'spreadsheet' ? defusedSql(name) : name;
  return `CASE WHEN starts_with(${name}, '"') THEN ${jsonStringCellSql(name, profile)} ELSE ${quotedSql(name)} END`;
}

/** A JSON string as a cell. Without a backslash in it, it holds no quote and no line break. */
function jsonStringCellSql(name: string, profile: ExportProfile): string {
  if (profile === 'spreadsheet') return quotedSql(`(${defusedSql(`(${name} ->> '$')`)})`);
  const bare = `trim(${name}, '"')`;
  // A comma alone: its JSON quotes are the quotes that the cell needs.
  const withComma = `CASE WHEN contains(${name}, ',') THEN ${name} ELSE ${bare} END`;
  return `CASE WHEN contains(${name}, '\\') THEN ${quotedSql(`(${name} ->> '$')`)} ELSE ${withComma} END`;
}

function defusedSql(text: string): string {
  return `CASE WHEN left(${text}, 1) IN (${FORMULA_STARTS_SQL}) THEN concat('''', ${text}) ELSE ${text} END`;
}

/** `line`: the event's JSON up to prev_hash. Values go in as they are; absent members are left out. */
export function jsonRows(source: string): string {
  const parts: Record<Part, string[]> = { head: [], vals: [], tail: [], meta: [] };
  for (const [index, name] of EVENT_COLUMNS.entries()) {
    if (name !== 'event_hash') parts[partOf(name)].push(memberSql(`${index === 0 ? '{' : ','}"${name}":`, name));
  }
  const texts = Object.entries(parts).map(([part, members]) => `concat(${members.join(', ')}) AS ${part}`);
  const line = `concat(${lowerEscapesSql('head')}, vals, ${lowerEscapesSql('tail')}, meta, ',"event_hash":"', lower(hex(event_hash)), '","prev_hash":"')`;
  return `SELECT seq, event_hash, ${line} AS line FROM (SELECT seq, event_hash, ${texts.join(', ')} FROM ${source})`;
}

type Part = 'head' | 'vals' | 'tail' | 'meta';

/** Plain strings are escaped by DuckDB, whose escapes need mending; values must not be touched. */
function partOf(name: (typeof EVENT_COLUMNS)[number]): Part {
  if (name === 'old_value' || name === 'new_value') return 'vals';
  if (name === 'metadata') return 'meta';
  return EVENT_COLUMNS.indexOf(name) < EVENT_COLUMNS.indexOf('old_value') ? 'head' : 'tail';
}

function memberSql(key: string, name: string): string {
  if (name === 'seq') return `'${key}', seq`;
  if (TIME_COLUMNS.has(name)) return `'${key}"', ${utcTextSql(name)}, '"'`;
  const text = JSON_COLUMNS.has(name) ? name : `CAST(to_json(${name}) AS VARCHAR)`;
  // concat leaves NULL out, || makes the whole member NULL.
  return OPTIONAL_COLUMNS.has(name) ? `'${key}' || ${text}` : `'${key}', ${text}`;
}
