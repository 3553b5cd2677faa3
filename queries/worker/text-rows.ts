import type { TextKind } from './columns.ts';

/** Digits that a double gives back as they were. */
const EXACT_DIGITS = 15;
const NEEDS_QUOTES = /[",\r\n]/;

/** What a file for a spreadsheet begins with, so that it is read as UTF-8. */
export const BYTE_ORDER_MARK = '\uFEFF';

/** What OWASP names as the beginning of a formula. */
export const FORMULA_STARTS: readonly string[] = ['=', '+', '-', '@', '\t', '\r', '\n'];

type Renderer = (value: unknown) => string;

/**
 * A value of this kind as JSON. Numbers that a double would round (integers beyond 2^53, decimals of more than 15
 * digits) and those that JSON has not (NaN, infinities) are strings.
 */
export function jsonRenderer(kind: TextKind): Renderer {
  const render = JSON_RENDERERS[kind];
  return (value) => (value === null ? 'null' : render(value));
}

const JSON_RENDERERS: Record<TextKind, Renderer> = {
  boolean: String,
  integer: (value) => (Number.isSafeInteger(Number(value)) ? String(value) : `"${String(value)}"`),
  double: (value) => (Number.isFinite(value) ? String(value) : `"${String(value)}"`),
  decimal: (value) => (digitsOf(String(value)) <= EXACT_DIGITS ? String(value) : `"${String(value)}"`),
  text: (value) => JSON.stringify(value),
  json: String,
};

function digitsOf(number: string): number {
  return number.replace(/^-?0*|[.]/g, '').length;
}

/** A value as a CSV cell (RFC 4180). NULL is an empty cell, the empty string a quoted one. */
export function csvCell(value: unknown): string {
  if (value === null) return '';
  const text = String(value);
  return text === '' || NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A text that a spreadsheet takes for text: one that begins like a formula gets a ' before it. */
export function disarmed(text: string): string {
  return FORMULA_STARTS.includes(text.slice(0, 1)) ? `'${text}` : text;
}
