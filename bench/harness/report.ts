/** The table: one row a figure, ours beside the peer's, with the ratio, the target and the memory. */

export type Side = 'ours' | 'peer';

export type Row = {
  figure: string;
  unit: string;
  better: 'higher' | 'lower';
  ours?: number | undefined;
  peer?: number | undefined;
  /** Either a ratio to the peer (how many times better) or a bound on our own figure. */
  target?: { ratio: number } | { bound: number };
  /** Peak resident bytes of each process tree while the figure was taken. */
  memory?: Partial<Record<Side, number>>;
  method: string;
};

export type Judged = Row & { ratio: number | undefined; met: boolean | undefined };

/** How many times better ours is than the peer; undefined where one side is missing. */
export function judge(row: Row): Judged {
  const { ours, peer, better, target } = row;
  const ratio = ours === undefined || peer === undefined ? undefined : better === 'higher' ? ours / peer : peer / ours;
  let met: boolean | undefined;
  if (target && 'ratio' in target) met = ratio === undefined ? undefined : ratio >= target.ratio;
  if (target && 'bound' in target && ours !== undefined)
    met = better === 'higher' ? ours >= target.bound : ours <= target.bound;
  return { ...row, ratio, met };
}

function number(value: number | undefined, digits = 3): string {
  if (value === undefined) return '-';
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(digits)));
}

function targetText(row: Row): string {
  if (!row.target) return '-';
  if ('ratio' in row.target) return `${number(row.target.ratio)}x`;
  return `${row.better === 'higher' ? '>=' : '<='} ${number(row.target.bound)}`;
}

function memoryText(bytes: number | undefined): string {
  return bytes === undefined ? '-' : `${Math.round(bytes / 1024 / 1024)} MiB`;
}

const HEADINGS = ['figure', 'unit', 'ours', 'peer', 'ratio', 'target', 'met', 'peak RSS ours', 'peak RSS peer'];

export function table(rows: readonly Judged[]): string {
  const cells = rows.map((row) => [
    row.figure,
    row.unit,
    number(row.ours),
    number(row.peer),
    row.ratio === undefined ? '-' : `${number(row.ratio)}x`,
    targetText(row),
    row.met === undefined ? '-' : row.met ? 'yes' : 'NO',
    memoryText(row.memory?.ours),
    memoryText(row.memory?.peer),
  ]);
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...cells.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  const methods = rows.map((row) => `  ${row.figure}: ${row.method}`);
  return [line(HEADINGS), rule, ...cells.map(line), '', 'How', ...methods, ''].join('\n');
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle];
  const lower = sorted[middle - 1];
  if (upper === undefined) throw new Error('the median of nothing');
  return sorted.length % 2 === 1 || lower === undefined ? upper : (lower + upper) / 2;
}
