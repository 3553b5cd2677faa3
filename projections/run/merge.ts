import { type DeltaTable, IndelibleError, planMerge, type TableLayout, withHeld } from '../../journal/index.ts';
import { combinedSql, type Projection } from '../definition.ts';
import { contentOf, rowsRelation } from './content.ts';
import { writeRows } from './fold.ts';
import type { Storage } from './storage.ts';

/**
 * Puts one file in the place of alike ones that lie side by side, by the plan that the journal's segments are merged by,
 * until none are left. Partial sums are added up; other rows are copied as they are.
 * @throws corrupt where the new file would hold other rows: nothing is committed
 */
export async function mergeFiles(
  storage: Storage,
  projection: Projection,
  table: DeltaTable,
  { layout, isStopping }: { layout: TableLayout; isStopping(): boolean },
): Promise<void> {
  while (!isStopping()) {
    const inputs = planMerge(table.files())?.sort((a, b) => a.bounds.firstSeq - b.bounds.firstSeq);
    if (!inputs) return;
    const isUnique = projection.combine.kind === 'unique';
    const held = inputs.map((input) => table.holdable(input));
    const target = { layout, key: (path: string) => table.key(path) };
    const content = (paths: readonly string[]) =>
      storage.engine.session((run) => contentOf(run, projection, rowsRelation(projection, paths)));
    const merged = await withHeld(storage.cache, held, async (paths) => {
      const rows = rowsRelation(projection, paths) as string;
      const written = await writeRows(storage, combinedSql(projection, rows), target, isUnique);
      return written && { add: written.add, before: await content(paths) };
    });
    if (!merged) throw differing(table);
    const { add, before } = merged;
    const after = await withHeld(storage.cache, [{ key: table.key(add.path), sizeBytes: add.size }], content);
    if (after.rows !== before.rows || after.content_hash !== before.content_hash) throw differing(table);
    // Sums in other rows are other data to whoever follows the table's changes.
    const outcome = await table.optimize(
      inputs.map((input) => input.add),
      [{ ...add, dataChange: !isUnique }],
    );
    if (outcome === 'overtaken') return;
  }
}

function differing(table: DeltaTable): IndelibleError {
  return new IndelibleError('corrupt', `${table.key('')} merging gave other rows than it read: nothing was changed`);
}
