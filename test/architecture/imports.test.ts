import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { afterEach, describe, expect, it } from 'vitest';
import configuration, { ranks } from '../../.dependency-cruiser.mjs';
import {
  browserViolations,
  doorViolations,
  pureGlobalViolations,
  pureImportViolations,
} from './support/import-rules.ts';
import { browserModules, isPure, pureModules } from './support/layers.ts';
import { repository, sourceFiles } from './support/source-files.ts';
import { parseFile } from './support/syntax.ts';

const product = sourceFiles(ranks).map(parseFile);

const parse = (files: Record<string, string>) =>
  Object.entries(files).map(([file, text]) => parseFile({ path: file, text }));

async function cruiseFolders(folders: readonly string[], baseDir: string): Promise<ICruiseResult> {
  const ruleSet = { forbidden: configuration.forbidden ?? [] };
  const { output } = await cruise([...folders], { ...configuration.options, ruleSet, validate: true, baseDir });
  if (typeof output === 'string') throw new Error('dependency-cruiser answered with text');
  return output;
}

const broken = ({ summary }: ICruiseResult): string[] =>
  summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`).sort();

describe('who imports whom', () => {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true });
  });

  async function cruiseFixture(files: Record<string, string>): Promise<string[]> {
    const base = mkdtempSync(path.join(tmpdir(), 'indelible-architecture-'));
    made.push(base);
    const manifest = { name: 'fixture', type: 'module', devDependencies: { tool: '1.0.0' } };
    const tool = { name: 'tool', version: '1.0.0', main: 'index.js' };
    const all = {
      'package.json': JSON.stringify(manifest),
      'node_modules/tool/package.json': JSON.stringify(tool),
      'node_modules/tool/index.js': '',
      ...files,
    };
    for (const [file, text] of Object.entries(all)) {
      mkdirSync(path.dirname(path.join(base, file)), { recursive: true });
      writeFileSync(path.join(base, file), text);
    }
    const folders = new Set(Object.keys(files).map((file) => file.split('/')[0] ?? ''));
    return broken(await cruiseFolders([...folders], base));
  }

  it('holds for every module of the product', async () => {
    const result = await cruiseFolders([...ranks, 'test', 'bench'], repository);
    const cruised = result.modules.filter(({ source }) => ranks.some((folder) => source.startsWith(`${folder}/`)));
    // Under TypeScript 7 dependency-cruiser sees nothing unless swc parses, and finds no fault in nothing.
    expect(cruised.map(({ source }) => source).sort()).toEqual(product.map((file) => file.path).sort());
    expect(cruised.length).toBeGreaterThan(0);
    expect(result.summary.totalDependenciesCruised ?? 0).toBeGreaterThan(cruised.length / 2);
    expect(broken(result)).toEqual([]);
  });

  it('catches an import that goes upward, from every rank to every higher one', async () => {
    for (const [rank, low] of ranks.entries()) {
      for (const high of ranks.slice(rank + 1)) {
        const from = `${low}/index.ts`;
        const to = `${high}/index.ts`;
        const files = { [from]: `export { a } from '../${to}';\n`, [to]: 'export const a = 1;\n' };
        expect(await cruiseFixture(files)).toContain(`downward-only-${low}: ${from} → ${to}`);
      }
    }
  });

  it('catches a cycle, also one of types', async () => {
    const found = await cruiseFixture({
      'journal/index.ts': "export { a } from './a.ts';\n",
      'journal/a.ts': "import type { B } from './b.ts';\nexport const a: B = 1;\n",
      'journal/b.ts': "import { a } from './a.ts';\nexport type B = number;\nexport const b = a;\n",
    });
    expect(found.map((line) => line.split(':')[0])).toContain('no-cycles');
  });

  it('catches a module that nobody imports, and one that only a test imports', async () => {
    const found = await cruiseFixture({
      'journal/index.ts': "export { used } from './used.ts';\n",
      'journal/used.ts': 'export const used = 1;\n',
      'journal/alone.ts': 'export const alone = 1;\n',
      'journal/tested.ts': 'export const tested = 1;\n',
      'test/tested.test.ts': "import { tested } from '../journal/tested.ts';\nconsole.log(tested);\n",
    });
    expect(found).toEqual([
      'no-orphans: journal/alone.ts → journal/alone.ts',
      'no-unreachable: journal/alone.ts → journal/alone.ts',
      'no-unreachable: journal/tested.ts → journal/tested.ts',
    ]);
  });

  it('catches a product that needs tests, development dependencies or what does not exist', async () => {
    const found = await cruiseFixture({
      'src/main.ts': "import '../test/help.ts';\nimport 'tool';\nimport './missing.ts';\n",
      'test/help.ts': 'export {};\n',
    });
    expect(found.map((line) => line.split(':')[0])).toEqual([
      'everything-resolves',
      'product-needs-no-development-dependency',
      'product-needs-no-tests',
    ]);
  });
});

describe('doors', () => {
  it('are the only way into a folder', () => {
    expect(product.filter((file) => file.imports.some(({ relative }) => relative)).length).toBeGreaterThan(0);
    expect(doorViolations(product, ranks)).toEqual([]);
  });

  it('catch a way past them', () => {
    const files = parse({
      'src/a.ts': "import { w } from '../journal/wal/index.ts';",
      'journal/b.ts': "export { x } from './wal/x.ts';",
      'journal/wal/c.ts': "const late = await import('../table/actions.ts');",
      'journal/wal/d.ts': "import type { J } from '../index.ts';",
      'journal/wal/e.ts': "import { w } from './index.ts';",
    });
    expect(doorViolations(files, ranks)).toEqual([
      'src/a.ts imports journal/wal/index.ts, past the door journal/index.ts',
      'journal/b.ts imports journal/wal/x.ts, past the door journal/wal/index.ts',
      'journal/wal/c.ts imports journal/table/actions.ts, past the door journal/table/index.ts',
      'journal/wal/d.ts imports the door of its own folder, journal/index.ts',
      'journal/wal/e.ts imports the door of its own folder, journal/wal/index.ts',
    ]);
  });

  it('let through what uses them', () => {
    const files = parse({
      'src/a.ts': "import { j } from '../journal/index.ts';",
      'journal/b.ts': "import { w } from './wal/index.ts'; import { c } from './c.ts';",
      'journal/wal/d.ts': "import { e } from '../errors.ts'; import { t } from '../table/index.ts';",
    });
    expect(doorViolations(files, ranks)).toEqual([]);
  });
});

describe('the pure core', () => {
  const pure = product.filter((file) => isPure(file.path));

  it('exists: every pattern of the list names a module', () => {
    for (const pattern of pureModules)
      expect(
        product.some((file) => pattern.test(file.path)),
        String(pattern),
      ).toBe(true);
  });

  it('imports nothing of the outside world', () => {
    expect(pure.length).toBeGreaterThan(0);
    expect(pureImportViolations(pure)).toEqual([]);
  });

  it('takes clock, randomness and environment as arguments', () => {
    expect(pure.length).toBeGreaterThan(0);
    expect(pureGlobalViolations(pure)).toEqual([]);
  });

  it('is held to it', () => {
    const [file] = parse({
      'journal/event.ts': `
        import fs from 'node:fs';
        import { hash, randomUUID } from 'node:crypto';
        import { DuckDBInstance } from '@duckdb/node-api';
        import { cors } from 'hono/cors';
        import { openWal } from './wal/index.ts';
        import type { Wal } from './wal/index.ts';
        import { limits } from './limits.ts';
        export const now = () => [Date.now(), new Date(), new Date(0), Math.random(), globalThis.crypto.randomUUID()];
        export const home = process.env.HOME;
        export const later = () => setTimeout(now, 1);
      `,
    });
    if (file === undefined) throw new Error('nothing parsed');
    expect(pureImportViolations([file]).map((line) => line.split(' is pure and ')[1])).toEqual([
      'imports node:fs',
      'imports randomUUID from node:crypto',
      'imports @duckdb/node-api',
      'imports hono/cors',
      'runs journal/wal/index.ts, which is not',
    ]);
    expect(pureGlobalViolations([file])).toEqual([
      'journal/event.ts:9 is pure and uses Date.now',
      'journal/event.ts:9 is pure and uses new Date()',
      'journal/event.ts:9 is pure and uses Math.random',
      'journal/event.ts:9 is pure and uses crypto.randomUUID',
      'journal/event.ts:10 is pure and uses process.env',
      'journal/event.ts:11 is pure and uses setTimeout',
    ]);
  });
});

describe('the client', () => {
  it('runs in a browser: no Node module comes with it', () => {
    expect(product.filter((file) => browserModules.test(file.path)).length).toBeGreaterThan(0);
    expect(browserViolations(product)).toEqual([]);
  });

  it('is caught when one comes, by whatever way', () => {
    const files = parse({
      'src/client/index.ts': "import type { Stats } from 'node:fs';\nimport { far } from '../../journal/index.ts';",
      'journal/index.ts': "export { far } from './far.ts';",
      'journal/far.ts': "import { readFile } from 'node:fs/promises';\nexport const far = readFile;",
    });
    expect(browserViolations(files)).toEqual([
      'src/client/index.ts → journal/index.ts → journal/far.ts → node:fs/promises is not for browsers',
    ]);
  });
});
