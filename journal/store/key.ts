import { assert } from '../errors.ts';

const KEY = /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;

/** A key is made by us, never a user's text: nothing else may become a path or a name in a bucket. */
export function assertKey(key: string): void {
  assert(KEY.test(key), `object key '${key}' is outside the alphabet of keys`);
}
