import { IndelibleError } from '../errors.ts';
import type { ObjectStore, Random } from '../ports.ts';
import { uuidV4 } from '../uuid.ts';

const RACERS = 8;

/**
 * Proves that the store creates an object only where there is none: the commit of every journal rests on it, and some
 * services that speak S3 overwrite instead. Leaves nothing behind.
 * @throws invalid where it does not; unavailable where it cannot be asked.
 */
export async function probeStore(store: ObjectStore, random: Random): Promise<void> {
  const prefix = `_indelible/probe/${uuidV4(random)}`;
  const keys = [`${prefix}/twice`, `${prefix}/race`] as const;
  try {
    await probeTwice(store, keys[0]);
    await probeRace(store, keys[1]);
  } finally {
    // What cannot be removed is a few bytes that nobody reads; the first failure is the one to tell.
    for (const key of keys) await store.delete(key).catch(() => {});
  }
}

async function probeTwice(store: ObjectStore, key: string): Promise<void> {
  const first = await store.putIfAbsent(key, bytesOf(0));
  const second = await store.putIfAbsent(key, bytesOf(1));
  const kept = await store.get(key);
  if (first !== 'written' || second !== 'exists' || kept?.[0] !== 0) throw refusal(store, 'it replaced an object');
}

async function probeRace(store: ObjectStore, key: string): Promise<void> {
  const racers = Array.from({ length: RACERS }, (_, index) => store.putIfAbsent(key, bytesOf(index)));
  const outcomes = await Promise.allSettled(racers);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  const winners = outcomes.flatMap((outcome, index) =>
    outcome.status === 'fulfilled' && outcome.value === 'written' ? [index] : [],
  );
  const kept = await store.get(key);
  if (winners.length !== 1 || kept?.[0] !== winners[0]) {
    throw refusal(store, `of ${RACERS} writers at once ${winners.length} won`);
  }
}

function bytesOf(index: number): Uint8Array {
  return Uint8Array.of(index);
}

function refusal(store: ObjectStore, why: string): IndelibleError {
  return new IndelibleError(
    'invalid',
    `the store ${store.url} does not honour "If-None-Match: *" (${why}): two writers could destroy each other's events there. ` +
      'Choose a service that does: AWS S3, R2, MinIO and SeaweedFS in their present versions',
  );
}
