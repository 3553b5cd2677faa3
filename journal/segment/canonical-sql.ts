/**
 * The canonical event (RFC 8785 JSON, docs/format.md) and its leaf hash in DuckDB SQL, from a segment's columns alone.
 * Two levels, so that DuckDB builds the text once:
 *
 *   SELECT seq, leafHashSql('text') AS leaf_hash FROM (SELECT seq, canonicalSql('prev_hash') AS text FROM …)
 */

/** Columns that are never NULL; the others become JSON null. */
const REQUIRED = new Set(['action', 'actor', 'entity_id', 'entity_type', 'event_id', 'field', 'workspace_id']);
const TIMES = new Set(['occurred_at', 'recorded_at']);
const KEYS = [
  'action',
  'actor',
  'actor_type',
  'correlation_id',
  'entity_id',
  'entity_type',
  'event_id',
  'field',
  'metadata',
  'new_value',
  'occurred_at',
  'old_value',
  'prev_hash',
  'recorded_at',
  'seq',
  'source',
  'v',
  'workspace_id',
] as const;

/** A TIMESTAMPTZ as UTC text with microseconds. By way of the epoch: the cast through a time zone costs four times more. */
export function utcTextSql(column: string): string {
  return `strftime(make_timestamp(epoch_us(${column})), '%Y-%m-%dT%H:%M:%S.%fZ')`;
}

/**
 * VARCHAR: the canonical event of a row with the columns of a segment, as DuckDB's to_json escapes it: nine control
 * characters come out as upper-case \u000B instead of RFC 8785's \u000b. `lowerEscapesSql` mends that.
 * @param prevHashSql VARCHAR expression: 64 hex digits, the event_hash at seq − 1
 */
export function canonicalSql(prevHashSql: string): string {
  const members = KEYS.map((key, index) => {
    const value = key === 'prev_hash' ? `"', ${prevHashSql}, '"'` : valueSql(key);
    return `'${index === 0 ? '{' : ','}"${key}":${value}`;
  });
  return `concat(${members.join(', ')}, '}')`;
}

/** Closes the literal that names the key, adds the value. */
function valueSql(key: Exclude<(typeof KEYS)[number], 'prev_hash'>): string {
  if (key === 'v') return "1'";
  if (key === 'seq') return "', seq";
  if (TIMES.has(key)) return `"', ${utcTextSql(key)}, '"'`;
  // A NULL where none may be makes the text wrong, hence the hash: no row with one verifies.
  return REQUIRED.has(key) ? `', to_json(${key})` : `', coalesce(to_json(${key}), 'null')`;
}

/** Escapes that DuckDB writes with upper-case hex; all other control characters have no hex letter or a short form. */
const UPPER_ESCAPES = ['0B', '0E', '0F', '1A', '1B', '1C', '1D', '1E', '1F'];

/**
 * Turns DuckDB's upper-case escapes in JSON text that to_json wrote into RFC 8785's. A literal backslash before a `u`
 * stands in the text as two: pairs are set aside first (as a private-use character and a digit, itself escaped), so
 * what still reads \u000B is an escape. Exact for every text.
 * @param text name of a VARCHAR column; an expression would be computed three times
 */
export function lowerEscapesSql(text: string): string {
  const mark = 'chr(57344)';
  let sql = `replace(replace(${text}, ${mark}, ${mark} || '0'), '\\\\', ${mark} || '1')`;
  for (const hex of UPPER_ESCAPES) sql = `replace(${sql}, '\\u00${hex}', '\\u00${hex.toLowerCase()}')`;
  sql = `replace(replace(${sql}, ${mark} || '1', '\\\\'), ${mark} || '0', ${mark})`;
  return `CASE WHEN contains(${text}, '\\u00') THEN ${sql} ELSE ${text} END`;
}

/**
 * VARCHAR: RFC 6962 leaf hash, lower-case hex.
 * @param canonical name of a VARCHAR column that holds `canonicalSql`
 */
export function leafHashSql(canonical: string): string {
  return `sha256(concat(chr(0), ${lowerEscapesSql(canonical)}))`;
}
