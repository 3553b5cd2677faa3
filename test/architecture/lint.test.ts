import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { repository } from './support/source-files.ts';

const biome = path.join(repository, 'node_modules/@biomejs/biome/bin/biome');

function lint(file: string, input: string): number | null {
  return spawnSync(process.execPath, [biome, 'lint', `--stdin-file-path=${file}`], { cwd: repository, input }).status;
}

describe('the linter', () => {
  // Biome's own migration once wrote a configuration that switched every rule off, and all was green.
  it('has its rules switched on, in every folder of code', () => {
    for (const folder of ['journal', 'projections', 'queries', 'src', 'test', 'bench']) {
      expect(lint(`${folder}/a.ts`, 'debugger;\n'), folder).toBe(1);
      expect(lint(`${folder}/a.ts`, 'export const a = 1;\n'), folder).toBe(0);
    }
  });
});
