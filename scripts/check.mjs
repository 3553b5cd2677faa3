// Everything that must hold before a commit, one step after the other, stopping at the first that fails:
//
//   npm run check            all steps
//   npm run check -- types   only the named ones
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { root } from './bootstrap.mjs';

const tool = (file) => path.join(root, 'node_modules', file);
const biome = tool('@biomejs/biome/bin/biome');
const vitest = [tool('vitest/vitest.mjs'), 'run', '--reporter=dot'];

/** name → the script and its arguments, run by this same Node. */
const steps = {
  format: [biome, 'format', '.'],
  lint: [biome, 'lint', '--error-on-warnings', '.'],
  types: [tool('typescript/bin/tsc'), '--noEmit'],
  lock: ['scripts/complete-lock.mjs', '--check'],
  architecture: [...vitest, 'test/architecture'],
  unused: [tool('knip/bin/knip.js'), '--no-progress'],
  tests: [...vitest, '--exclude', 'test/architecture/**'],
};

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

function runStep(name) {
  const startedAt = Date.now();
  const { status } = spawnSync(process.execPath, steps[name], { cwd: root, stdio: 'inherit' });
  console.log(`${status === 0 ? '✓' : '✗'} ${name} ${seconds(startedAt)}`);
  return status === 0;
}

function main(asked) {
  const unknown = asked.filter((name) => steps[name] === undefined);
  if (unknown.length > 0) {
    console.error(`no such step: ${unknown.join(', ')}; there are ${Object.keys(steps).join(', ')}`);
    return 2;
  }
  const startedAt = Date.now();
  const names = asked.length > 0 ? asked : Object.keys(steps);
  const failed = names.find((name) => !runStep(name));
  console.log(failed === undefined ? `✓ check ${seconds(startedAt)}` : `✗ check: ${failed} failed`);
  return failed === undefined ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
