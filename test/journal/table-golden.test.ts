import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryStore } from '../../journal/index.ts';
import { type Add, DeltaTable } from '../../journal/table/index.ts';
import { HOSTILE_TEXTS } from '../support/events.ts';
import {
  COMMITTED,
  DURABLE,
  draft,
  drafts,
  errorOf,
  Lab,
  ManualClock,
  readAll,
  SeededRandom,
} from '../support/journal-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

const GOLDEN = new URL('./golden/', import.meta.url).pathname;

/** The text is what it was when the golden file was made; UPDATE=1 makes it anew. */
function expectGolden(name: string, text: string): void {
  const path = join(GOLDEN, name);
  if (process.env.UPDATE === '1') {
    mkdirSync(GOLDEN, { recursive: true });
    writeFileSync(path, text);
  }
  expect(text).toBe(readFileSync(path, 'utf8'));
}

const logText = (workspace: string, version: number) =>
  readFileSync(join(lab.storeDir, workspace, '_delta_log', `${String(version).padStart(20, '0')}.json`), 'utf8');

describe('the table log', () => {
  it('is written to the letter', async () => {
    const journals = await lab.open();
    const options = {
      store: new DirectoryStore(lab.storeDir),
      workspace: 'acme',
      clock: new ManualClock(1767323045123),
      random: new SeededRandom('golden'),
      engine: journals.engine,
      tempDir: lab.dir,
    };
    const table = await DeltaTable.create(options);
    options.clock.ms += 1000;
    const stats = '{"numRecords":1000,"minValues":{"seq":0},"maxValues":{"seq":999},"nullCount":{"seq":0}}';
    const path = 'data/ab/abcdef00-0000-4000-8000-000000000000.parquet';
    const add: Add = {
      path,
      partitionValues: {},
      size: 47479,
      modificationTime: 1767323046000,
      dataChange: true,
      stats,
    };
    expect(await table.append(add, 0, 999)).toBe('committed');
    expectGolden('create.json', logText('acme', 0));
    expectGolden('append.json', logText('acme', 1));
    expect(await table.append({ ...add, path: 'data/ab/other.parquet' }, 0, 999)).toBe('overtaken');
    expect(readdirSync(join(lab.storeDir, 'acme', '_delta_log'))).toHaveLength(2);
    options.clock.ms += 1000;
    const part: Add = { ...add, path: 'data/cd/part.parquet', dataChange: false, tags: { 'indelible.run': 'r1' } };
    expect(await table.optimize([add], [part])).toBe('committed');
    expectGolden('optimize.json', logText('acme', 2));
    options.clock.ms += 1000;
    const order = '{"event_id":"e"}';
    expect(await table.noteOrder(order, { instead: undefined, start: table.start })).toBe('committed');
    expect(await table.noteOrder('{}', { instead: undefined, start: table.start })).toBe('overtaken');
    const start = { firstSeq: 400, beforeHash: 'ab'.repeat(32) };
    const short = {
      ...add,
      path: 'data/ef/short.parquet',
      stats: stats.replace('1000', '599').replace(':0}', ':400}'),
    };
    const log = () => readdirSync(join(lab.storeDir, 'acme', '_delta_log'));
    expect(await errorOf(table.removeBelow({ order, start, removes: [part], adds: [short] }))).toMatchObject({
      kind: 'corrupt',
    });
    expect(log()).toHaveLength(4);
    const rest = { ...short, path: 'data/ef/rest.parquet', stats: short.stats.replace('599', '600') };
    expect(await table.removeBelow({ order, start, removes: [part], adds: [rest] })).toBe('committed');
    expect(await table.removeBelow({ order, start, removes: [part], adds: [rest] })).toBe('overtaken');
    await table.settle('{}');
    await table.settle(order);
    await table.settle(order);
    expect(log()).toHaveLength(6);
    expectGolden('set-properties.json', logText('acme', 3));
    expectGolden('delete.json', logText('acme', 4));
    expectGolden('settle.json', logText('acme', 5));
  });

  it('holds one action a line, contiguous versions, strings where Delta asks for strings', async () => {
    const journals = await lab.open();
    for (let i = 0; i < 3; i++) {
      await journals.append('acme', drafts(`r${i}-`, 4), DURABLE);
      await journals.flush();
    }
    const names = readdirSync(join(lab.storeDir, 'acme', '_delta_log')).sort();
    expect(names).toEqual([0, 1, 2, 3].map((version) => `${String(version).padStart(20, '0')}.json`));
    for (const [version] of names.entries()) {
      const text = logText('acme', version);
      expect(text).toMatch(/^(\{.+\}\n)+$/);
      for (const line of text.trim().split('\n')) {
        const [[kind, action] = ['', {}]] = Object.entries(JSON.parse(line) as Record<string, object>);
        expect(['commitInfo', 'protocol', 'metaData', 'txn', 'add']).toContain(kind);
        for (const name of ['operationParameters', 'configuration']) {
          const values = (action as Record<string, Record<string, unknown>>)[name] ?? {};
          expect(Object.values(values).every((value) => typeof value === 'string')).toBe(true);
        }
      }
    }
    expect(logText('acme', 3)).toContain('"txn":{"appId":"indelible","version":11,');
  });
});

it('a checkpoint is a classic one', async () => {
  const journals = await lab.open();
  for (let i = 0; i <= 100; i++) await journals.append('acme', drafts(`c${i}-`, 1), COMMITTED);
  await journals.compact('acme');
  const [name = ''] = readdirSync(join(lab.storeDir, 'acme', '_delta_log')).filter((file) => file.endsWith('.parquet'));
  const path = join(lab.storeDir, 'acme', '_delta_log', name);
  const schema = await journals.engine.all(
    `SELECT name, type, converted_type, repetition_type FROM parquet_schema('${path}')`,
  );
  expectGolden('checkpoint-schema.json', `${schema.map((row) => JSON.stringify(row)).join('\n')}\n`);
});

describe('a segment', () => {
  it('carries statistics that hold all its events, as DuckDB reports them', async () => {
    const journals = await lab.open();
    const events = HOSTILE_TEXTS.flatMap((text, i) =>
      ['0001-01-01T00:00:00.000000Z', '2026-01-02T03:04:05.123456Z', '9999-12-31T23:59:59.999999Z'].map((time, j) =>
        draft({
          event_id: `${i}-${j}`,
          occurred_at: time,
          entity_type: text,
          entity_id: text,
          actor: text,
          field: text,
        }),
      ),
    );
    for (let from = 0; from < events.length; from += 4) {
      await journals.append('acme', events.slice(from, from + 4), DURABLE);
      await journals.flush();
    }
    const written = await readAll(journals, 'acme');
    expect(written.map((event) => [event.entity_id, event.occurred_at])).toEqual(
      events.map((event) => [event.entity_id, event.occurred_at]),
    );
    const snapshot = await journals.snapshot('acme');
    expect(snapshot.files).toHaveLength(Math.ceil(events.length / 4));
    for (const file of snapshot.files) {
      for (const event of written.slice(file.firstSeq, file.lastSeq + 1)) {
        for (const name of [
          'entity_type',
          'entity_id',
          'field',
          'actor',
          'action',
          'occurred_at',
          'recorded_at',
        ] as const) {
          const [min, max] = [file.min[name], file.max[name]];
          expect(Buffer.compare(Buffer.from(min as string), Buffer.from(event[name]))).toBeLessThanOrEqual(0);
          // No millisecond lies above the last microseconds of the year 9999.
          if (max === undefined) expect(name).toBe('occurred_at');
          else expect(Buffer.compare(Buffer.from(event[name]), Buffer.from(max))).toBeLessThanOrEqual(0);
        }
      }
    }
    snapshot.release();
  });

  it('is laid out for strangers: types, field ids, order, codec', async () => {
    const journals = await lab.open();
    await journals.append('acme', [...drafts('a', 30)].reverse(), DURABLE);
    await journals.flush();
    const snapshot = await journals.snapshot('acme');
    const [path = ''] = (await snapshot.hold(snapshot.files)).paths;
    snapshot.release();
    const schema = await journals.engine.all(
      `SELECT name, type, converted_type, field_id::INTEGER AS field_id FROM parquet_schema('${path}') WHERE name <> 'duckdb_schema'`,
    );
    expectGolden('segment-schema.json', `${schema.map((row) => JSON.stringify(row)).join('\n')}\n`);
    const codecs = await journals.engine.all(`SELECT DISTINCT compression FROM parquet_metadata('${path}')`);
    expect(codecs).toEqual([{ compression: 'ZSTD' }]);
    const rows = await journals.engine.all(`SELECT entity_type, entity_id, seq FROM read_parquet('${path}')`);
    const sorted = await journals.engine.all(
      `SELECT entity_type, entity_id, seq FROM read_parquet('${path}') ORDER BY ALL`,
    );
    expect(rows).toEqual(sorted);
    const utc = await journals.engine.all(
      `SELECT DISTINCT typeof(occurred_at) AS time, typeof(event_hash) AS hash, octet_length(event_hash) AS bytes FROM read_parquet('${path}')`,
    );
    expect(utc).toEqual([{ time: 'TIMESTAMP WITH TIME ZONE', hash: 'BLOB', bytes: 32n }]);
  });
});
