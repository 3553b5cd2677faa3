import { IndelibleError } from '../errors.ts';

/** What DuckDB's COPY … RETURN_STATS says of one column; text as DuckDB prints values, times in UTC. */
export type ColumnStatistics = { min?: string; max?: string; null_count?: string };

/** How a column's bounds are widened to what every reader takes for true. */
export type BoundKind = 'long' | 'time' | 'text';

/** Columns that get bounds: those that questions filter by. Payload columns get null counts only. */
export const JOURNAL_BOUNDS: Readonly<Record<string, BoundKind>> = {
  seq: 'long',
  occurred_at: 'time',
  recorded_at: 'time',
  entity_type: 'text',
  entity_id: 'text',
  field: 'text',
  action: 'text',
  actor: 'text',
};

const TEXT_CHARS_MAX = 32;

/**
 * Delta per-file statistics as JSON text. Longs stand as raw digits; times are widened to milliseconds (min down, max
 * up), since readers disagree on finer ones; strings are cut to 32 characters, the max raised above all it stands for.
 */
export function deltaStats(
  rows: number,
  columns: ReadonlyMap<string, ColumnStatistics>,
  bounds: Readonly<Record<string, BoundKind>> = JOURNAL_BOUNDS,
): string {
  const min: string[] = [];
  const max: string[] = [];
  const nulls: string[] = [];
  for (const [name, column] of columns) {
    if (column.null_count !== undefined) nulls.push(`${JSON.stringify(name)}:${Number(column.null_count)}`);
    const kind = bounds[name];
    if (kind === undefined || column.min === undefined || column.max === undefined) continue;
    min.push(`${JSON.stringify(name)}:${lowerBound(kind, column.min)}`);
    const upper = upperBound(kind, column.max);
    if (upper !== undefined) max.push(`${JSON.stringify(name)}:${upper}`);
  }
  return `{"numRecords":${rows},"minValues":{${min.join(',')}},"maxValues":{${max.join(',')}},"nullCount":{${nulls.join(',')}}}`;
}

function lowerBound(kind: BoundKind, text: string): string {
  if (kind === 'long') return digits(text);
  if (kind === 'time') return JSON.stringify(millisecondTime(text, 'floor'));
  return JSON.stringify(prefix(text));
}

function upperBound(kind: BoundKind, text: string): string | undefined {
  if (kind === 'long') return digits(text);
  if (kind === 'time') {
    const time = millisecondTime(text, 'ceil');
    // The last microseconds of the year 9999 have no millisecond above them: no bound is a true bound.
    return time.startsWith('+') ? undefined : JSON.stringify(time);
  }
  const cut = prefix(text);
  if (cut === text) return JSON.stringify(text);
  // The tie-breaker must sort above whatever was cut off: U+007F above any ASCII, U+10FFFF above everything.
  const next = text.codePointAt(cut.length) as number;
  // Nothing sorts above U+10FFFF and more: the value itself is the bound.
  if (next === 0x10ffff) return JSON.stringify(text);
  return JSON.stringify(cut + (next < 0x7f ? '\u007f' : '\u{10ffff}'));
}

function digits(text: string): string {
  if (!/^-?\d+$/.test(text))
    throw new IndelibleError('corrupt', `statistics of a long column read '${text.slice(0, 40)}'`);
  return text;
}

/** At most 32 UTF-16 units, never splitting a surrogate pair. */
function prefix(text: string): string {
  if (text.length <= TEXT_CHARS_MAX) return text;
  const cut = text.slice(0, TEXT_CHARS_MAX);
  return cut.isWellFormed() ? cut : cut.slice(0, -1);
}

/** DuckDB's `2026-01-02 03:04:05.123456+00` as `2026-01-02T03:04:05.123Z`. */
function millisecondTime(text: string, rounding: 'floor' | 'ceil'): string {
  const match = /^(\d{4})-(\d\d)-(\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00$/.exec(text);
  if (!match) throw new IndelibleError('corrupt', `statistics of a time column read '${text.slice(0, 40)}'`);
  const [, year, month, day, clock, fraction = ''] = match as unknown as string[];
  const micros = fraction.padEnd(6, '0');
  const floor = Date.parse(`${year}-${month}-${day}T${clock}.${micros.slice(0, 3)}Z`);
  const up = rounding === 'ceil' && micros.slice(3) !== '000' ? 1 : 0;
  return new Date(floor + up).toISOString();
}

export type FileBounds = {
  rows: number;
  firstSeq: number;
  lastSeq: number;
  min: Record<string, string>;
  max: Record<string, string>;
};

/** Reads statistics back for pruning. Times become the canonical form with microseconds. */
export function fileBounds(
  path: string,
  stats: string | undefined,
  bounds: Readonly<Record<string, BoundKind>> = JOURNAL_BOUNDS,
): FileBounds {
  const parsed = parseStats(stats);
  const firstSeq = parsed?.minValues?.seq;
  const lastSeq = parsed?.maxValues?.seq;
  if (typeof parsed?.numRecords !== 'number' || typeof firstSeq !== 'number' || typeof lastSeq !== 'number') {
    throw new IndelibleError('corrupt', `the table log describes ${path} without numRecords or the bounds of seq`);
  }
  return {
    rows: parsed.numRecords,
    firstSeq,
    lastSeq,
    min: boundTexts(parsed.minValues, bounds),
    max: boundTexts(parsed.maxValues, bounds),
  };
}

type Stats = {
  numRecords: number;
  minValues: Record<string, string | number>;
  maxValues: Record<string, string | number>;
};

/** undefined where another program wrote none. */
function parseStats(text: string | undefined): Stats | undefined {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as Stats);
  } catch {
    return undefined;
  }
}

function boundTexts(
  values: Record<string, string | number>,
  bounds: Readonly<Record<string, BoundKind>>,
): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    texts[name] = bounds[name] === 'time' ? String(value).replace(/(\.\d{3})Z$/, '$1000Z') : String(value);
  }
  return texts;
}
