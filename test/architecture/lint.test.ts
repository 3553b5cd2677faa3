import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { codeFolders, readText, repository } from './support/source-files.ts';

const biome = path.join(repository, 'node_modules/@biomejs/biome/bin/biome');
const base = mkdtempSync(path.join(tmpdir(), 'indelible-lint-'));
afterAll(() => rmSync(base, { recursive: true }));

function run(command: 'lint' | 'format', file: string, text: string): number | null {
  mkdirSync(path.dirname(path.join(base, file)), { recursive: true });
  writeFileSync(path.join(base, file), text);
  return spawnSync(process.execPath, [biome, command, '--error-on-warnings', file], { cwd: base }).status;
}

describe('the linter', () => {
  // Biome's own migration once wrote a configuration that switched every rule off, and all was green.
  it('has its rules switched on, in every folder of code', () => {
    const { $schema: _, ...configuration } = JSON.parse(readText('biome.json')) as Record<string, unknown>;
    writeFileSync(path.join(base, 'biome.json'), JSON.stringify(configuration));
    expect(codeFolders.length).toBeGreaterThan(0);
    for (const folder of codeFolders) {
      expect(run('lint', `${folder}/a.ts`, 'export const a = 1;\n'), folder).toBe(0);
      expect(run('lint', `${folder}/a.ts`, 'debugger;\n'), folder).toBe(1);
      expect(run('format', `${folder}/a.ts`, "export const a = 'b';\n"), folder).toBe(0);
      expect(run('format', `${folder}/a.ts`, 'export const a = "b"\n'), folder).toBe(1);
    }
  });
});
