import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../journal/index.ts';

type Opened = { store: ObjectStore; again: ObjectStore; dispose: () => Promise<void> };

const bytes = (text: string) => new TextEncoder().encode(text);

/** An empty store for one test, and a second door to the same objects. */
class StoreLab {
  readonly #opened: Opened;
  readonly #scratch = mkdtempSync(join(tmpdir(), 'indelible-store-'));

  constructor(opened: Opened) {
    this.#opened = opened;
  }

  get store(): ObjectStore {
    return this.#opened.store;
  }

  get again(): ObjectStore {
    return this.#opened.again;
  }

  async textOf(key: string): Promise<string | undefined> {
    const found = await this.again.get(key);
    return found && Buffer.from(found).toString();
  }

  async keysOf(prefix: string, startAfter?: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const object of this.again.list(prefix, startAfter)) keys.push(object.key);
    return keys;
  }

  localFile(text: string): string {
    const path = join(this.#scratch, 'local');
    writeFileSync(path, text);
    return path;
  }

  async dispose(): Promise<void> {
    rmSync(this.#scratch, { recursive: true, force: true });
    await this.#opened.dispose();
  }
}

let lab: StoreLab;

/** What every adapter of ObjectStore must do. `open` gives an empty store, and a second door to the same objects. */
export function storeContract(name: string, open: () => Promise<Opened>): void {
  describe(`${name} as an object store`, () => {
    beforeEach(async () => {
      lab = new StoreLab(await open());
    });
    afterEach(() => lab.dispose());
    keepsObjects();
    takesFiles();
    listsObjects();
  });
}

function keepsObjects(): void {
  it('keeps what was put, and knows nothing else', async () => {
    expect(await lab.store.putIfAbsent('a/b/c.json', bytes('one'))).toBe('written');
    expect(await lab.textOf('a/b/c.json')).toBe('one');
    expect(await lab.textOf('a/b/d.json')).toBeUndefined();
    expect(await lab.textOf('x/y')).toBeUndefined();
    expect(await lab.store.putIfAbsent('empty', bytes(''))).toBe('written');
    expect(await lab.textOf('empty')).toBe('');
    expect(lab.store.url).toMatch(/^[a-z0-9]+:\/\//);
  });

  it('never replaces an object', async () => {
    await lab.store.putIfAbsent('k', bytes('one'));
    expect(await lab.store.putIfAbsent('k', bytes('two'))).toBe('exists');
    expect(await lab.again.putIfAbsent('k', bytes('one'))).toBe('exists');
    expect(await lab.textOf('k')).toBe('one');
  });

  it('replaces what is put over it, whole', async () => {
    await lab.store.put('p/pointer', bytes('one'));
    expect(await lab.textOf('p/pointer')).toBe('one');
    await lab.again.put('p/pointer', bytes('longer than before'));
    expect(await lab.textOf('p/pointer')).toBe('longer than before');
    expect(await lab.keysOf('')).toEqual(['p/pointer']);
  });

  it('gives one of fifty racing calls the key, and its bytes whole', async () => {
    for (let round = 0; round < 4; round++) {
      const key = `race/${round}`;
      const bodies = Array.from({ length: 50 }, (_, i) => `${i} `.repeat(20_000));
      const results = await Promise.all(
        bodies.map((body, i) => (i % 2 === 0 ? lab.store : lab.again).putIfAbsent(key, bytes(body))),
      );
      expect(results.filter((result) => result === 'written')).toHaveLength(1);
      expect(await lab.textOf(key)).toBe(bodies[results.indexOf('written')]);
    }
  });

  it('shows an object whole or not at all, while it is written', async () => {
    const whole = 'x'.repeat(8 * 1024 * 1024);
    const seen = new Set<number | undefined>();
    let writing = true;
    const look = async () => {
      while (writing) {
        seen.add((await lab.again.get('big'))?.length);
        for await (const object of lab.again.list('big')) seen.add(object.sizeBytes);
      }
    };
    const looking = look();
    await lab.store.putIfAbsent('big', bytes(whole));
    writing = false;
    await looking;
    seen.delete(undefined);
    expect([...seen].filter((size) => size !== whole.length)).toEqual([]);
    expect((await lab.again.get('big'))?.length).toBe(whole.length);
  });
}

function takesFiles(): void {
  it('takes a local file and consumes it', async () => {
    const path = lab.localFile('segment');
    await lab.store.putFile('data/ab/x.parquet', path);
    expect(await lab.textOf('data/ab/x.parquet')).toBe('segment');
    await expect(readFile(path)).rejects.toThrow(/ENOENT/);
    await expect(lab.store.putFile('data/ab/y.parquet', path)).rejects.toThrow();
    expect(await lab.textOf('data/ab/y.parquet')).toBeUndefined();
  });

  it('brings an object to a local file, whole, or says that there is none', async () => {
    await lab.store.putFile('data/ab/x.parquet', lab.localFile('segment'));
    const path = lab.localFile('');
    await expect(lab.again.download('data/ab/x.parquet', path)).rejects.toThrow();
    rmSync(path);
    await lab.again.download('data/ab/x.parquet', path);
    expect(await readFile(path, 'utf8')).toBe('segment');
    rmSync(path);
    await expect(lab.again.download('data/ab/y.parquet', path)).rejects.toMatchObject({ kind: 'corrupt' });
    expect(existsSync(path)).toBe(false);
  });

  it('says where the object lies on this machine, if it does', async () => {
    await lab.store.putFile('data/ab/x.parquet', lab.localFile('segment'));
    const path = lab.again.pathOf('data/ab/x.parquet');
    if (path !== undefined) expect(await readFile(path, 'utf8')).toBe('segment');
  });

  it('forgets what is deleted, and does not mind what is not there', async () => {
    await lab.store.putIfAbsent('a/b', bytes('1'));
    await lab.store.delete('a/b');
    await lab.store.delete('a/b');
    await lab.store.delete('never/was');
    expect(await lab.textOf('a/b')).toBeUndefined();
    expect(await lab.keysOf('')).toEqual([]);
    expect(await lab.store.putIfAbsent('a/b', bytes('2'))).toBe('written');
  });
}

function listsObjects(): void {
  it('lists with sizes and times', async () => {
    const before = Date.now();
    await lab.store.putIfAbsent('a', bytes('12345'));
    for await (const object of lab.again.list('')) {
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
        for (const key of stored) await lab.store.putIfAbsent(key, bytes(key));
        const sorted = stored.sort();
        const chosen = sorted[pick % Math.max(sorted.length, 1)] ?? root;
        const prefix = chosen.slice(0, root.length + length);
        expect(await lab.keysOf(prefix)).toEqual(sorted.filter((key) => key.startsWith(prefix)));
        expect(await lab.keysOf(root, chosen)).toEqual(sorted.filter((key) => key > chosen));
        expect(await lab.keysOf(prefix, chosen)).toEqual(
          sorted.filter((key) => key.startsWith(prefix) && key > chosen),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('refuses keys that are no keys', async () => {
    for (const key of ['', '/', '/a', 'a/', 'a//b', '../a', 'a/../b', '.a', 'a/.b', 'a b', 'é', 'a\0', 'a\\b', 'a\n']) {
      await expect(lab.store.putIfAbsent(key, bytes('x')), key).rejects.toThrow(/key/);
      await expect(lab.store.get(key), key).rejects.toThrow(/key/);
      await expect(lab.store.delete(key), key).rejects.toThrow(/key/);
      await expect(lab.store.download(key, '/nowhere'), key).rejects.toThrow(/key/);
      expect(() => lab.store.pathOf(key), key).toThrow(/key/);
    }
  });
}
