import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Engine, sqlStrings } from '../../journal/index.ts';
import { Lab } from '../support/journal-lab.ts';
import { buildTables, type TableCopy, type Tables, withFalseStatistics } from './build-tables.ts';
import { type Dialect, everything, extremes, pruned, type Question } from './questions.ts';
import { isThere, READERS, type Reader, type TableFacts } from './readers.ts';

const lab = new Lab();
let tables: Tables;
beforeAll(async () => {
  tables = await buildTables(lab);
}, 120_000);
afterAll(() => lab.dispose());

/** Commits of the log that are still there, newest first. */
function commits(copy: TableCopy): { version: number; operation: string; txnId: string }[] {
  const log = join(copy.dir, '_delta_log');
  const names = readdirSync(log).filter((name) => name.endsWith('.json'));
  return names
    .sort()
    .reverse()
    .map((name) => {
      const [line] = readFileSync(join(log, name), 'utf8').split('\n');
      const { commitInfo } = JSON.parse(String(line)) as { commitInfo: { operation: string; txnId: string } };
      return { version: Number.parseInt(name, 10), operation: commitInfo.operation, txnId: commitInfo.txnId };
    });
}

const newest = (copy: TableCopy): number => commits(copy)[0]?.version ?? -1;

/** Each question beside its answer: what differs shows which it was. */
const answered = (questions: readonly Question[], results: Question['answer'][]) =>
  questions.map(({ sql }, index) => ({ sql, answer: results[index] }));

async function check(reader: Reader, copy: TableCopy, questions: readonly Question[], version: number | null = null) {
  const { results } = await reader.ask({ table: copy.dir, version, queries: questions.map(({ sql }) => sql) });
  expect(answered(questions, results)).toEqual(questions);
}

describe('the tables that are read', () => {
  it('have seen compaction, a checkpoint, cleanup of the log and of files', () => {
    const { appended, manyAppended, compacted, appendedAgain, cleaned } = tables;
    const inLog = (copy: TableCopy) => readdirSync(join(copy.dir, '_delta_log'));
    const onDisk = (copy: TableCopy) =>
      readdirSync(join(copy.dir, 'data'), { recursive: true, encoding: 'utf8' }).filter((name) =>
        name.endsWith('.parquet'),
      );
    expect([appended.files.length, manyAppended.files.length]).toEqual([12, 102]);
    expect(compacted.files.length).toBeLessThan(20);
    expect(onDisk(compacted).length).toBeGreaterThan(102);
    expect(inLog(manyAppended)).not.toContain('_last_checkpoint');
    for (const copy of [compacted, appendedAgain, cleaned]) expect(inLog(copy)).toContain('_last_checkpoint');
    expect(newest(appendedAgain)).toBeGreaterThan(newest(compacted));
    expect(onDisk(cleaned).length).toBeLessThan(onDisk(compacted).length - 90);
    expect(inLog(cleaned)).not.toContain(`${'0'.repeat(20)}.json`);
  });
});

for (const reader of READERS) {
  // reason: the engine is not a package of the project, and not everybody can install it; isThere says so
  describe.skipIf(!isThere(reader))(`${reader.title} reads the table as it lies`, { timeout: 120_000 }, () => {
    it('row by row and column by column', async () => {
      for (const copy of Object.values(tables)) await check(reader, copy, [everything(reader, copy.events)]);
    });

    it('and agrees wherever it asks the statistics', async () => {
      for (const copy of [tables.appended, tables.compacted, tables.cleaned]) {
        await check(reader, copy, pruned(reader, copy.events));
      }
    });

    it('which it does ask: false ones show', async () => {
      const questions = pruned(reader, tables.appended.events);
      const queries = questions.map(({ sql }) => sql);
      const { results } = await reader.ask({ table: withFalseStatistics(tables.appended), version: null, queries });
      const wrong = questions.filter(({ answer }, index) => String(answer) !== String(results[index]));
      const columns = wrong.map(({ sql }) => /WHERE (\w+)/.exec(sql)?.[1]);
      expect(columns).toEqual(expect.arrayContaining(reader.prunesBy));
    });

    it('at the versions before it was compacted and cleaned', async () => {
      const { manyAppended, compacted, appendedAgain, cleaned } = tables;
      const travels: [TableCopy, TableCopy][] = [
        [compacted, manyAppended],
        [cleaned, appendedAgain],
      ];
      for (const [from, to] of travels) {
        const questions = [everything(reader, to.events), extremes(reader, to.events)];
        await check(reader, from, questions, newest(to));
      }
    });

    if (!reader.tellsTable) return;
    it('with the protocol, the property, the files and the history that we wrote', async () => {
      for (const copy of Object.values(tables)) {
        const { table } = await reader.ask({ table: copy.dir, version: null, queries: [] });
        expect(table && facts(copy, table)).toEqual(written(copy));
      }
    });
  });
}

function facts(copy: TableCopy, { files, history, ...table }: TableFacts) {
  return {
    ...table,
    files: files.map((file) => file.slice(file.indexOf(copy.dir) + copy.dir.length + 1)).sort(),
    history: history.map(({ version, operation, txnId }) => ({ version, operation, txnId })),
  };
}

function written(copy: TableCopy) {
  return {
    version: newest(copy),
    readerVersion: 1,
    writerVersion: 2,
    configuration: { 'delta.appendOnly': 'true' },
    files: copy.files.toSorted(),
    history: commits(copy),
  };
}

describe('DuckDB reads the live files as they lie', () => {
  const dialect: Dialect = {
    micros: (column) => `CAST(epoch_us(${column}) AS VARCHAR)`,
    hex: (column) => `lower(hex(${column}))`,
    text: (value) => `'${value.replaceAll("'", "''")}'`,
    time: (micros) => `make_timestamptz(${micros})`,
  };

  it('row by row, column by column, and by filters', async () => {
    const settings = { path: ':memory:', tempDir: lab.dir, memoryLimitBytes: 2 ** 28, threads: 1, concurrency: 1 };
    const engine = await Engine.open(settings);
    onTestFinished(() => engine.close());
    for (const copy of Object.values(tables)) {
      const source = `read_parquet(${sqlStrings(copy.files.map((file) => join(copy.dir, file)))})`;
      const questions = [everything(dialect, copy.events), ...pruned(dialect, copy.events)];
      const results = [];
      for (const { sql } of questions) {
        const rows = await engine.all<Record<string, string | null>>(
          sql.replace('FROM journal', () => `FROM ${source}`),
        );
        results.push(rows.map((row) => Object.values(row)));
      }
      expect(answered(questions, results)).toEqual(questions);
    }
  });
});
