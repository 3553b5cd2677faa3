import { describe, expect, it } from 'vitest';
import { codeFolders, sourceFiles } from './support/source-files.ts';
import {
  anyViolations,
  fileLinesMax,
  functionLengths,
  functionLinesMax,
  lengthViolations,
  nameViolations,
  skippedTestViolations,
  unfinishedViolations,
} from './support/style-rules.ts';
import { parseFile } from './support/syntax.ts';

const code = sourceFiles(codeFolders).map(parseFile);
const tests = code.filter((file) => file.path.endsWith('.test.ts'));

const parse = (text: string, path = 'test/a.test.ts') => [parseFile({ path, text })];
const statements = (count: number) => Array.from({ length: count }, (_, index) => `f(${index});`).join('\n');

describe('style', () => {
  it('examines the code of every folder', () => {
    const folders = new Set(code.map((file) => file.path.split('/')[0]));
    expect([...folders].sort()).toEqual([...codeFolders].sort());
  });

  it(`keeps files to ${fileLinesMax} lines`, () => {
    expect(code.length).toBeGreaterThan(0);
    expect(lengthViolations(code)).toEqual([]);
    expect(lengthViolations(parse(`${statements(fileLinesMax)}\n`))).toEqual([]);
    expect(lengthViolations(parse(statements(fileLinesMax + 1)))).toHaveLength(1);
  });

  it(`keeps functions to ${functionLinesMax} lines, by swc's syntax tree`, () => {
    const { measured, violations } = functionLengths(code);
    expect(measured).toBeGreaterThan(code.length);
    expect(violations).toEqual([]);
  });

  it('measures every kind of function, after any text, and leaves describe blocks alone', () => {
    const long = (head: string, foot: string) =>
      `// é ${head}\n${head}\n${statements(functionLinesMax - 1)}\n${foot}\n`;
    const asked = [
      long('export function a() {', '}'),
      long('const b = async () => {', '};'),
      long('class C { #d() {', '} }'),
      long('class C { constructor() {', '} }'),
      long('const e = { get f() {', '} };'),
      long("it('g', () => {", '});'),
    ];
    for (const text of asked) {
      const { violations } = functionLengths(parse(text, 'src/a.ts'));
      expect(violations).toEqual([
        `src/a.ts:2 is a function of ${functionLinesMax + 1} lines; at most ${functionLinesMax}`,
      ]);
    }
    for (const head of ['describe', 'describe.skipIf(x)', 'describe.each([1])']) {
      expect(functionLengths(parse(long(`${head}('h', () => {`, '});'))).violations).toEqual([]);
    }
  });

  it('names files and folders in kebab case', () => {
    expect(code.length).toBeGreaterThan(0);
    expect(nameViolations(code.map((file) => file.path))).toEqual([]);
    const bad = ['src/camelCase.ts', 'src/snake_case.ts', 'src/Folder/a.ts', 'src/a--b.ts'];
    expect(nameViolations([...bad, 'src/kebab-case.test.ts', 'journal/s3.ts'])).toEqual(bad);
  });

  it('says what things are: no any, no switched-off type check', () => {
    expect(code.length).toBeGreaterThan(0);
    expect(anyViolations(code)).toEqual([]);
    const bad = ['const a = b as any;', 'let c: any[];', 'type D = Record<string, any>;', '// @ts-ignore\nf(1);'];
    for (const text of bad) expect(anyViolations(parse(text)), text).toHaveLength(1);
    expect(anyViolations(parse("// any\nconst any = 'any';"))).toEqual([]);
  });

  it('runs every test, or says why not', () => {
    expect(tests.length).toBeGreaterThan(0);
    expect(skippedTestViolations(code)).toEqual([]);
    const bad = [
      "it.only('a', f);",
      "// reason: hurry\ndescribe.only('a', f);",
      "it.skip('a', f);",
      "describe.skipIf(x)('a', f);",
      "test.concurrent.skip('a', f);",
      "it.skip.each([1])('a', f);",
    ];
    for (const text of bad) expect(skippedTestViolations(parse(text)), text).toHaveLength(1);
    const good = ["// reason: no server here\nit.skipIf(x)('a', f);", "it('a', f);", 'rows.skip(3);'];
    for (const text of good) expect(skippedTestViolations(parse(text)), text).toEqual([]);
  });

  it('leaves nothing unfinished', () => {
    expect(code.length).toBeGreaterThan(0);
    expect(unfinishedViolations(code)).toEqual([]);
    expect(unfinishedViolations(parse(`// ${'to'}${'do'}: later`.toUpperCase()))).toHaveLength(1);
  });
});
