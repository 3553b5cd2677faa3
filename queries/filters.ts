import { compareUtf8, type JournalEvent, type SegmentFile, type SqlValue } from '../journal/index.ts';

/** What the events must be. Absent asks nothing. Times are UTC with microseconds, `2026-01-02T03:04:05.000000Z`. */
export type EventFilter = {
  entityType?: string | undefined;
  entityId?: string | undefined;
  field?: string | undefined;
  action?: string | undefined;
  actor?: string | undefined;
  source?: string | undefined;
  correlationId?: string | undefined;
  /** occurred_at at or after. */
  from?: string | undefined;
  /** occurred_at before. */
  to?: string | undefined;
  /** occurred_at at or before. */
  until?: string | undefined;
};

/** Positions: above < seq ≤ upTo. */
export type SeqRange = { above: number; upTo: number };

/** Columns that are compared for equality, and the filter's names for them. */
export const FILTER_COLUMNS = [
  ['entity_type', 'entityType'],
  ['entity_id', 'entityId'],
  ['field', 'field'],
  ['action', 'action'],
  ['actor', 'actor'],
  ['source', 'source'],
  ['correlation_id', 'correlationId'],
] as const;

const UTC_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/;
const CODE_POINT_MAX = '\u{10FFFF}';

/** True where the filter lets every event through. */
export function isOpen(filter: EventFilter): boolean {
  const times = filter.from === undefined && filter.to === undefined && filter.until === undefined;
  return times && FILTER_COLUMNS.every(([, key]) => filter[key] === undefined);
}

export function matches(filter: EventFilter, event: JournalEvent): boolean {
  for (const [column, key] of FILTER_COLUMNS) {
    if (filter[key] !== undefined && event[column] !== filter[key]) return false;
  }
  // All times have one width, so text order is time order.
  if (filter.from !== undefined && event.occurred_at < filter.from) return false;
  if (filter.to !== undefined && event.occurred_at >= filter.to) return false;
  return filter.until === undefined || event.occurred_at <= filter.until;
}

/** The filter and the range as an SQL condition over the table's columns, with its parameters in order. */
export function conditionSql(filter: EventFilter, range: SeqRange): { sql: string; params: SqlValue[] } {
  const terms = ['seq > ?', 'seq <= ?'];
  const params: SqlValue[] = [range.above, range.upTo];
  const add = (term: string, value: string | undefined): void => {
    if (value === undefined) return;
    terms.push(term);
    params.push(value);
  };
  for (const [column, key] of FILTER_COLUMNS) add(`${column} = ?`, filter[key]);
  add('occurred_at >= CAST(? AS TIMESTAMPTZ)', filter.from);
  add('occurred_at < CAST(? AS TIMESTAMPTZ)', filter.to);
  add('occurred_at <= CAST(? AS TIMESTAMPTZ)', filter.until);
  return { sql: terms.join(' AND '), params };
}

/**
 * Whether a stored text can be this one. None holds a lone surrogate or NUL, and on the way into DuckDB they would turn
 * into something that might be stored.
 */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/**
 * False only where the file cannot hold a matching event, by the bounds of the table log. A missing bound says
 * nothing: a file is then kept.
 */
export function mayHold(file: SegmentFile, filter: EventFilter, range: SeqRange): boolean {
  if (file.firstSeq > range.upTo || file.lastSeq <= range.above) return false;
  for (const [column, key] of FILTER_COLUMNS) {
    const value = filter[key];
    if (value === undefined) continue;
    if (!isStorable(value)) return false;
    if (!withinBounds(value, file.min[column], file.max[column])) return false;
  }
  const earliest = paddedTime(file.min.occurred_at);
  const latest = paddedTime(file.max.occurred_at);
  if (filter.from !== undefined && latest !== undefined && latest < filter.from) return false;
  if (filter.to !== undefined && earliest !== undefined && earliest >= filter.to) return false;
  return filter.until === undefined || earliest === undefined || earliest <= filter.until;
}

/** Bounds may be cut to a prefix: the lower one as it is, the upper one with a last character above what follows. */
function withinBounds(value: string, min: string | undefined, max: string | undefined): boolean {
  if (min !== undefined && compareUtf8(value, min) < 0) return false;
  if (max === undefined || compareUtf8(value, max) <= 0) return true;
  // What was cut off may itself begin with the greatest character.
  return max.endsWith(CODE_POINT_MAX) && value.startsWith(max);
}

/** Milliseconds to the width of microseconds; undefined for a form that we do not know. */
function paddedTime(bound: string | undefined): string | undefined {
  if (bound === undefined || !UTC_TIME.test(bound)) return undefined;
  const fraction = bound.slice(20, -1);
  return `${bound.slice(0, 19)}.${fraction.padEnd(6, '0')}Z`;
}
