import type { EntityKey, KeyRange } from '../segment/index.ts';
import { compareKeys } from '../segment/index.ts';
import type { TableFile } from '../table/index.ts';
import { compareUtf8 } from '../utf8-order.ts';

/** Names in `add.tags` the run that a file is a part of. Files without it, whoever wrote them, are runs of their own. */
export const RUN_TAG = 'indelible.run';

/** Alike runs that are worth a merge; each merge makes a run at least this many times larger. */
export const FAN_IN = 8;
/** Files that one merge reads at most: each is open at the same time. */
const MERGED_FILES_MAX = 128;

/** Rows of a part of a run, measured in docs/adr/0008-compaction.md. */
export const PART_ROWS = 250_000;

/** Files with disjoint ranges of keys, made by one merge; or one file that was sealed. */
type SortedRun = { files: TableFile[]; rows: number; firstSeq: number; tier: number };

/**
 * The files that should become one run now; undefined: none. Size-tiered: at least FAN_IN runs of a tier that lie side
 * by side in the order of seq, together with the smaller ones between them. Every event of a merge rises by a tier or
 * more, so it is rewritten at most as often as there are tiers, and a run alone is never touched.
 */
export function planMerge(files: readonly TableFile[]): TableFile[] | undefined {
  const runs = sortedRuns(files);
  const tiers = [...new Set(runs.map(({ tier }) => tier))].sort((a, b) => b - a);
  for (const tier of tiers) {
    for (const window of windows(runs, tier)) {
      const merged = firstFiles(window);
      if (merged.filter((run) => run.tier === tier).length >= FAN_IN) return merged.flatMap((run) => run.files);
    }
  }
  return undefined;
}

function sortedRuns(files: readonly TableFile[]): SortedRun[] {
  const byRun = Map.groupBy(files, ({ add }) => add.tags?.[RUN_TAG] ?? add.path);
  const runs = [...byRun.values()].map((members) => {
    const rows = members.reduce((sum, { bounds }) => sum + bounds.rows, 0);
    const firstSeq = Math.min(...members.map(({ bounds }) => bounds.firstSeq));
    return { files: members, rows, firstSeq, tier: tierOf(rows) };
  });
  return runs.sort((a, b) => a.firstSeq - b.firstSeq);
}

/** Runs are alike when they have as many rows within a factor of FAN_IN. */
export function tierOf(rows: number): number {
  let tier = 0;
  for (let size = FAN_IN; size <= rows; size *= FAN_IN) tier += 1;
  return tier;
}

/** Neighbours of at most this tier, as many as there are, oldest first. */
function windows(runs: readonly SortedRun[], tier: number): SortedRun[][] {
  const found: SortedRun[][] = [[]];
  for (const run of runs) {
    if (run.tier > tier) found.push([]);
    else found.at(-1)?.push(run);
  }
  return found;
}

function firstFiles(window: readonly SortedRun[]): SortedRun[] {
  let files = 0;
  return window.filter((run, index) => {
    files += run.files.length;
    return index < FAN_IN || files <= MERGED_FILES_MAX;
  });
}

/** Bytes of a part at most, as stored: of wide events a part has fewer, since writing one takes memory for all of it. */
const PART_BYTES_MAX = 32 * 1024 * 1024;

/** How many parts a run of so many rows and bytes has. */
export function partCount(rows: number, bytes: number, partRows: number): number {
  return Math.max(1, Math.round(rows / partRows), Math.ceil(bytes / PART_BYTES_MAX));
}

/**
 * Cuts all keys into ranges that hold about as many events each, judging by a sample. An entity is cut only where it
 * fills a range by itself.
 */
export function keyRanges(sample: readonly EntityKey[], parts: number): KeyRange[] {
  const sorted = [...sample].sort(compareKeys);
  const cuts: EntityKey[] = [];
  // Before the first entity there is nothing to cut off.
  let last = sorted[0] && startOf(sorted[0]);
  for (let part = 1; part < parts; part++) {
    const key = sorted[Math.floor((part * sorted.length) / parts)];
    if (!key || !last) continue;
    const cut = compareKeys(startOf(key), last) <= 0 ? key : startOf(key);
    if (compareKeys(cut, last) <= 0) continue;
    cuts.push(cut);
    last = cut;
  }
  return [...cuts, null].map((to, index) => ({ from: cuts[index - 1] ?? null, to }));
}

function startOf(key: EntityKey): EntityKey {
  return { ...key, seq: 0 };
}

const CODE_POINT_MAX = '\u{10ffff}';

/** Whether a file may hold events of the range, by its statistics. */
export function mayOverlap({ bounds: { min, max } }: TableFile, { from, to }: KeyRange): boolean {
  if (from && isBelow(max.entity_type, from.entityType)) return false;
  if (to && isAbove(min.entity_type, to.entityType)) return false;
  // Only within one entity_type do the bounds of entity_id tell.
  const type = min.entity_type;
  if (type === undefined || type !== max.entity_type) return true;
  if (from?.entityType === type && isBelow(max.entity_id, from.entityId)) return false;
  return !(to?.entityType === type && isAbove(min.entity_id, to.entityId));
}

function isBelow(max: string | undefined, text: string): boolean {
  if (max === undefined || compareUtf8(max, text) >= 0) return false;
  // What was cut off an upper bound may itself begin with the greatest character.
  return !(max.endsWith(CODE_POINT_MAX) && text.startsWith(max));
}

function isAbove(min: string | undefined, text: string): boolean {
  return min !== undefined && compareUtf8(min, text) > 0;
}
