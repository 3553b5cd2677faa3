import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { Random } from '../../journal/index.ts';

/**
 * An AI key at rest: one byte of version, 12 of nonce, 16 of tag, then the ciphertext. AES-256-GCM under a key that is
 * HKDF-SHA256 of the server's secret; workspace and key id are the additional data, so that an object put in another's
 * place does not decrypt.
 */

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES;

export type KeyOwner = { workspace: string; keyId: string };

export class KeyCipher {
  readonly #key: Uint8Array;
  readonly #random: Random;

  constructor(secret: Uint8Array, random: Random) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(), 'indelible ai keys v1', 32));
    this.#random = random;
  }

  encrypt(text: string, owner: KeyOwner): Uint8Array {
    const nonce = this.#random.bytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(additionalData(owner));
    const ciphertext = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return Buffer.concat([Buffer.from([VERSION]), nonce, cipher.getAuthTag(), ciphertext]);
  }

  /** undefined: damaged, of another secret, or another's. */
  decrypt(bytes: Uint8Array, owner: KeyOwner): string | undefined {
    if (bytes.length < HEAD_BYTES || bytes[0] !== VERSION) return undefined;
    const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce)
      .setAAD(additionalData(owner))
      .setAuthTag(bytes.subarray(1 + NONCE_BYTES, HEAD_BYTES));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES)), decipher.final()]).toString('utf8');
    } catch {
      return undefined;
    }
  }
}

function additionalData({ workspace, keyId }: KeyOwner): Uint8Array {
  return Buffer.from(JSON.stringify(['indelible ai key', workspace, keyId]));
}
