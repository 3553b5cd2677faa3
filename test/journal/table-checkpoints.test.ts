import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryStore, Engine } from '../../journal/index.ts';
import { type Add, DeltaTable } from '../../journal/table/index.ts';
import { FaultyStore, type StoreFault } from '../support/faulty-store.ts';
import { Lab } from '../support/journal-lab.ts';

let lab: Lab;
let engine: Engine;
let store: FaultyStore;
beforeEach(async () => {
  lab = new Lab();
  store = new FaultyStore(new DirectoryStore(lab.storeDir));
  engine = await Engine.open({
    path: ':memory:',
    tempDir: lab.dir,
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 1,
    concurrency: 1,
  });
});
afterEach(async () => {
  engine.close();
  await lab.dispose();
});

const options = () => ({
  ...{ store, workspace: 'acme', clock: lab.clock, random: lab.random, engine },
  tempDir: join(lab.dir, 'scratch'),
});
const logDir = () => join(lab.storeDir, 'acme', '_delta_log');
const logFiles = () => readdirSync(logDir()).sort();
const jsonName = (version: number) => `${String(version).padStart(20, '0')}.json`;
const checkpointName = (version: number) => `${String(version).padStart(20, '0')}.checkpoint.parquet`;
const GRACE_MS = 60_000;

/** A segment's action; the table itself never looks at the file. */
function addOf(firstSeq: number, lastSeq: number, path: string): Add {
  const stats = `{"numRecords":${lastSeq - firstSeq + 1},"minValues":{"seq":${firstSeq},"actor":"ann \\"é\\""},"maxValues":{"seq":${lastSeq}},"nullCount":{}}`;
  return { path, partitionValues: {}, size: 10, modificationTime: lab.clock.ms, dataChange: true, stats };
}

async function grow(table: DeltaTable, commits: number): Promise<void> {
  for (let i = 0; i < commits; i++) {
    const seq = table.lastSeq + 1;
    expect(await table.append(addOf(seq, seq, `data/aa/s${seq}.parquet`), seq, seq)).toBe('committed');
  }
}

/** What a table says of itself. */
const told = (table: DeltaTable | undefined) => ({
  version: table?.version,
  lastSeq: table?.lastSeq,
  files: table
    ?.files()
    .map(({ add, bounds }) => ({ ...add, dataChange: true, ...bounds }))
    .sort((a, b) => a.firstSeq - b.firstSeq),
  tombstones: [...(table?.tombstones().keys() ?? [])].sort(),
});

async function optimized(): Promise<DeltaTable> {
  const table = await DeltaTable.create(options());
  await grow(table, 6);
  const inputs = table.files().map(({ add }) => add);
  const tags = { 'indelible.run': 'r1' };
  expect(await table.optimize(inputs, [{ ...addOf(0, 5, 'data/bb/run.parquet'), dataChange: false, tags }])).toBe(
    'committed',
  );
  await grow(table, 100);
  return table;
}

/** Makes what is in the log as old as the grace period. */
function age(): void {
  const old = new Date(lab.clock.ms - 2 * GRACE_MS);
  for (const name of logFiles()) utimesSync(join(logDir(), name), old, old);
}

describe('a checkpoint', () => {
  it('says what the log says, to us and to a stranger', async () => {
    const table = await optimized();
    expect(await table.checkpoint()).toBe(true);
    expect(await table.checkpoint()).toBe(false);
    await grow(table, 2);
    expect(logFiles()).toContain(checkpointName(107));
    const pointer = JSON.parse(readFileSync(join(logDir(), '_last_checkpoint'), 'utf8')) as Record<string, number>;
    const sizeInBytes = readFileSync(join(logDir(), checkpointName(107))).length;
    expect(pointer).toEqual({ version: 107, size: 2 + 1 + 6 + 101, sizeInBytes, numOfAddFiles: 101 });
    for (let version = 0; version <= 107; version++) rmSync(join(logDir(), jsonName(version)));
    const again = await DeltaTable.open(options());
    expect(told(again)).toEqual(told(table));
    await grow(again as DeltaTable, 1);
    const rows = await engine.all(
      `SELECT count(*) FILTER (add IS NOT NULL) AS adds, count(*) FILTER (remove IS NOT NULL) AS removes,
              max(protocol.minReaderVersion) AS reader, max(metaData.configuration['delta.appendOnly']) AS append_only,
              max(txn.version) AS last_seq, max(len(map_keys(add.partitionValues))) AS partitions
       FROM read_parquet('${join(logDir(), checkpointName(107))}')`,
    );
    expect(rows).toEqual([{ adds: 101n, removes: 6n, reader: 1, append_only: 'true', last_seq: 105n, partitions: 0n }]);
  });

  it.each([
    ['missing', () => rmSync(join(logDir(), '_last_checkpoint'))],
    ['cut', () => writeFileSync(join(logDir(), '_last_checkpoint'), '{"version":1')],
    ['of another form', () => writeFileSync(join(logDir(), '_last_checkpoint'), '{"version":"x"}')],
    ['leading nowhere', () => writeFileSync(join(logDir(), '_last_checkpoint'), '{"version":55}')],
    ['leading beyond the log', () => writeFileSync(join(logDir(), '_last_checkpoint'), '{"version":5555}')],
  ])('is found where the pointer to it is %s', async (_, damage) => {
    const table = await optimized();
    await table.checkpoint();
    for (let version = 0; version < 100; version++) rmSync(join(logDir(), jsonName(version)));
    damage();
    expect(told(await DeltaTable.open(options()))).toEqual(told(table));
  });

  it('that cannot be read is passed over while the commits are there, and missed when they are not', async () => {
    const table = await optimized();
    await table.checkpoint();
    writeFileSync(join(logDir(), checkpointName(107)), 'PAR1 damaged PAR1');
    expect(told(await DeltaTable.open(options()))).toEqual(told(table));
    rmSync(join(logDir(), jsonName(3)));
    await expect(DeltaTable.open(options())).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringContaining(jsonName(3)),
    });
  });

  it.each(['not-applied', 'applied'] as StoreFault[])('cut short at any call (%s) harms nothing', async (form) => {
    const table = await optimized();
    const before = told(table);
    for (let at = 0; ; at++) {
      const first = store.calls.length;
      store.decide = (_, index) => (index === first + at ? form : undefined);
      const failed = await table.checkpoint().then(
        () => false,
        () => true,
      );
      store.decide = () => undefined;
      expect(told(await DeltaTable.open(options()))).toEqual(before);
      if (!failed) break;
    }
    expect(logFiles()).toContain('_last_checkpoint');
    expect(readdirSync(join(lab.dir, 'scratch'))).toEqual([]);
  });
});

describe('cleaning the log', () => {
  async function checkpointed(): Promise<DeltaTable> {
    const table = await optimized();
    await table.checkpoint();
    await grow(table, 3);
    return table;
  }

  it('leaves what is younger than the grace period, or not behind a checkpoint', async () => {
    const table = await checkpointed();
    lab.clock.ms = Date.now();
    const before = logFiles();
    expect(await table.cleanLog(GRACE_MS)).toBe(0);
    expect(logFiles()).toEqual(before);
    age();
    expect(await table.cleanLog(GRACE_MS)).toBe(107);
    expect(logFiles()).toEqual(before.filter((name) => name >= checkpointName(107)));
    expect(await table.cleanLog(GRACE_MS)).toBe(0);
    expect(told(await DeltaTable.open(options()))).toEqual(told(table));
  });

  it('deletes nothing where the checkpoint cannot be read, or the pointer lies behind it', async () => {
    const table = await checkpointed();
    lab.clock.ms = Date.now();
    const pointer = readFileSync(join(logDir(), '_last_checkpoint'));
    const whole = readFileSync(join(logDir(), checkpointName(107)));
    writeFileSync(join(logDir(), '_last_checkpoint'), '{"version":50}');
    age();
    expect(await table.cleanLog(GRACE_MS)).toBe(0);
    writeFileSync(join(logDir(), '_last_checkpoint'), pointer);
    writeFileSync(join(logDir(), checkpointName(107)), whole.subarray(0, 1000));
    age();
    expect(await table.cleanLog(GRACE_MS)).toBe(0);
    expect(existsSync(join(logDir(), jsonName(0)))).toBe(true);
  });

  it.each(['not-applied', 'applied'] as StoreFault[])(
    'cut short at any deletion (%s), is finished later',
    async (form) => {
      const table = await checkpointed();
      lab.clock.ms = Date.now();
      age();
      for (const at of [0, 1, 50, 106]) {
        let deletions = 0;
        store.decide = (call) => (call === 'delete' && deletions++ === at ? form : undefined);
        await table.cleanLog(GRACE_MS).catch(() => {});
        store.decide = () => undefined;
        expect(told(await DeltaTable.open(options()))).toEqual(told(table));
      }
      await table.cleanLog(GRACE_MS);
      expect(logFiles()[0]).toBe(checkpointName(107));
    },
  );

  it('never lets a process that fell behind commit into the past', async () => {
    const behind = (await DeltaTable.create(options())) as DeltaTable;
    await grow(behind, 2);
    const other = (await DeltaTable.open(options())) as DeltaTable;
    await grow(other, 104);
    await other.checkpoint();
    lab.clock.ms = Date.now();
    age();
    expect(await other.cleanLog(GRACE_MS)).toBeGreaterThan(100);
    const before = logFiles();
    expect(await behind.append(addOf(2, 2, 'data/cc/late.parquet'), 2, 2)).toBe('overtaken');
    expect(logFiles()).toEqual(before);
    expect(told(behind)).toEqual(told(other));
    await grow(behind, 1);
    await other.refresh();
    expect(told(other)).toEqual(told(behind));
  });
});

describe('OPTIMIZE', () => {
  it('gives up where another process replaced one of its files, and changes nothing', async () => {
    const table = await DeltaTable.create(options());
    await grow(table, 4);
    const other = (await DeltaTable.open(options())) as DeltaTable;
    const inputs = table.files().map(({ add }) => add);
    expect(await other.optimize(inputs.slice(0, 2), [addOf(0, 1, 'data/bb/theirs.parquet')])).toBe('committed');
    const before = logFiles();
    expect(await table.optimize(inputs, [addOf(0, 3, 'data/bb/ours.parquet')])).toBe('overtaken');
    expect(logFiles()).toEqual(before);
    expect(told(table)).toEqual(told(other));
  });

  it('is rebased behind appends', async () => {
    const table = await DeltaTable.create(options());
    await grow(table, 4);
    const other = (await DeltaTable.open(options())) as DeltaTable;
    const inputs = table.files().map(({ add }) => add);
    await grow(other, 2);
    expect(await table.optimize(inputs, [addOf(0, 3, 'data/bb/ours.parquet')])).toBe('committed');
    expect(table).toMatchObject({ version: 7, lastSeq: 5 });
    await grow(other, 1);
    await table.refresh();
    expect(told(table)).toEqual(told(other));
  });

  it('that replaces files by files with other rows is found out', async () => {
    const table = await DeltaTable.create(options());
    await grow(table, 4);
    const inputs = table.files().map(({ add }) => add);
    await table.optimize(inputs, [addOf(0, 2, 'data/bb/less.parquet')]);
    await expect(table.refresh()).rejects.toMatchObject({ kind: 'corrupt' });
  });

  it('and appends race by many processes: one history, no version twice', async () => {
    const tables = [await DeltaTable.create(options())];
    await grow(tables[0] as DeltaTable, 8);
    for (let i = 0; i < 3; i++) tables.push((await DeltaTable.open(options())) as DeltaTable);
    const [first] = tables as [DeltaTable];
    const inputs = first.files().map(({ add }) => add);
    const outcomes = await Promise.all([
      ...tables.map((table, i) => table.optimize(inputs, [addOf(0, 7, `data/bb/run${i}.parquet`)])),
      ...tables.map((table, i) => table.append(addOf(8, 8, `data/cc/next${i}.parquet`), 8, 8)),
    ]);
    expect(outcomes.filter((outcome) => outcome === 'committed')).toHaveLength(2);
    for (const table of tables) await table.refresh();
    for (const table of tables) expect(told(table)).toEqual(told(first));
    expect(first.files()).toHaveLength(2);
  });
});
