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

/** Numbers that may not survive: a minus zero, sixteen or more digits, an exponent. A superset: strings match too. */
const SUSPECT_NUMBER = /(?:^|[:,[\s])(?:-0|-?\d(?:[\d.]{15}|[\d.]*[eE]))/;

/** Like JSON.parse, with numbers kept exactly. Throws SyntaxError. */
export function parseJsonExact(text: string): unknown {
  if (!SUSPECT_NUMBER.test(text)) return JSON.parse(text);
  return json.parse(text, (_key, value, context) => {
    if (typeof value !== 'number' || context.source === undefined || context.source === String(value)) return value;
    return json.rawJSON(context.source);
  });
}

/** The compact text of a value from parseJsonExact, or what is wrong with it. */
export function valueText(value: unknown): { ok: true; text: string } | { ok: false; message: string } {
  const fault = valueFault(value, LIMITS.valueDepthMax);
  if (fault !== undefined) return { ok: false, message: fault };
  const text = JSON.stringify(value);
  if (text.length > LIMITS.valueBytesMax || Buffer.byteLength(text) > LIMITS.valueBytesMax) {
    return {
      ok: false,
      message: `is longer than ${LIMITS.valueBytesMax} bytes: keep large values elsewhere and record their digest`,
    };
  }
  return { ok: true, text };
}

function valueFault(value: unknown, depthLeft: number): string | undefined {
  if (typeof value === 'string') return textFault(value);
  if (typeof value !== 'object' || value === null) return undefined;
  if (json.isRawJSON(value)) return numberFault(value.rawJSON);
  if (depthLeft === 0) return `is nested deeper than ${LIMITS.valueDepthMax} levels`;
  if (Array.isArray(value)) {
    for (const element of value) {
      const fault = valueFault(element, depthLeft - 1);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
  for (const [key, member] of Object.entries(value)) {
    const fault = textFault(key) ?? valueFault(member, depthLeft - 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function numberFault(source: string): string | undefined {
  if (Number.isFinite(Number(source))) return undefined;
  return 'holds a number beyond the range of a double: send it as a string';
}

/** What keeps a text out of the record: NUL and lone surrogates are no valid text in Parquet and SQL. */
export function textFault(text: string): string | undefined {
  if (!text.isWellFormed()) return 'holds a lone surrogate, which is no valid Unicode';
  if (text.includes('\0')) return 'holds a NUL character';
  return undefined;
}
