import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../journal/index.ts';

/** What every adapter of ObjectStore must do. `open` gives an empty store, and a second door to the same objects. */
export function storeContract(
  name: string,
  open: () => Promise<{ store: ObjectStore; again: ObjectStore; dispose: () => Promise<void> }>,
): void {
  describe(`${name} as an object store`, () => {
    let store: ObjectStore;
    let again: ObjectStore;
    let dispose: () => Promise<void>;
    let scratch: string;
    beforeEach(async () => {
      ({ store, again, dispose } = await open());
      scratch = mkdtempSync(join(tmpdir(), 'indelible-store-'));
    });
    afterEach(async () => {
      rmSync(scratch, { recursive: true, force: true });
      await dispose();
    });

    const bytes = (text: string) => new TextEncoder().encode(text);
    const textOf = async (key: string) => {
      const found = await again.get(key);
      return found && Buffer.from(found).toString();
    };
    const keysOf = async (prefix: string, startAfter?: string) => {
      const keys: string[] = [];
      for await (const object of again.list(prefix, startAfter)) keys.push(object.key);
      return keys;
    };
    const localFile = (text: string) => {
      const path = join(scratch, 'local');
      writeFileSync(path, text);
      return path;
    };

    it('keeps what was put, and knows nothing else', async () => {
      expect(await store.putIfAbsent('a/b/c.json', bytes('one'))).toBe('written');
      expect(await textOf('a/b/c.json')).toBe('one');
      expect(await textOf('a/b/d.json')).toBeUndefined();
      expect(await textOf('x/y')).toBeUndefined();
      expect(await store.putIfAbsent('empty', bytes(''))).toBe('written');
      expect(await textOf('empty')).toBe('');
      expect(store.url).toMatch(/^[a-z0-9]+:\/\//);
    });

    it('never replaces an object', async () => {
      await store.putIfAbsent('k', bytes('one'));
      expect(await store.putIfAbsent('k', bytes('two'))).toBe('exists');
      expect(await again.putIfAbsent('k', bytes('one'))).toBe('exists');
      expect(await textOf('k')).toBe('one');
    });

    it('gives one of fifty racing calls the key, and its bytes whole', async () => {
      for (let round = 0; round < 4; round++) {
        const key = `race/${round}`;
        const bodies = Array.from({ length: 50 }, (_, i) => `${i} `.repeat(20_000));
        const results = await Promise.all(
          bodies.map((body, i) => (i % 2 === 0 ? store : again).putIfAbsent(key, bytes(body))),
        );
        expect(results.filter((result) => result === 'written')).toHaveLength(1);
        expect(await textOf(key)).toBe(bodies[results.indexOf('written')]);
      }
    });

    it('shows an object whole or not at all, while it is written', async () => {
      const whole = 'x'.repeat(8 * 1024 * 1024);
      const seen = new Set<number | undefined>();
      let writing = true;
      const look = async () => {
        while (writing) {
          seen.add((await again.get('big'))?.length);
          for await (const object of again.list('big')) seen.add(object.sizeBytes);
        }
      };
      const looking = look();
      await store.putIfAbsent('big', bytes(whole));
      writing = false;
      await looking;
      seen.delete(undefined);
      expect([...seen].filter((size) => size !== whole.length)).toEqual([]);
      expect((await again.get('big'))?.length).toBe(whole.length);
    });

    it('takes a local file and consumes it', async () => {
      const path = localFile('segment');
      await store.putFile('data/ab/x.parquet', path);
      expect(await textOf('data/ab/x.parquet')).toBe('segment');
      await expect(readFile(path)).rejects.toThrow(/ENOENT/);
      await expect(store.putFile('data/ab/y.parquet', path)).rejects.toThrow();
      expect(await textOf('data/ab/y.parquet')).toBeUndefined();
    });

    it('gives a path where the object is read on this machine', async () => {
      await store.putFile('data/ab/x.parquet', localFile('segment'));
      expect(await readFile(await again.localPath('data/ab/x.parquet'), 'utf8')).toBe('segment');
    });

    it('forgets what is deleted, and does not mind what is not there', async () => {
      await store.putIfAbsent('a/b', bytes('1'));
      await store.delete('a/b');
      await store.delete('a/b');
      await store.delete('never/was');
      expect(await textOf('a/b')).toBeUndefined();
      expect(await keysOf('')).toEqual([]);
      expect(await store.putIfAbsent('a/b', bytes('2'))).toBe('written');
    });

    it('lists with sizes and times', async () => {
      const before = Date.now();
      await store.putIfAbsent('a', bytes('12345'));
      for await (const object of again.list('')) {
        expect(object).toMatchObject({ key: 'a', sizeBytes: 5 });
        expect(Math.abs(object.modifiedMs - before)).toBeLessThan(60_000);
      }
    });

    it('lists ascending by bytes, by prefix, from after a key', async () => {
      const part = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,3}$/);
      const key = fc.array(fc.oneof(fc.constantFrom('a', 'a-', 'a.b', 'a0', 'b', '_'), part), {
        minLength: 1,
        maxLength: 4,
      });
      const keys = fc.uniqueArray(
        key.map((parts) => parts.join('/')),
        { maxLength: 20 },
      );
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(keys, fc.nat(), fc.nat(5), async (candidates, pick, length) => {
          // A name is an object or a directory, not both, and stays what it was.
          const root = `run${runs++}/`;
          const names = candidates.filter((name) => !candidates.some((other) => other.startsWith(`${name}/`)));
          const stored = names.map((name) => root + name);
          for (const key of stored) await store.putIfAbsent(key, bytes(key));
          const sorted = stored.sort();
          const chosen = sorted[pick % Math.max(sorted.length, 1)] ?? root;
          const prefix = chosen.slice(0, root.length + length);
          expect(await keysOf(prefix)).toEqual(sorted.filter((key) => key.startsWith(prefix)));
          expect(await keysOf(root, chosen)).toEqual(sorted.filter((key) => key > chosen));
          expect(await keysOf(prefix, chosen)).toEqual(sorted.filter((key) => key.startsWith(prefix) && key > chosen));
        }),
        { numRuns: 60 },
      );
    });

    it('refuses keys that are no keys', async () => {
      for (const key of [
        '',
        '/',
        '/a',
        'a/',
        'a//b',
        '../a',
        'a/../b',
        '.a',
        'a/.b',
        'a b',
        'é',
        'a\0',
        'a\\b',
        'a\n',
      ]) {
        await expect(store.putIfAbsent(key, bytes('x')), key).rejects.toThrow(/key/);
        await expect(store.get(key), key).rejects.toThrow(/key/);
        await expect(store.delete(key), key).rejects.toThrow(/key/);
        await expect(store.localPath(key), key).rejects.toThrow(/key/);
      }
    });
  });
}
