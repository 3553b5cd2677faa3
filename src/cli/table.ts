import { cutText, safeText, textWidth, valueText } from './text.ts';

export type Column = { title: string; align?: 'left' | 'right' };

/** Longest cell; the whole value is in --json. */
const CELL_COLUMNS_MAX = 60;

/**
 * Aligned columns with a header, one line a row. Where `width` is too small the last column gives way.
 * Cells are made safe for a terminal.
 */
export function renderTable(columns: readonly Column[], rows: readonly (readonly unknown[])[], width?: number): string {
  const cells = rows.map((row) => columns.map((_, i) => cutText(safeText(valueText(row[i])), CELL_COLUMNS_MAX)));
  const lines = [columns.map((column) => safeText(column.title)), ...cells];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => textWidth(line[i] ?? ''))));
  return lines.map((line) => renderLine(line, columns, widths, width)).join('');
}

function renderLine(cells: string[], columns: readonly Column[], widths: number[], width: number | undefined): string {
  const padded = cells.map((cell, i) => {
    const padding = ' '.repeat(Math.max(0, (widths[i] ?? 0) - textWidth(cell)));
    return columns[i]?.align === 'right' ? padding + cell : cell + padding;
  });
  const line = padded.join('  ').trimEnd();
  return `${width === undefined ? line : cutText(line, width)}\n`;
}

/** Names and values, one a line. */
export function renderPairs(pairs: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(...pairs.map(([name]) => textWidth(name)));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${safeText(valueText(value))}\n`).join('');
}
