import { createHmac, timingSafeEqual } from 'node:crypto';
import { invalid } from '../journal/index.ts';

/** What a cursor belongs to. It is worthless anywhere else: another workspace, route or filter refuses it. */
export type CursorScope = {
  workspace: string;
  route: string;
  /** The query's parameters but limit and cursor; undefined ones do not count, nor does their order. */
  filter: Readonly<Record<string, string | number | boolean | undefined>>;
};

const SEQ_BYTES = 6;
const TAG_BYTES = 16;
const VERSION = 'indelible-cursor-1';

/** Base64url of the position (48 bits, big-endian) and a truncated HMAC-SHA-256 over it and the scope. */
export function encodeCursor(secret: Uint8Array, scope: CursorScope, seq: number): string {
  const token = Buffer.alloc(SEQ_BYTES + TAG_BYTES);
  token.writeUIntBE(seq, 0, SEQ_BYTES);
  tag(secret, scope, seq).copy(token, SEQ_BYTES);
  return token.toString('base64url');
}

/**
 * The position that the cursor carries.
 *
 * @throws invalid at /cursor for anything that encodeCursor did not make for this scope.
 */
export function decodeCursor(secret: Uint8Array, scope: CursorScope, cursor: string): number {
  const token = Buffer.from(cursor, 'base64url');
  // Decoding is lenient, so one token has many spellings: only our own counts.
  if (token.length !== SEQ_BYTES + TAG_BYTES || token.toString('base64url') !== cursor) throw refused();
  const seq = token.readUIntBE(0, SEQ_BYTES);
  if (!timingSafeEqual(token.subarray(SEQ_BYTES), tag(secret, scope, seq))) throw refused();
  return seq;
}

function tag(secret: Uint8Array, scope: CursorScope, seq: number): Buffer {
  const filter = Object.entries(scope.filter)
    .filter(([, value]) => value !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : 1));
  const message = JSON.stringify([VERSION, scope.workspace, scope.route, filter, seq]);
  return createHmac('sha256', secret).update(message).digest().subarray(0, TAG_BYTES);
}

function refused(): Error {
  return invalid([
    {
      pointer: '/cursor',
      message: 'is not a cursor of this query: repeat the query that gave it unchanged, or leave the cursor out',
    },
  ]);
}
