import type { Clock, ObjectStore, StoredObject } from '../ports.ts';
import type { DeltaTable } from '../table/index.ts';

export type CleanupOptions = {
  store: ObjectStore;
  clock: Clock;
  /** Longer than the longest query, and twice COMMIT_WITHIN_MS or more. */
  graceMs: number;
  /** Whether somebody in this process reads the object. */
  inUse(key: string): boolean;
};

export type Cleaned = { files: number; bytes: number; logEntries: number };

/** Names that we give: nothing else under `data/` is ours to delete. */
const OUR_SEGMENT = /\/data\/[0-9a-f]{2}\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.parquet$/;

/**
 * Deletes what nobody reads any more: files that left the table longer than the grace period ago, files that never
 * became part of it and are as old, and entries of the log that a checkpoint stands for. Killed at any point it leaves
 * less to do for the next time.
 */
export async function cleanUp(options: CleanupOptions, table: DeltaTable): Promise<Cleaned> {
  const { store, clock, graceMs, inUse } = options;
  const listed: StoredObject[] = [];
  for await (const object of store.list(table.key('data/'))) if (OUR_SEGMENT.test(object.key)) listed.push(object);
  // After the listing: a file that was listed and committed since is live.
  await table.refresh();
  const before = clock.nowMs() - graceMs;
  const cleaned: Cleaned = { files: 0, bytes: 0, logEntries: 0 };
  const kept = new Set<string>();
  for (const { key, sizeBytes, modifiedMs } of listed) {
    const path = key.slice(table.key('').length);
    const leftMs = table.tombstones().get(path)?.deletionTimestamp ?? modifiedMs;
    if (table.isLive(path)) continue;
    if (leftMs > before || inUse(key)) {
      kept.add(path);
      continue;
    }
    await store.delete(key);
    cleaned.files += 1;
    cleaned.bytes += sizeBytes;
  }
  table.forget(
    [...table.tombstones()].flatMap(([path, { deletionTimestamp }]) =>
      deletionTimestamp > before || kept.has(path) ? [] : [path],
    ),
  );
  cleaned.logEntries = await table.cleanLog(graceMs);
  return cleaned;
}
