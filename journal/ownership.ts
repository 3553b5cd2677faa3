import { Buffer } from 'node:buffer';
import { IndelibleError } from './errors.ts';
import type { ObjectStore } from './ports.ts';

/**
 * Who may write to a store: claims in `_indelible/owners/<number>.json`, put-if-absent, of which the newest counts. The
 * table log refuses a second writer at its first commit; the claim refuses it before it has acknowledged anything.
 */

const PREFIX = '_indelible/owners/';

export type Claim = { number: number; writerId: string };

export async function newestClaim(store: ObjectStore): Promise<Claim | undefined> {
  let newest: string | undefined;
  for await (const object of store.list(PREFIX)) newest = object.key;
  if (newest === undefined) return undefined;
  const bytes = await store.get(newest);
  if (!bytes) throw new IndelibleError('unavailable', `${newest} was listed but cannot be read`);
  const { writer_id } = JSON.parse(Buffer.from(bytes).toString()) as { writer_id: string };
  return { number: Number(newest.slice(PREFIX.length, PREFIX.length + 20)), writerId: writer_id };
}

/**
 * Claims the store for this data directory.
 * @throws fenced where another data directory holds it and `takeOver` is not set.
 */
export async function claimStore(
  store: ObjectStore,
  claim: { writerId: string; dataDir: string; takeOver: boolean; nowMs: number },
): Promise<void> {
  for (;;) {
    const holder = await newestClaim(store);
    if (holder?.writerId === claim.writerId) return;
    if (holder && !claim.takeOver) {
      throw new IndelibleError(
        'fenced',
        `the store ${store.url} belongs to another data directory (writer ${holder.writerId}): start with that one, or with ` +
          '--take-over if it is lost or will never run again',
      );
    }
    const number = (holder?.number ?? 0) + 1;
    const key = `${PREFIX}${String(number).padStart(20, '0')}.json`;
    const body = {
      writer_id: claim.writerId,
      data_dir: claim.dataDir,
      claimed_at: new Date(claim.nowMs).toISOString(),
    };
    await store.putIfAbsent(key, Buffer.from(`${JSON.stringify(body)}\n`));
  }
}

/** @throws fenced where the store was taken over by another writer */
export async function assertOwner(store: ObjectStore, writerId: string): Promise<void> {
  const claim = await newestClaim(store);
  if (claim?.writerId === writerId) return;
  throw new IndelibleError(
    'fenced',
    `the store ${store.url} was taken over by another writer (${claim?.writerId}): stop this one`,
  );
}
