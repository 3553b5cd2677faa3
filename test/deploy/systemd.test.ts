import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deployText, initialOf } from './deploy-files.ts';

const ANALYZER = 'systemd-analyze';
const UNIT = 'indelible@.service';
const unit = deployText(`systemd/${UNIT}`);
const directive = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];

/** On a build machine its absence is an error. */
function hasSystemd(): boolean {
  if (spawnSync(ANALYZER, ['--version']).status === 0) return true;
  const line = `THE SYSTEMD UNIT IS NOT VERIFIED: ${ANALYZER} is needed, of the package systemd`;
  if (process.env.CI !== undefined) throw new Error(line);
  console.warn(`\n${line}\n`);
  return false;
}

/** What systemd says of a unit, line by line: nothing where all is well. It ends with 0 also where it ignores a line. */
function verify(text: string): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'indelible-unit-'));
  try {
    // The program need not be installed where the tests run.
    writeFileSync(join(dir, UNIT), text.replace('/usr/bin/node', process.execPath));
    const { stderr } = spawnSync(ANALYZER, ['verify', '--man=no', join(dir, UNIT)], { encoding: 'utf8' });
    return stderr.split('\n').filter((line) => line.includes('indelible@'));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

describe('systemd unit', () => {
  // reason: without systemd, and loudly; on a build machine hasSystemd() throws instead
  it.skipIf(!hasSystemd())('is what systemd understands', () => {
    expect(verify(unit)).toEqual([]);
    expect(verify(unit.replace('Restart=always', 'Restart=sometimes'))).toHaveLength(1);
    expect(verify(unit.replace('MemoryMax=', 'MemoryMost='))).toHaveLength(1);
    expect(verify(unit.replace('ExecStart=/', 'ExecStart=/nowhere/'))).not.toEqual([]);
  });

  it('gives each instance a directory of its own, and time to end', () => {
    expect(directive('StateDirectory')).toBe('indelible/%i');
    expect(directive('ExecStart')).toContain('--data /var/lib/indelible/%i');
    expect(directive('KillMode')).toBe('mixed');
    expect(Number(directive('TimeoutStopSec')) * 1_000).toBeGreaterThan(2 * initialOf('INDELIBLE_SHUTDOWN_TIMEOUT_MS'));
  });

  it('starts again for ever, with few rights and little enough memory', () => {
    for (const [name, value] of Object.entries({
      Restart: 'always',
      StartLimitIntervalSec: '0',
      NoNewPrivileges: 'yes',
      ProtectSystem: 'strict',
      CapabilityBoundingSet: '',
      User: 'indelible',
    })) {
      expect(directive(name), name).toBe(value);
    }
    expect(directive('MemoryMax')).toMatch(/^\d+G$/);
  });
});
