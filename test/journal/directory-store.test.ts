import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryStore, writeFileDurable } from '../../journal/index.ts';
import { storeContract } from './store-contract.ts';

storeContract('a directory', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'indelible-directory-'));
  const root = join(dir, 'not/yet/there');
  return {
    store: new DirectoryStore(root),
    again: new DirectoryStore(root),
    dispose: async () => rmSync(dir, { recursive: true }),
  };
});

describe('a directory store', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'indelible-directory-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const bytes = (text: string) => new TextEncoder().encode(text);

  it('leaves nothing but the objects behind', async () => {
    const store = new DirectoryStore(dir);
    await Promise.all(Array.from({ length: 20 }, (_, i) => store.putIfAbsent('a/b', bytes(`${i}`))));
    writeFileSync(join(dir, 'local'), 'x');
    await store.putFile('a/c', join(dir, 'local'));
    expect(readdirSync(dir, { recursive: true }).sort()).toEqual(['a', 'a/b', 'a/c']);
  });

  it('does not take a temporary file for an object', async () => {
    mkdirSync(join(dir, 'a'));
    writeFileSync(join(dir, 'a', '.5e0.tmp'), 'half');
    const keys: string[] = [];
    for await (const object of new DirectoryStore(dir).list('')) keys.push(object.key);
    expect(keys).toEqual([]);
  });

  it('says why it cannot write', async () => {
    writeFileSync(join(dir, 'a'), 'a file where a directory should be');
    const store = new DirectoryStore(dir);
    await expect(store.putIfAbsent('a/b', bytes('x'))).rejects.toThrow(/ENOTDIR|EEXIST/);
    mkdirSync(join(dir, 'b'));
    await expect(store.get('b')).rejects.toThrow(/EISDIR/);
  });

  const elsewhere = '/dev/shm';
  const isElsewhere = existsSync(elsewhere) && statSync(elsewhere).dev !== statSync(tmpdir()).dev;
  // reason: needs a second file system, and statfs tells of none here
  it.skipIf(!isElsewhere)('takes a file from another file system by copying it', async () => {
    expect(statfsSync(elsewhere).bsize).toBeGreaterThan(0);
    const away = mkdtempSync(join(elsewhere, 'indelible-'));
    try {
      const local = join(away, 'local');
      writeFileSync(local, 'y'.repeat(3_000_000));
      await new DirectoryStore(dir).putFile('a/b', local);
      expect(readFileSync(join(dir, 'a', 'b'), 'utf8')).toBe('y'.repeat(3_000_000));
      expect(existsSync(local)).toBe(false);
      expect(readdirSync(join(dir, 'a'))).toEqual(['b']);
    } finally {
      rmSync(away, { recursive: true });
    }
  });

  it('replaces a small file whole', async () => {
    const path = join(dir, 'file');
    await writeFileDurable(path, bytes('one'));
    await Promise.all(Array.from({ length: 10 }, (_, i) => writeFileDurable(path, bytes(`${i}`.repeat(1000)), 0o600)));
    expect(readFileSync(path, 'utf8')).toMatch(/^(\d)\1{999}$/);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(['file']);
  });
});
