/** Where a store is, as INDELIBLE_STORE and --store say it. */
export type StoreLocation =
  | { kind: 'directory'; path: string }
  /** The prefix has no slashes at its ends; '': the whole bucket. */
  | { kind: 's3'; bucket: string; prefix: string };

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX = /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;

/** @throws Error whose message goes on after the setting's name. */
export function parseStore(text: string): StoreLocation {
  const [, scheme, rest = ''] = /^([a-z0-9]+):\/\/(.*)$/is.exec(text) ?? [];
  if (scheme === undefined) return { kind: 'directory', path: text };
  if (scheme !== 's3') throw new Error(`must be a directory or s3://BUCKET/PREFIX, not ${JSON.stringify(text)}`);
  const slash = rest.indexOf('/');
  const bucket = slash === -1 ? rest : rest.slice(0, slash);
  const prefix = slash === -1 ? '' : rest.slice(slash + 1).replace(/\/$/, '');
  if (!BUCKET.test(bucket)) {
    throw new Error(
      `needs the name of a bucket after s3:// (3 to 63 of a-z, 0-9, dot and hyphen), not ${JSON.stringify(bucket)}`,
    );
  }
  if (prefix !== '' && !PREFIX.test(prefix)) {
    throw new Error(
      `needs a prefix of A-Z, a-z, 0-9, dot, underscore and hyphen between single slashes, not ${JSON.stringify(prefix)}`,
    );
  }
  return { kind: 's3', bucket, prefix };
}
