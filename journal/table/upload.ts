import type { SegmentCache } from '../cache/index.ts';
import type { Clock, Random } from '../ports.ts';
import { uuidV4 } from '../uuid.ts';
import type { Add } from './actions.ts';
import type { DeltaTable } from './table.ts';

/** Stores a written segment under a new name; until a commit names it, nobody reads it. */
export async function uploadSegment(
  { cache, clock, random }: { cache: SegmentCache; clock: Clock; random: Random },
  table: Pick<DeltaTable, 'key'>,
  segment: { localPath: string; sizeBytes: number; stats: string },
): Promise<Add> {
  const name = uuidV4(random);
  const path = `data/${name.slice(0, 2)}/${name}.parquet`;
  await cache.putFile(table.key(path), segment.localPath, segment.sizeBytes);
  return {
    path,
    partitionValues: {},
    size: segment.sizeBytes,
    modificationTime: clock.nowMs(),
    dataChange: true,
    stats: segment.stats,
  };
}
