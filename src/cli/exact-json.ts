/** JSON.rawJSON and the reviver's source text (ES2026), which the compiler's library does not know yet. */
const exactJson = JSON as unknown as {
  rawJSON(text: string): object;
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
};

/**
 * JSON.parse that keeps every number's own text where a double would change it (12345678901234567890, 1.0), so that
 * JSON.stringify gives back what came.
 */
export function parseExactJson(text: string): unknown {
  return exactJson.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? exactJson.rawJSON(source) : value,
  );
}
