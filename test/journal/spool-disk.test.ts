import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SpoolDisk } from '../../journal/wal/index.ts';
import { errorOf } from '../support/journal-lab.ts';
import { removeDir } from '../support/remove-dir.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'indelible-spool-'));
});
afterEach(() => removeDir(dir));

describe('a disk that keeps lines until they are sealed', () => {
  it('writes what it is given', async () => {
    const file = await new SpoolDisk().create(join(dir, 'a'));
    await file.append([Buffer.from('one\n'), Buffer.from('two\n')], 0);
    await file.sync();
    await file.append([Buffer.from('three\n')], 8);
    await file.close();
    expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('one\ntwo\nthree\n');
  });

  it('takes nothing more once something could not be written, also where it could be', async () => {
    const disk = new SpoolDisk();
    const file = await disk.create(join(dir, 'a'));
    const failed = await errorOf(disk.create(join(dir, 'later', 'b')));
    mkdirSync(join(dir, 'later'));
    expect(await errorOf(disk.create(join(dir, 'later', 'b')))).toBe(failed);
    expect(await errorOf(file.append([Buffer.from('lines')], 0))).toBe(failed);
    await file.close();
    expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('');
    // Another term has a disk of its own.
    await (await new SpoolDisk().create(join(dir, 'later', 'b'))).close();
  });
});
