import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Journals } from '../../journal/index.ts';
import { COMMITTED, drafts, Lab, readAll } from '../support/journal-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

const MANUAL = { isAutomatic: false, graceMs: 60_000, partRows: 20 };

/** Segments of `rows` events each, all entities in each of them. */
async function seal(journals: Journals, segments: number, rows = 10, prefix = 's'): Promise<void> {
  for (let i = 0; i < segments; i++) await journals.append('acme', drafts(`${prefix}${i}-`, rows), COMMITTED);
}

const segmentsOnDisk = () =>
  readdirSync(join(lab.storeDir, 'acme', 'data'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.parquet'),
  );

describe('compaction', () => {
  it('makes one sorted run of disjoint parts, with the same events', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 8);
    const before = await readAll(journals, 'acme');
    const report = await journals.compact('acme');
    expect(report).toMatchObject({ merges: 1, events: 80, files_before: 8, files_after: 4 });
    expect(await readAll(journals, 'acme')).toEqual(before);
    const snapshot = await journals.snapshot('acme');
    const { paths } = await snapshot.hold(snapshot.files);
    const bounds = [];
    for (const path of paths) {
      const rows = await journals.engine.all(`SELECT entity_type, entity_id, seq FROM read_parquet('${path}')`);
      const sorted = rows.map((row) => `${row.entity_type}/${row.entity_id}/${String(row.seq).padStart(6, '0')}`);
      expect(sorted).toEqual([...sorted].sort());
      bounds.push([sorted[0] ?? '', sorted.at(-1) ?? '']);
    }
    bounds.sort();
    for (let i = 1; i < bounds.length; i++)
      expect((bounds[i]?.[0] as string) > (bounds[i - 1]?.[1] as string)).toBe(true);
    snapshot.release();
  });

  it('repeated, does nothing', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 9);
    await journals.compact('acme');
    const version = readdirSync(join(lab.storeDir, 'acme', '_delta_log')).length;
    const files = segmentsOnDisk();
    expect(await journals.compact('acme')).toMatchObject({ merges: 0, events: 0, deleted_files: 0 });
    expect(readdirSync(join(lab.storeDir, 'acme', '_delta_log'))).toHaveLength(version);
    expect(segmentsOnDisk()).toEqual(files);
  });
});
