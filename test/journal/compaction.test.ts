import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Compactor } from '../../journal/compact/index.ts';
import {
  DirectoryStore,
  Engine,
  type JournalEvent,
  type Journals,
  SegmentCache,
  snapshotFiles,
} from '../../journal/index.ts';
import { inThisProcess, type SegmentJobs } from '../../journal/segment-process/index.ts';
import { DeltaTable } from '../../journal/table/index.ts';
import { runExport, verifySnapshot, WorkerPool } from '../../queries/index.ts';
import { HOSTILE_TEXTS } from '../support/events.ts';
import { FaultyStore, type StoreFault } from '../support/faulty-store.ts';
import { COMMITTED, chainFault, draft, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
  // Files in the store carry the machine's time.
  lab.clock.ms = Date.now();
});
afterEach(() => lab.dispose());

const GRACE_MS = 3_600_000;
const MANUAL = { isAutomatic: false, graceMs: GRACE_MS, partRows: 20 };

/** Segments of `rows` events each, all entities in each of them. */
async function seal(journals: Journals, segments: number, rows = 10, prefix = 's'): Promise<void> {
  for (let i = 0; i < segments; i++) await journals.append('acme', drafts(`${prefix}${i}-`, rows), COMMITTED);
}

const fails = (work: Promise<unknown>) =>
  work.then(
    () => false,
    () => true,
  );

const filesBelow = (dir: string) =>
  existsSync(dir)
    ? readdirSync(dir, { recursive: true, encoding: 'utf8', withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .sort()
    : [];
const segmentsOnDisk = () => filesBelow(join(lab.storeDir, 'acme', 'data'));
const logOnDisk = () => filesBelow(join(lab.storeDir, 'acme', '_delta_log'));

/** The rows of each of the journal's files, as they lie. */
async function fileRows(journals: Journals): Promise<{ entity_type: string; entity_id: string; seq: bigint }[][]> {
  const snapshot = await journals.snapshot('acme');
  try {
    const { paths } = await snapshot.hold(snapshot.files);
    const files = [];
    for (const path of paths) {
      files.push(await journals.engine.all(`SELECT entity_type, entity_id, seq FROM read_parquet('${path}')`));
    }
    return files as { entity_type: string; entity_id: string; seq: bigint }[][];
  } finally {
    snapshot.release();
  }
}

function compareRows(a: { entity_type: string; entity_id: string; seq: bigint }, b: typeof a): number {
  const bytes = (text: string) => Buffer.from(text);
  return (
    Buffer.compare(bytes(a.entity_type), bytes(b.entity_type)) ||
    Buffer.compare(bytes(a.entity_id), bytes(b.entity_id)) ||
    Number(a.seq - b.seq)
  );
}

/** Every file sorted, no two with keys in common. */
async function expectOneRun(journals: Journals): Promise<void> {
  const files = (await fileRows(journals)).sort((a, b) => compareRows(a[0] as never, b[0] as never));
  const rows = files.flat();
  expect(rows).toEqual([...rows].sort(compareRows));
}

describe('compaction', () => {
  it('makes one sorted run of disjoint parts, with the same events', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 8);
    const before = await readAll(journals, 'acme');
    expect(await journals.stats('acme')).toMatchObject({ persisted_files: 8, mergeable_files: 8 });
    const report = await journals.compact('acme');
    expect(report).toMatchObject({ merges: 1, events: 80, files_before: 8, deleted_files: 0 });
    expect(report.files_after).toBeGreaterThan(2);
    expect(await readAll(journals, 'acme')).toEqual(before);
    await expectOneRun(journals);
    expect(await journals.stats('acme')).toMatchObject({ persisted_files: report.files_after, mergeable_files: 0 });
  });

  it('repeated, does nothing', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 9);
    await journals.compact('acme');
    const [log, segments] = [logOnDisk(), segmentsOnDisk()];
    expect(await journals.compact('acme')).toMatchObject({ merges: 0, events: 0, deleted_files: 0 });
    expect([logOnDisk(), segmentsOnDisk()]).toEqual([log, segments]);
  });

  it.each([
    ['hostile texts', HOSTILE_TEXTS],
    ['ids of a thousand characters', [1, 2, 3].map((i) => `${'x'.repeat(1000)}${i}`)],
    ['one entity and nothing else', ['hot']],
    ['the empty text', ['']],
  ])('keeps %s apart and whole', async (_, texts) => {
    const journals = await lab.open({ compaction: { ...MANUAL, partRows: 7 } });
    let made = 0;
    for (let segment = 0; segment < 8; segment++) {
      const events = texts.flatMap((entity_type) =>
        texts.slice(0, 5).map((entity_id) => {
          made += 1;
          const metadata = made % 3 === 0 ? '{}' : null;
          return draft({
            event_id: `h${made}`,
            entity_type,
            entity_id,
            actor: entity_type,
            field: entity_id,
            metadata,
          });
        }),
      );
      await journals.append('acme', events, COMMITTED);
    }
    const before = await readAll(journals, 'acme');
    expect(await journals.compact('acme')).toMatchObject({ merges: 1, events: made });
    expect(await readAll(journals, 'acme')).toEqual(before);
    expect(chainFault(before)).toBeUndefined();
    await expectOneRun(journals);
  });

  it('goes on with what was compacted before: events are found, repeated and not stored twice', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 8);
    await journals.compact('acme');
    await seal(journals, 8, 10, 't');
    await journals.compact('acme');
    const before = await readAll(journals, 'acme');
    await lab.close(journals);
    const again = await lab.open({ compaction: MANUAL });
    expect(await again.append('acme', drafts('s3-', 10), COMMITTED)).toMatchObject({
      count: 0,
      duplicates: 10,
      last_seq: null,
    });
    expect(await errorOf(again.append('acme', [draft({ event_id: 's3-1', actor: 'eve' })], COMMITTED))).toMatchObject({
      kind: 'conflict',
    });
    expect((await again.find('acme', 't7-9'))?.seq).toBe(159);
    await again.append('acme', drafts('new', 1), COMMITTED);
    expect((await readAll(again, 'acme')).slice(0, 160)).toEqual(before);
  });

  it('changes nothing that verification or an export shows', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    const pool = await WorkerPool.open({ tempDir: join(lab.dir, 'workers'), concurrency: 1, waitingMax: 0 });
    const limits = { timeMs: 60_000, stallMs: 60_000, memoryBytes: 2 ** 28, tempBytes: 2 ** 30, threads: 1 };
    const signal = new AbortController().signal;
    const shown = async () => {
      const snapshot = await journals.snapshot('acme');
      try {
        const files = await snapshotFiles(snapshot);
        const found: unknown[] = [await verifySnapshot(pool, files, { limits, signal })];
        for (const format of ['csv', 'ndjson'] as const) {
          const { body } = await runExport(pool, files, { format, profile: 'raw', filter: {}, limits, signal });
          found.push(await new Response(body).text());
        }
        return found;
      } finally {
        snapshot.release();
      }
    };
    try {
      await seal(journals, 8);
      const before = await shown();
      expect(before[0]).toMatchObject({ valid: true, events: 80 });
      await journals.compact('acme');
      expect(await shown()).toEqual(before);
    } finally {
      await pool.close();
    }
  });

  it('commits nothing where an input is not what was written', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 8);
    const [victim = '', donor = ''] = segmentsOnDisk();
    const whole = readFileSync(victim);
    // A whole file with other events, of which it has as many: only the digest of what is written could tell.
    const rows = await journals.engine.all(`SELECT count(*) AS n FROM read_parquet('${victim}')`);
    await journals.engine.all(
      `COPY (SELECT * FROM read_parquet('${victim}') LIMIT 9) TO '${donor}.new' (FORMAT parquet)`,
    );
    expect(rows).toEqual([{ n: 10n }]);
    writeFileSync(victim, readFileSync(`${donor}.new`));
    const before = logOnDisk();
    expect(await errorOf(journals.compact('acme'))).toMatchObject({ kind: 'corrupt' });
    expect(logOnDisk()).toEqual(before);
    writeFileSync(victim, whole);
    expect(await journals.compact('acme')).toMatchObject({ merges: 1 });
  });
});

it.each(['event_id', 'metadata', 'event_hash'])(
  'a part with another %s than was read is never committed',
  async (column) => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 8);
    await lab.close(journals);
    const store = new DirectoryStore(lab.storeDir);
    const engine = await Engine.open({
      ...{ path: ':memory:', tempDir: lab.dir, memoryLimitBytes: 2 ** 28, threads: 1, concurrency: 1 },
    });
    const cache = await SegmentCache.open({ store, dir: join(lab.dir, 'cache'), bytesMax: 0 });
    const real = inThisProcess(engine);
    const [victim = ''] = segmentsOnDisk();
    const other = join(lab.dir, 'other.parquet');
    const value = column === 'event_hash' ? "unhex(repeat('ab', 32))" : "'other'";
    await engine.all(
      `COPY (SELECT * REPLACE (CASE WHEN seq % 10 = 3 THEN ${value} ELSE ${column} END AS ${column}) FROM read_parquet('${victim}')) TO '${other}' (FORMAT parquet)`,
    );
    const jobs: SegmentJobs = {
      ...real,
      writePart: (job) => real.writePart({ ...job, paths: job.paths.map((path) => (path === victim ? other : path)) }),
    };
    const { clock, random } = lab;
    const options = { ...{ store, cache, clock, random, jobs, observer: {} }, partRows: 20, graceMs: GRACE_MS };
    const compactor = new Compactor({ ...options, tempDir: lab.dir });
    const tableOptions = { ...{ store, clock, random, engine }, workspace: 'acme', tempDir: lab.dir };
    const table = (await DeltaTable.open(tableOptions)) as DeltaTable;
    const [log, segments] = [logOnDisk(), segmentsOnDisk()];
    const target = { workspace: 'acme', table, publish: () => {}, inUse: () => false };
    expect(await errorOf(compactor.compact(target))).toMatchObject({ kind: 'corrupt' });
    expect([logOnDisk(), segmentsOnDisk()]).toEqual([log, segments]);
    engine.close();
  },
);

describe('compaction cut short', () => {
  it.each(['not-applied', 'applied'] as StoreFault[])('at every call of the store in turn, %s', async (form) => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store, compaction: MANUAL });
    let before: JournalEvent[] = [];
    for (let at = 0; ; at++) {
      await seal(journals, 8, 2, `r${at}-`);
      before = await readAll(journals, 'acme');
      const first = store.calls.length;
      store.decide = (_, index) => (index === first + at ? form : undefined);
      const failed = await fails(journals.compact('acme'));
      store.decide = () => undefined;
      expect(await readAll(journals, 'acme')).toEqual(before);
      await journals.append('acme', drafts(`more${at}-`, 1), COMMITTED);
      if (!failed) break;
      await journals.compact('acme');
      expect(await readAll(journals, 'acme')).toEqual([
        ...before,
        expect.objectContaining({ event_id: `more${at}-0` }),
      ]);
    }
    expect(store.calls.length).toBeGreaterThan(20);
    await lab.close(journals);
    const again = await lab.open({ compaction: MANUAL });
    const events = await readAll(again, 'acme');
    expect(chainFault(events)).toBeUndefined();
    expect(events).toHaveLength(before.length + 1);
  });
});

describe('cleanup', () => {
  it('deletes what was replaced once the grace period is over, and nothing else', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 8);
    const foreign = join(lab.storeDir, 'acme', 'data', 'notes.parquet');
    writeFileSync(foreign, 'not ours');
    const replaced = segmentsOnDisk().filter((path) => path !== foreign);
    await journals.compact('acme');
    const parts = segmentsOnDisk().filter((path) => path !== foreign && !replaced.includes(path));
    lab.clock.ms += GRACE_MS - 60_000;
    expect(await journals.compact('acme')).toMatchObject({ deleted_files: 0 });
    lab.clock.ms += 120_000;
    expect(await journals.compact('acme')).toMatchObject({ deleted_files: replaced.length });
    expect(segmentsOnDisk()).toEqual([...parts, foreign].sort());
    expect(await journals.compact('acme')).toMatchObject({ deleted_files: 0 });
    expect(await readAll(journals, 'acme')).toHaveLength(80);
  });

  it('deletes files that were never committed, once they are old', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store, compaction: MANUAL });
    await seal(journals, 8);
    const live = segmentsOnDisk();
    // The commit fails: its parts stay, since it might still come.
    store.decide = (call) => (call === 'putIfAbsent' ? 'not-applied' : undefined);
    await expect(journals.compact('acme')).rejects.toThrow('injected');
    store.decide = () => undefined;
    const orphans = segmentsOnDisk().filter((path) => !live.includes(path));
    expect(orphans.length).toBeGreaterThan(2);
    await journals.compact('acme');
    for (const path of orphans) expect(existsSync(path)).toBe(true);
    lab.clock.ms += GRACE_MS + 60_000;
    expect(await journals.compact('acme')).toMatchObject({ deleted_files: orphans.length + 8 });
    for (const path of [...orphans, ...live]) expect(existsSync(path)).toBe(false);
    expect(await readAll(journals, 'acme')).toHaveLength(80);
  });

  it('leaves the files of an open snapshot, which sees what it saw', async () => {
    const journals = await lab.open({ compaction: MANUAL });
    await seal(journals, 8);
    const snapshot = await journals.snapshot('acme');
    const before = await readAll(journals, 'acme');
    await journals.compact('acme');
    lab.clock.ms += GRACE_MS + 60_000;
    expect(await journals.compact('acme')).toMatchObject({ deleted_files: 0 });
    const { paths } = await snapshot.hold(snapshot.files);
    const [rows] = await journals.engine.all(
      `SELECT count(*) AS n, sum(seq) AS sum FROM read_parquet([${paths.map((path) => `'${path}'`).join()}])`,
    );
    expect(rows).toEqual({ n: 80n, sum: (79n * 80n) / 2n });
    expect(snapshot.files).toHaveLength(8);
    snapshot.release();
    expect(await journals.compact('acme')).toMatchObject({ deleted_files: 8 });
    expect(await readAll(journals, 'acme')).toEqual(before);
  });

  it.each(['not-applied', 'applied'] as StoreFault[])('cut short at any call (%s), is finished later', async (form) => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store, compaction: MANUAL });
    await seal(journals, 8);
    const before = await readAll(journals, 'acme');
    const { files_after } = await journals.compact('acme');
    lab.clock.ms += GRACE_MS + 60_000;
    for (let at = 0; ; at++) {
      const first = store.calls.length;
      store.decide = (_, index) => (index === first + at ? form : undefined);
      const failed = await fails(journals.compact('acme'));
      store.decide = () => undefined;
      expect(await readAll(journals, 'acme')).toEqual(before);
      if (!failed) break;
    }
    expect(segmentsOnDisk()).toHaveLength(files_after);
  });
});

describe('in the background', () => {
  it('follows the seals, while queries see one snapshot each', async () => {
    const journals = await lab.open({ compaction: { ...MANUAL, isAutomatic: true } });
    await seal(journals, 1, 5, 'first');
    let isDone = false;
    const reading = (async () => {
      let reads = 0;
      while (!isDone) {
        const events = await readAll(journals, 'acme');
        expect(chainFault(events)).toBeUndefined();
        reads += 1;
      }
      return reads;
    })();
    await seal(journals, 40, 5);
    isDone = true;
    expect(await reading).toBeGreaterThan(0);
    await journals.compact('acme');
    expect((await journals.stats('acme')).persisted_files).toBeLessThan(30);
    expect(chainFault(await readAll(journals, 'acme'))).toBeUndefined();
    await lab.close(journals);
  });

  it('closing gives up what is under way, and the next start goes on', async () => {
    const journals = await lab.open({ compaction: { ...MANUAL, isAutomatic: true } });
    await seal(journals, 30, 5);
    await lab.close(journals);
    const again = await lab.open({ compaction: MANUAL });
    await again.compact('acme');
    expect(await readAll(again, 'acme')).toHaveLength(150);
  });
});

it('costs few files and few writes', async () => {
  const store = new FaultyStore(new DirectoryStore(lab.storeDir));
  const journals = await lab.open({ store, compaction: { ...MANUAL, partRows: 250 } });
  const rowsASegment = 100;
  await seal(journals, 64, rowsASegment);
  const puts = () =>
    store.calls.filter(({ call }) => call === 'putFile' || call === 'putIfAbsent' || call === 'put').length;
  const sealing = puts();
  expect(sealing / 64).toBeLessThan(2.2);
  const { files_after } = await journals.compact('acme');
  // As with segments of a hundred thousand events: parts of 250 thousand make four files a million.
  expect(files_after).toBeLessThan((64 * rowsASegment) / 250 + 8);
  expect(puts() - sealing).toBeLessThanOrEqual(files_after + 1);
});
