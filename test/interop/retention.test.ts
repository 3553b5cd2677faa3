import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../journal/index.ts';
import { COMMITTED, drafts, Lab, readAll } from '../support/journal-lab.ts';
import { everything } from './questions.ts';
import { isThere, READERS } from './readers.ts';

const lab = new Lab();
const table = join(lab.storeDir, 'acme');
const CUT = 33;
let before: JournalEvent[];
let after: JournalEvent[];
let before_hash: string;

/** Eight segments, compacted into parts that all reach across the cut; then the removal, and an append. */
beforeAll(async () => {
  const journals = await lab.open({ compaction: { isAutomatic: false, graceMs: 3_600_000, partRows: 20 } });
  for (let i = 0; i < 8; i++) await journals.append('acme', drafts(`s${i}-`, 10), COMMITTED);
  await journals.compact('acme');
  before = await readAll(journals, 'acme');
  const order = { cut: { seq: CUT }, reason: 'ten years', keyId: 'k', keyName: 'k' };
  const report = await journals.retention.remove('acme', order, (commit) => commit(), false);
  expect(report.files_rewritten).toBeGreaterThan(2);
  before_hash = report.before_hash;
  await journals.append('acme', drafts('later', 5), COMMITTED);
  after = await readAll(journals, 'acme');
  await lab.close(journals);
}, 120_000);
afterAll(() => lab.dispose());

for (const reader of READERS) {
  // reason: the engine is not a package of the project, and not everybody can install it; isThere says so
  describe.skipIf(!isThere(reader))(`${reader.title} reads a journal whose beginning was removed`, () => {
    it('as it is, and as it was', async () => {
      const now = everything(reader, after);
      const then = everything(reader, before);
      const ask = async (version: number | null, sql: string) =>
        (await reader.ask({ table, version, queries: [sql] })).results[0];
      expect(await ask(null, now.sql)).toEqual(now.answer);
      // Create, eight appends, the merge.
      expect(await ask(9, then.sql)).toEqual(then.answer);
    }, 120_000);

    if (!reader.tellsTable) return;
    it('with its properties, and the removal in its history', async () => {
      const { table: told } = await reader.ask({ table, version: null, queries: [] });
      expect(told?.configuration).toEqual({
        'delta.appendOnly': 'true',
        'indelible.firstSeq': String(CUT),
        'indelible.beforeHash': before_hash,
      });
      const operations = told?.history.slice(0, 6).map(({ operation }) => operation);
      const removal = ['SET TBLPROPERTIES', 'DELETE', 'WRITE', 'SET TBLPROPERTIES'];
      expect(operations).toEqual(['WRITE', ...removal, 'OPTIMIZE']);
    }, 120_000);
  });
}
