import { cleanUp, type DeltaTable } from '../../journal/index.ts';
import type { Storage } from './storage.ts';
import { storedVersions, versionDir } from './versions.ts';

/**
 * Deletes what nobody reads any more: replaced files of the table, and other versions. An older version goes when the one
 * that took its place is older than the grace period, a newer one when it was begun that long ago and never committed.
 */
export async function tidyVersions(
  storage: Storage,
  wanted: {
    workspace: string;
    name: string;
    version: number;
    table: DeltaTable;
    graceMs: number;
    inUse(key: string): boolean;
  },
): Promise<void> {
  const { store, clock } = storage;
  const { workspace, name, version, table, graceMs, inUse } = wanted;
  await cleanUp({ store, clock, graceMs, inUse }, table);
  const before = clock.nowMs() - graceMs;
  const versions = await storedVersions(store, workspace, name);
  const current = versions.find((stored) => stored.version === version);
  for (const stored of versions) {
    const isReplaced = stored.version < version && current !== undefined && current.modifiedMs <= before;
    const isLeftOver = stored.version > version && !stored.isCommitted && stored.modifiedMs <= before;
    if (isReplaced || isLeftOver)
      await deleteVersion(storage, `${workspace}/${versionDir(name, stored.version)}`, { before, inUse });
  }
}

/** All of it but what was written lately or is read; the rest goes the next time. */
async function deleteVersion(
  { store }: Storage,
  prefix: string,
  { before, inUse }: { before: number; inUse(key: string): boolean },
): Promise<void> {
  const keys: string[] = [];
  for await (const { key, modifiedMs } of store.list(prefix)) if (modifiedMs <= before && !inUse(key)) keys.push(key);
  for (const key of keys) await store.delete(key);
}
