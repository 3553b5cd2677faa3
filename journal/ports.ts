/** Wall clock, milliseconds since the epoch. May jump; the journal never lets recorded_at run backwards. */
export interface Clock {
  nowMs(): number;
}

/** Cryptographically strong randomness. */
export interface Random {
  bytes(count: number): Uint8Array;
}

export type StoredObject = { key: string; sizeBytes: number; modifiedMs: number };

/**
 * The object store. Keys are `/`-separated, made of `[A-Za-z0-9._-]` only, never a user's text.
 *
 * - A write that returned is durable: it survives the loss of power.
 * - A reader sees an object whole or not at all.
 * - An error means the outcome is unknown: the write may have been applied, or may still be.
 */
export interface ObjectStore {
  /** For messages: `file:///…` or `s3://…`. */
  readonly url: string;
  /** Stores the file's bytes under a key that nobody else uses. The local file is consumed: moved or removed. */
  putFile(key: string, localPath: string): Promise<void>;
  /** Stores the bytes if no object has this key, else changes nothing: of many racing calls exactly one gets 'written'. */
  putIfAbsent(key: string, bytes: Uint8Array): Promise<'written' | 'exists'>;
  /** Replaces the object, whole or not at all. Only for what may be lost or found old: pointers, hints. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** undefined: no such object. */
  get(key: string): Promise<Uint8Array | undefined>;
  /** Objects whose key starts with the prefix, ascending by key, from after `startAfter`. */
  list(prefix: string, startAfter?: string): AsyncIterable<StoredObject>;
  /** Deleting what is not there is no error. */
  delete(key: string): Promise<void>;
  /** Where the object lies as a file on this machine; undefined where objects have to be downloaded. */
  pathOf(key: string): string | undefined;
  /**
   * Writes the whole object to a new local file; after an error there may be a part of it.
   * @throws corrupt where there is no such object: only what exists is asked for.
   */
  download(key: string, localPath: string): Promise<void>;
}
