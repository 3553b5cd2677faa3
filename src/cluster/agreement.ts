import { Buffer } from 'node:buffer';
import type { ObjectStore } from '../../journal/index.ts';

const KEY = '_indelible/partitions.json';

/**
 * Settles for ever how many partitions there are: the first process of a store decides. Redis is told too, and forgets
 * when it is emptied; a workspace that came to another partition then would meet a lower token, and nobody could write it.
 * @throws Error that names the setting, where another number was decided
 */
export async function agreePartitionsInStore(store: ObjectStore, partitions: number): Promise<void> {
  await store.putIfAbsent(KEY, Buffer.from(`${JSON.stringify({ partitions })}\n`));
  const agreed = JSON.parse(Buffer.from((await store.get(KEY)) ?? []).toString()) as { partitions: number };
  if (agreed.partitions === partitions) return;
  const set = `set INDELIBLE_PARTITIONS=${agreed.partitions}, for every process the same`;
  throw new Error(`this store has ${agreed.partitions} partitions, not ${partitions}: ${set}`);
}
