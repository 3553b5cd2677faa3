import type { Axiom } from '../../projections/index.ts';

/** The most that is embedded, in UTF-16 units: embedding models take about 2,048 tokens. */
export const FINGERPRINT_LENGTH_MAX = 2_048;
/** One of the signal's own names: domain, status, entity_type, entity_id. */
const NAME_LENGTH_MAX = 128;
/** One text of the payload, before and after what is unique in it was replaced. */
const TEXT_LENGTH_READ_MAX = 256;
const TEXT_LENGTH_MAX = 64;
/** Containers of the payload below this depth are named and not entered. */
const DEPTH_MAX = 8;
/** Where a decade's second half begins. */
const HALF_DECADE = Math.sqrt(10);
const SCORE_STEPS_PER_UNIT = 20;

const TIME = /\d{4}-\d{2}-\d{2}(?:[t ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:z|[+-]\d{2}:?\d{2})?)?/g;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const LONG_HEX = /\b(?=[a-f]*\d)[0-9a-f]{12,}\b/g;
const LONG_NUMBER = /\d{6,}/g;
/** Money is often sent as text: a decimal with a fraction is read as the number it stands for. */
const DECIMAL = /^[+-]?\d{1,20}\.\d{1,20}$/;

/**
 * The text that is embedded: what makes two signals alike for an auditor, not what makes each unique. One fact a line:
 *
 * ```
 * domain: accounts-payable
 * status: over_limit
 * about: invoice
 * series: vendor-7
 * score: 0.90
 * metric: +3e2
 * payload/items[]/amount: +1e1
 * payload/reason: amount above the limit of order <id>
 * ```
 *
 * - `score` is the lower end of its band of 0.05; `metric` and numbers of the payload keep their sign and their half
 *   decade (`+1e2` is 100 up to 316.2…, `+3e2` up to 1000).
 * - The payload's members are sorted by path; elements of a list share a path and equal lines are one, so that
 *   neither the order of keys nor the length of a list matters.
 * - Texts are in lower case and cut; times, UUIDs, long hexadecimal and decimal numbers are placeholders.
 * - Absent members have no line. Lines beyond FINGERPRINT_LENGTH_MAX are left out whole.
 */
export function fingerprintOf(axiom: Axiom): string {
  const lines = [`domain: ${nameText(axiom.domain)}`];
  if (axiom.status !== null) lines.push(`status: ${nameText(axiom.status)}`);
  if (axiom.entity_type !== null) lines.push(`about: ${nameText(axiom.entity_type)}`);
  if (axiom.entity_id !== null) lines.push(`series: ${nameText(axiom.entity_id)}`);
  lines.push(`score: ${scoreBand(axiom.anomaly_score)}`);
  if (axiom.metric_value !== null) lines.push(`metric: ${numberBand(axiom.metric_value)}`);
  const members = new Set<string>();
  collectMembers(axiom.payload, 'payload', 0, members);
  let length = lines.join('\n').length;
  for (const member of [...members].sort()) {
    length += 1 + member.length;
    if (length > FINGERPRINT_LENGTH_MAX) break;
    lines.push(member);
  }
  return lines.join('\n');
}

function collectMembers(value: unknown, path: string, depth: number, members: Set<string>): void {
  if (value === null || value === undefined) return;
  if (typeof value !== 'object') {
    members.add(`${path}: ${scalarText(value)}`);
  } else if (depth === DEPTH_MAX) {
    members.add(`${path}: ${Array.isArray(value) ? '[…]' : '{…}'}`);
  } else if (Array.isArray(value)) {
    for (const element of value) collectMembers(element, `${path}[]`, depth + 1, members);
  } else {
    for (const [name, member] of Object.entries(value))
      collectMembers(member, `${path}/${alikeText(name)}`, depth + 1, members);
  }
}

function scalarText(value: unknown): string {
  if (typeof value === 'number') return numberBand(value);
  if (typeof value !== 'string') return String(value);
  return DECIMAL.test(value) ? numberBand(Number(value)) : alikeText(value);
}

/** A text without what is unique in it. */
function alikeText(text: string): string {
  const alike = oneLine(text, TEXT_LENGTH_READ_MAX)
    .toLowerCase()
    .replace(TIME, '<time>')
    .replace(UUID, '<id>')
    .replace(LONG_HEX, '<id>')
    .replace(LONG_NUMBER, '<id>');
  return cut(alike, TEXT_LENGTH_MAX);
}

/** A name as it is: another series is another signal. */
function nameText(text: string): string {
  return oneLine(text, NAME_LENGTH_MAX);
}

/** White space becomes one space, so that no text can look like a line of its own. */
function oneLine(text: string, lengthMax: number): string {
  return cut(text, lengthMax)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
}

/** Cutting may halve a character outside the basic plane; what is stored has to be well-formed. */
function cut(text: string, lengthMax: number): string {
  return text.slice(0, lengthMax).toWellFormed();
}

function scoreBand(score: number): string {
  // 0.15 × 20 must not fall to 2.9999…: a billionth is far below any score's meaning.
  return (Math.floor(score * SCORE_STEPS_PER_UNIT + 1e-9) / SCORE_STEPS_PER_UNIT).toFixed(2);
}

/** Sign and half decade. By way of the shortest decimal text, which is exact where a logarithm is not. */
function numberBand(value: number): string {
  if (value === 0) return '0';
  const [mantissa = '', exponent = ''] = Math.abs(value).toExponential().split('e');
  const half = Number(mantissa) >= HALF_DECADE ? 3 : 1;
  return `${value < 0 ? '-' : '+'}${half}e${Number(exponent)}`;
}
