import { invalid, parseJsonExact } from '../../journal/index.ts';

export type IngestFormat = 'ndjson' | 'csv' | 'parquet';

/** Each row is a row of an entity: one event with the whole row as its new_value. */
export type IngestMapping = {
  entity_type: string;
  id_column: string;
  action: string;
  timestamp_column?: string | undefined;
};

export type RowRules = {
  format: IngestFormat;
  mapping: IngestMapping | undefined;
  actor: string;
  /** Of the mapped rows. */
  source: string;
};

/** Columns that the journal assigns: an export of ours can be taken in again as it is. */
const ASSIGNED = new Set(['seq', 'recorded_at', 'event_hash', 'prev_hash']);
const JSON_FIELDS = new Set(['old_value', 'new_value', 'metadata']);
const TIME_FIELDS = new Set(['occurred_at', 'timestamp']);
const SQL_TIME = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d(?::?\d\d)?)?$/;

type RowObject = Record<string, unknown>;

/**
 * A row, a line of NDJSON, as the NDJSON line of an event. NDJSON without a mapping holds events already.
 *
 * CSV and Parquet without a mapping have columns named as an event's fields. A cell of old_value, new_value or metadata
 * is JSON where it parses as JSON and a string where it does not; an empty or NULL cell is absent, a quoted empty one
 * the empty string.
 * @throws IndelibleError invalid, naming the row and the column.
 */
export function eventLine(line: string, row: number, rules: RowRules): string {
  if (rules.mapping === undefined && rules.format === 'ndjson') return line;
  const value = parsedRow(line, row);
  return rules.mapping === undefined ? columnsAsEvent(value) : mappedRow(value, line, row, rules.mapping, rules);
}

function parsedRow(line: string, row: number): RowObject {
  let value: unknown;
  try {
    value = parseJsonExact(line);
  } catch {
    throw invalid([{ pointer: `/${row}`, message: 'is not JSON' }]);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as RowObject;
  throw invalid([{ pointer: `/${row}`, message: 'is not a JSON object' }]);
}

function columnsAsEvent(row: RowObject): string {
  const event: RowObject = {};
  for (const [column, cell] of Object.entries(row)) {
    if (cell === null || ASSIGNED.has(column)) continue;
    if (JSON_FIELDS.has(column)) event[column] = typeof cell === 'string' ? jsonOrText(cell) : cell;
    // Many writers of CSV quote every cell, also the absent ones.
    else if (cell === '') continue;
    else if (TIME_FIELDS.has(column)) event[column] = timeText(cell);
    else event[column] = cellText(cell);
  }
  return JSON.stringify(event);
}

function mappedRow(row: RowObject, line: string, at: number, mapping: IngestMapping, rules: RowRules): string {
  const id = row[mapping.id_column];
  if (id === undefined || id === null || id === '') {
    throw invalid([{ pointer: `/${at}/${mapping.id_column}`, message: 'is empty or missing, and is the id_column' }]);
  }
  let json = `{"entity_type":${JSON.stringify(mapping.entity_type)},"entity_id":${JSON.stringify(cellText(id))}`;
  json += `,"action":${JSON.stringify(mapping.action)},"actor":${JSON.stringify(rules.actor)}`;
  json += `,"source":${JSON.stringify(rules.source)}`;
  const { timestamp_column } = mapping;
  if (timestamp_column !== undefined) {
    const time = row[timestamp_column];
    if (time === undefined || time === null || time === '') {
      throw invalid([
        { pointer: `/${at}/${timestamp_column}`, message: 'is empty or missing, and is the timestamp_column' },
      ]);
    }
    json += `,"occurred_at":${JSON.stringify(timeText(time))}`;
  }
  return `${json},"new_value":${line}}`;
}

function jsonOrText(cell: string): unknown {
  try {
    return parseJsonExact(cell);
  } catch {
    return cell;
  }
}

/** Ids are text: a number gets the digits it was written with. */
function cellText(cell: unknown): unknown {
  if (typeof cell === 'string') return cell;
  return typeof cell === 'number' || typeof cell === 'boolean' || isRawNumber(cell) ? JSON.stringify(cell) : cell;
}

function isRawNumber(cell: unknown): boolean {
  return (JSON as unknown as { isRawJSON(value: unknown): boolean }).isRawJSON(cell);
}

/** A time as SQL prints it becomes RFC 3339; one without a zone is UTC. */
function timeText(cell: unknown): unknown {
  if (typeof cell !== 'string') return cell;
  const match = SQL_TIME.exec(cell);
  if (match === null) return cell;
  const [, day, time, zone = 'Z'] = match;
  const full = zone.length === 3 ? `${zone}:00` : zone.length === 5 ? `${zone.slice(0, 3)}:${zone.slice(3)}` : zone;
  return `${day}T${time}${full}`;
}
