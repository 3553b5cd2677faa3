import { Buffer } from 'node:buffer';
import { LIMITS } from './limits.ts';

/**
 * JSON without loss. JSON.parse rounds 12345678901234567890 and 1e-400; evidence must not. So a text that holds a
 * number which might not survive is parsed again with its source text kept (ECMA-262 JSON.parse source text access,
 * JSON.rawJSON): such numbers become raw JSON, which JSON.stringify prints as they stood.
 */

type RawJson = { rawJSON: string };
type JsonWithSource = {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): RawJson;
  isRawJSON(value: unknown): value is RawJson;
};
const json = JSON as unknown as JsonWithSource;

/**
 * Numbers that may not survive: a minus zero, sixteen or more digits, an exponent, a fraction that ends in zero or is so
 * small that it is printed with an exponent. A superset: strings match too.
 */
const SUSPECT = String.raw`(?:-0|-?0\.0{6}|-?\d(?:[\d.]{15}|[\d.]*[eE]|\d*\.\d*0(?=[\s,\]}]|$)))`;
const SUSPECT_NUMBER = new RegExp(String.raw`(?:^|[:,[\s])${SUSPECT}`);

/** The same of one number's source: which numbers are kept raw depends on nothing beside them. */
const SUSPECT_SOURCE = new RegExp(`^${SUSPECT}`);

/** Whether JSON.parse may round a number of this text. */
export function mayRound(text: string): boolean {
  return SUSPECT_NUMBER.test(text);
}

/** Like JSON.parse, with numbers kept exactly. Throws SyntaxError. */
export function parseJsonExact(text: string): unknown {
  if (!mayRound(text)) return JSON.parse(text);
  return json.parse(text, (_key, value, context) => {
    const { source } = context;
    return typeof value === 'number' && source !== undefined && SUSPECT_SOURCE.test(source)
      ? json.rawJSON(source)
      : value;
  });
}

/** Whether parseJsonExact made this of a number. */
export function isRawNumber(value: unknown): boolean {
  return json.isRawJSON(value);
}

/** What was met on the way through values. */
export type ValueNotes = { holdsNumber: boolean };

/** The compact text of a value, with the numbers parseJsonExact kept, or what is wrong with it. */
export function valueText(
  value: unknown,
  notes: ValueNotes = { holdsNumber: false },
): { ok: true; text: string } | { ok: false; message: string } {
  const fault = valueFault(value, LIMITS.valueDepthMax, notes);
  if (fault !== undefined) return { ok: false, message: fault };
  const text = JSON.stringify(value);
  const bytesMax = LIMITS.valueBytesMax;
  // A UTF-16 unit is at most three bytes: most values need no counting.
  if (text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax) return { ok: true, text };
  const message = `is longer than ${bytesMax} bytes: keep large values elsewhere and record their digest`;
  return { ok: false, message };
}

function valueFault(value: unknown, depthLeft: number, notes: ValueNotes): string | undefined {
  if (typeof value === 'string') return textFault(value);
  if (typeof value === 'number') {
    notes.holdsNumber = true;
    return Number.isFinite(value) ? undefined : BEYOND_DOUBLE;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (json.isRawJSON(value)) return Number.isFinite(Number(value.rawJSON)) ? undefined : BEYOND_DOUBLE;
  if (depthLeft === 0) return `is nested deeper than ${LIMITS.valueDepthMax} levels`;
  if (Array.isArray(value)) {
    for (const element of value) {
      const fault = valueFault(element, depthLeft - 1, notes);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
  // What JSON.parse made has own members only.
  for (const key in value) {
    const fault = textFault(key) ?? valueFault((value as Record<string, unknown>)[key], depthLeft - 1, notes);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

const BEYOND_DOUBLE = 'holds a number beyond the range of a double: send it as a string';

/** What keeps a text out of the record: NUL and lone surrogates are no valid text in Parquet and SQL. */
export function textFault(text: string): string | undefined {
  if (!text.isWellFormed()) return 'holds a lone surrogate, which is no valid Unicode';
  if (text.includes('\0')) return 'holds a NUL character';
  return undefined;
}
