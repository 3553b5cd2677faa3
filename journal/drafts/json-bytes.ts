/**
 * JSON (RFC 8259) by its bytes, for texts that are plain: whose parsed and re-printed form is, byte for byte, what they
 * say but for white space. No escapes, no member twice, no member name that is an index (JSON.parse moves it to the
 * front), no exponent. What is not plain is not refused here: it is left to the reader that makes objects.
 *
 * Every function takes the position of a token's first byte and returns the position behind it, or NOT_PLAIN. The text
 * must be valid UTF-8.
 */

export const NOT_PLAIN = -1;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NESTING_MAX = 60;
const MEMBERS_MAX = 32;
const NUMBER_BYTES_MAX = 300;

export function skipSpace(bytes: Uint8Array, at: number): number {
  let pos = at;
  for (;;) {
    const byte = bytes[pos];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return pos;
    pos += 1;
  }
}

/** A string without escapes. */
export function plainString(bytes: Uint8Array, at: number): number {
  for (let pos = at + 1; pos < bytes.length; pos++) {
    const byte = bytes[pos] as number;
    if (byte === QUOTE) return pos + 1;
    if (byte === BACKSLASH || byte < 0x20) return NOT_PLAIN;
  }
  return NOT_PLAIN;
}

/** A string without escapes, of printable ASCII only. */
export function asciiString(bytes: Uint8Array, at: number): number {
  for (let pos = at + 1; pos < bytes.length; pos++) {
    const byte = bytes[pos] as number;
    if (byte === QUOTE) return pos + 1;
    if (byte === BACKSLASH || byte < 0x20 || byte >= 0x7f) return NOT_PLAIN;
  }
  return NOT_PLAIN;
}

/** Any value; white space inside it is allowed. */
export function plainValue(bytes: Uint8Array, at: number, nesting = 0): number {
  const byte = bytes[at] as number;
  if (byte === QUOTE) return plainString(bytes, at);
  if (byte === 0x7b) return plainObject(bytes, at, nesting + 1);
  if (byte === 0x5b) return plainArray(bytes, at, nesting + 1);
  if (byte === 0x74) return literal(bytes, at, TRUE);
  if (byte === 0x66) return literal(bytes, at, FALSE);
  if (byte === 0x6e) return literal(bytes, at, NULL);
  return plainNumber(bytes, at);
}

const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
export const NULL = Buffer.from('null');

export function literal(bytes: Uint8Array, at: number, word: Uint8Array): number {
  for (let i = 0; i < word.length; i++) if (bytes[at + i] !== word[i]) return NOT_PLAIN;
  return at + word.length;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function plainNumber(bytes: Uint8Array, at: number): number {
  let pos = bytes[at] === 0x2d ? at + 1 : at;
  if (!isDigit(bytes[pos])) return NOT_PLAIN;
  if (bytes[pos] === 0x30) pos += 1;
  else while (isDigit(bytes[pos])) pos += 1;
  if (bytes[pos] === 0x2e) {
    pos += 1;
    if (!isDigit(bytes[pos])) return NOT_PLAIN;
    while (isDigit(bytes[pos])) pos += 1;
  }
  const next = bytes[pos];
  const isPlain = !isDigit(next) && next !== 0x65 && next !== 0x45 && pos - at <= NUMBER_BYTES_MAX;
  return isPlain ? pos : NOT_PLAIN;
}

function plainArray(bytes: Uint8Array, at: number, nesting: number): number {
  if (nesting > NESTING_MAX) return NOT_PLAIN;
  let pos = skipSpace(bytes, at + 1);
  if (bytes[pos] === 0x5d) return pos + 1;
  for (;;) {
    pos = plainValue(bytes, pos, nesting);
    if (pos === NOT_PLAIN) return NOT_PLAIN;
    pos = skipSpace(bytes, pos);
    if (bytes[pos] === 0x5d) return pos + 1;
    if (bytes[pos] !== 0x2c) return NOT_PLAIN;
    pos = skipSpace(bytes, pos + 1);
  }
}

function plainObject(bytes: Uint8Array, at: number, nesting: number): number {
  if (nesting > NESTING_MAX) return NOT_PLAIN;
  let pos = skipSpace(bytes, at + 1);
  if (bytes[pos] === 0x7d) return pos + 1;
  const names: number[] = [];
  for (;;) {
    const nameEnd = memberName(bytes, pos, names);
    if (nameEnd === NOT_PLAIN) return NOT_PLAIN;
    pos = skipSpace(bytes, nameEnd);
    if (bytes[pos] !== 0x3a) return NOT_PLAIN;
    pos = plainValue(bytes, skipSpace(bytes, pos + 1), nesting);
    if (pos === NOT_PLAIN) return NOT_PLAIN;
    pos = skipSpace(bytes, pos);
    if (bytes[pos] === 0x7d) return pos + 1;
    if (bytes[pos] !== 0x2c) return NOT_PLAIN;
    pos = skipSpace(bytes, pos + 1);
  }
}

/** A member's name that its object does not have yet; `names` holds where those stand. */
function memberName(bytes: Uint8Array, at: number, names: number[]): number {
  if (bytes[at] !== QUOTE || isDigit(bytes[at + 1])) return NOT_PLAIN;
  const end = plainString(bytes, at);
  if (end === NOT_PLAIN || names.length > 2 * MEMBERS_MAX) return NOT_PLAIN;
  for (let i = 0; i < names.length; i += 2) {
    if (isSame(bytes, names[i] as number, names[i + 1] as number, at, end)) return NOT_PLAIN;
  }
  names.push(at, end);
  return end;
}

function isSame(bytes: Uint8Array, start: number, end: number, otherStart: number, otherEnd: number): boolean {
  if (end - start !== otherEnd - otherStart) return false;
  for (let i = 0; i < end - start; i++) if (bytes[start + i] !== bytes[otherStart + i]) return false;
  return true;
}

/** Behind whatever object begins here, plain or not, by its brackets alone; NOT_PLAIN where it does not end. */
export function skipObject(bytes: Uint8Array, at: number): number {
  let nesting = 0;
  for (let pos = at; pos < bytes.length; pos++) {
    const byte = bytes[pos] as number;
    if (byte === QUOTE) {
      pos += 1;
      while (pos < bytes.length && bytes[pos] !== QUOTE) pos += bytes[pos] === BACKSLASH ? 2 : 1;
    } else if (byte === 0x7b || byte === 0x5b) {
      nesting += 1;
    } else if (byte === 0x7d || byte === 0x5d) {
      nesting -= 1;
      if (nesting === 0) return pos + 1;
    }
  }
  return NOT_PLAIN;
}
