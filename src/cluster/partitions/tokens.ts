import { Buffer } from 'node:buffer';
import type { ObjectStore } from '../../../journal/index.ts';

/**
 * Fencing tokens of a partition: claims in `_indelible/partitions/<partition, 4 digits>/<token, 20 digits>.json`,
 * put-if-absent. They rise for ever, whatever Redis remembers.
 */

const KEPT = 2;

/** The newest token of the partition; 0: there never was one. */
export async function newestToken(store: ObjectStore, partition: number): Promise<number> {
  return Math.max(0, ...(await claimedTokens(store, partition)));
}

/**
 * Claims the token after the newest. Of old claims all but the newest two are deleted.
 * @param claim the value of the lease it belongs to, different for each claim, and the time by the wall clock
 * @throws what the store throws; a claim that was written nevertheless is one that nobody uses
 */
export async function claimToken(
  store: ObjectStore,
  partition: number,
  claim: { lease: string; nowMs: number },
): Promise<number> {
  const body = { lease: claim.lease, claimed_at: new Date(claim.nowMs).toISOString() };
  for (;;) {
    const token = (await newestToken(store, partition)) + 1;
    const outcome = await store.putIfAbsent(keyOf(partition, token), Buffer.from(`${JSON.stringify(body)}\n`));
    if (outcome === 'exists') continue;
    const claimed = await claimedTokens(store, partition);
    // Between the list and the write others may have claimed this number and more, and deleted it as an old one.
    if (Math.max(...claimed) > token) continue;
    const old = claimed.sort((a, b) => b - a).slice(KEPT);
    // One that cannot be deleted now, or ever, harms nobody: only the newest counts.
    await Promise.allSettled(old.map((number) => store.delete(keyOf(partition, number))));
    return token;
  }
}

async function claimedTokens(store: ObjectStore, partition: number): Promise<number[]> {
  const tokens: number[] = [];
  const prefix = prefixOf(partition);
  for await (const { key } of store.list(prefix)) tokens.push(Number.parseInt(key.slice(prefix.length), 10));
  return tokens;
}

function prefixOf(partition: number): string {
  return `_indelible/partitions/${String(partition).padStart(4, '0')}/`;
}

function keyOf(partition: number, token: number): string {
  return `${prefixOf(partition)}${String(token).padStart(20, '0')}.json`;
}
