import type { Clock, ObjectStore, Random } from '../ports.ts';
import { uuidV4 } from '../uuid.ts';
import type { Add } from './actions.ts';
import type { DeltaTable } from './table.ts';

/** Stores a written segment under a new name; until a commit names it, nobody reads it. */
export async function uploadSegment(
  { store, clock, random }: { store: ObjectStore; clock: Clock; random: Random },
  table: DeltaTable,
  segment: { localPath: string; sizeBytes: number; stats: string },
): Promise<Add> {
  const name = uuidV4(random);
  const path = `data/${name.slice(0, 2)}/${name}.parquet`;
  await store.putFile(table.key(path), segment.localPath);
  return {
    path,
    partitionValues: {},
    size: segment.sizeBytes,
    modificationTime: clock.nowMs(),
    dataChange: true,
    stats: segment.stats,
  };
}
