import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DirectoryStore, SegmentCache, ZERO_HASH } from '../../journal/index.ts';
import { removeBelow } from '../../journal/retention/index.ts';
import { inThisProcess } from '../../journal/segment-process/index.ts';
import { DeltaTable } from '../../journal/table/index.ts';
import { COMMITTED, drafts, errorOf, Lab } from '../support/journal-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

it('a file that is not rewritten as it was, in any column, is never committed', async () => {
  const journals = await lab.open();
  for (const prefix of ['a', 'b']) await journals.append('acme', drafts(prefix, 10), COMMITTED);
  const { engine } = journals;
  const store = new DirectoryStore(lab.storeDir);
  const { clock, random, dir } = lab;
  const table = await DeltaTable.open({ store, workspace: 'acme', clock, random, engine, tempDir: dir });
  const cache = await SegmentCache.open({ store, dir: join(dir, 'cache'), bytesMax: 0 });
  const altered = join(dir, 'altered.parquet');
  const real = inThisProcess(engine);
  const jobs = (column: string) => ({
    ...real,
    writePart: async (job: Parameters<typeof real.writePart>[0]) => {
      const change = `* REPLACE (CASE WHEN seq = 17 THEN 'other' ELSE ${column} END AS ${column})`;
      await engine.all(`COPY (SELECT ${change} FROM read_parquet('${job.paths[0]}')) TO '${altered}' (FORMAT parquet)`);
      return real.writePart({ ...job, paths: [altered] });
    },
  });
  const start = { firstSeq: 15, beforeHash: ZERO_HASH };
  for (const column of ['actor', 'metadata', 'event_id']) {
    const options = { store, cache, clock, random, tempDir: dir, jobs: jobs(column) };
    const noted = { order: '{}', start };
    const error = await errorOf(removeBelow(options, table as DeltaTable, noted, (commit) => commit()));
    expect(error).toMatchObject({ kind: 'corrupt' });
    expect(error.message).toContain('not rewritten as it is');
  }
  await table?.refresh();
  expect(table?.start.firstSeq).toBe(0);
});
