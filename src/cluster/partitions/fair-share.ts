/** How many partitions each live worker holds, by its name. */
export type Holdings = ReadonlyMap<string, number>;

/**
 * How many partitions a worker should hold. The shares of all workers add up to `partitions` and differ by one at most;
 * the larger ones belong to who holds most now, then by name, so that nothing moves that need not. Workers that see the
 * same holdings come to the same shares: what one gives back is another's to take, and nobody's to give back again.
 */
export function fairShare(holdings: Holdings, worker: string, partitions: number): number {
  const all = new Map(holdings);
  if (!all.has(worker)) all.set(worker, 0);
  const mine = all.get(worker) ?? 0;
  let before = 0;
  for (const [name, held] of all) if (held > mine || (held === mine && name < worker)) before++;
  return Math.floor(partitions / all.size) + (before < partitions % all.size ? 1 : 0);
}
