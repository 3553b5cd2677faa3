import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';
import type { Random } from './ports.ts';

/** UUIDs of RFC 9562. */

function formatted(bytes: Uint8Array, version: number): string {
  bytes[6] = ((bytes[6] as number) & 0x0f) | (version << 4);
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Random. */
export function uuidV4(random: Random): string {
  return formatted(random.bytes(16), 4);
}

/** 48 bits of time, the rest random: ids of one journal sort roughly by time, which stores them small. */
export function uuidV7(random: Random, nowMs: number): string {
  const bytes = random.bytes(16);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  view.setUint16(0, Math.floor(nowMs / 2 ** 32));
  view.setUint32(2, nowMs >>> 0);
  return formatted(bytes, 7);
}

const VARIANT_DIGITS = '89ab';

/**
 * Derived from the first 16 bytes of a digest: the same input gives the same id for ever.
 * @param digest lower-case hex
 */
export function uuidV8(digest: string): string {
  const variant = VARIANT_DIGITS[Number.parseInt(digest.charAt(16), 16) & 3];
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-${variant}${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
}

/** A UUIDv8 (RFC 9562) made of SHA-256 over the parts as JSON: the same parts give the same id for ever. */
export function derivedId(...parts: readonly (string | number | null)[]): string {
  return uuidV8(hash('sha256', JSON.stringify(parts)));
}
