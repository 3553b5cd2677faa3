import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';
import type { CanonicalText } from '../drafts/index.ts';

/**
 * A line of the write-ahead log:
 *
 *   {"group":<offset>,"event_hash":"<64 hex>",<members of the canonical event>}\n
 *
 * event_hash is the leaf hash of the canonical event and so the line's checksum. `group` is the offset in the file at
 * which the group of lines that were written and synced together begins: a group is begun only when the one before is
 * on disk, so a damaged line that is followed by a line of a later group was acknowledged, and its damage is no torn write.
 */

const GROUP = '{"group":';
const EVENT_HASH = ',"event_hash":"';
const HASH_CHARS = 64;
const OPEN = 0x7b;
const NEWLINE = 0x0a;
const CHUNK_BYTES = 1024 * 1024;

/** Where a line stands in memory, newline excluded. */
export type LineRef = { buffer: Buffer; start: number; end: number };
export type EncodedLine = LineRef & { eventHash: string };

/**
 * Writes lines into large buffers, which go to disk as they are and then serve as the tail in memory: the canonical
 * text is encoded once, hashed where it lies, and never copied.
 */
export class LineEncoder {
  #chunk = Buffer.alloc(0);
  #at = 0;

  encode(canonical: CanonicalText, groupOffset: number): EncodedLine {
    const header = GROUP + groupOffset + EVENT_HASH;
    const headerBytes = header.length + HASH_CHARS + 2;
    this.#reserve(headerBytes + canonical.bytesMax + 1);
    const buffer = this.#chunk;
    const start = this.#at;
    // The canonical text's opening brace and the leaf prefix 0x00 stand where the header's last two bytes will.
    const body = start + headerBytes - 1;
    buffer[body - 1] = 0;
    const end = canonical.write(buffer, body);
    const eventHash = hash('sha256', buffer.subarray(body - 1, end), 'hex');
    buffer.write(`${header}${eventHash}",`, start, 'latin1');
    buffer[end] = NEWLINE;
    this.#at = end + 1;
    return { buffer, start, end, eventHash };
  }

  #reserve(bytes: number): void {
    if (this.#chunk.length - this.#at >= bytes) return;
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes));
    this.#at = 0;
  }
}

export type CheckedLine = { group: number; eventHash: string };

/** Checks a line's form and hash. undefined: damaged. The buffer is changed and restored while it works. */
export function checkLine(buffer: Buffer, start: number, end: number): CheckedLine | undefined {
  if (end - start < GROUP.length + EVENT_HASH.length + HASH_CHARS + 3) return undefined;
  if (buffer.toString('latin1', start, start + GROUP.length) !== GROUP) return undefined;
  const comma = buffer.indexOf(0x2c, start + GROUP.length);
  if (comma === -1 || comma - start > GROUP.length + 16) return undefined;
  const groupText = buffer.toString('latin1', start + GROUP.length, comma);
  if (!/^(?:0|[1-9]\d*)$/.test(groupText)) return undefined;
  const hashStart = comma + EVENT_HASH.length;
  const body = hashStart + HASH_CHARS + 1;
  if (body >= end || buffer.toString('latin1', comma, hashStart) !== EVENT_HASH) return undefined;
  const eventHash = buffer.toString('latin1', hashStart, hashStart + HASH_CHARS);
  const before = buffer[body - 1] as number;
  const comma2 = buffer[body] as number;
  buffer[body - 1] = 0;
  buffer[body] = OPEN;
  const actual = hash('sha256', buffer.subarray(body - 1, end), 'hex');
  buffer[body - 1] = before;
  buffer[body] = comma2;
  return actual === eventHash && before === 0x22 && comma2 === 0x2c
    ? { group: Number(groupText), eventHash }
    : undefined;
}
