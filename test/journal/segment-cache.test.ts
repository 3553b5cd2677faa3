import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryStore, type HeldFiles, type HoldableFile, SegmentCache } from '../../journal/index.ts';
import { FaultyStore } from '../support/faulty-store.ts';

let dir: string;
let cacheDir: string;
let store: FaultyStore;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'indelible-cache-'));
  cacheDir = join(dir, 'cache');
  store = new FaultyStore(new DirectoryStore(join(dir, 'store')));
  // As if it were far away.
  store.pathOf = () => undefined;
});
afterEach(() => rmSync(dir, { recursive: true }));

const open = (bytesMax = 1 << 30) => SegmentCache.open({ store, dir: cacheDir, bytesMax });
const downloads = () => store.calls.filter(({ call }) => call === 'download').map(({ key }) => key);
const onDisk = () => (existsSync(cacheDir) ? readdirSync(cacheDir) : []);
const bytesOnDisk = () => onDisk().reduce((sum, name) => sum + statSync(join(cacheDir, name)).size, 0);
const contentOf = (key: string, sizeBytes: number) => key.padEnd(sizeBytes, '.');

async function segment(name: string, sizeBytes = 100): Promise<HoldableFile> {
  const key = `acme/data/${name}.parquet`;
  await store.putIfAbsent(key, Buffer.from(contentOf(key, sizeBytes)));
  return { key, sizeBytes };
}

function expectWhole(held: HeldFiles, files: readonly HoldableFile[]): void {
  const read = held.paths.map((path) => readFileSync(path, 'utf8'));
  expect(read).toEqual(files.map(({ key, sizeBytes }) => contentOf(key, sizeBytes)));
}

describe('a cache of segments', () => {
  it('keeps what is written through it, and nothing of what could not be stored', async () => {
    const cache = await open();
    const path = join(dir, 'written');
    const file = { key: 'acme/data/new.parquet', sizeBytes: 100 };
    writeFileSync(path, contentOf(file.key, file.sizeBytes));
    await cache.putFile(file.key, path, file.sizeBytes);
    expect(existsSync(path)).toBe(false);
    expectWhole(await cache.hold([file]), [file]);
    expect(downloads()).toEqual([]);
    expect(cache.bytes).toBe(100);

    writeFileSync(path, 'x');
    store.decide = () => 'not-applied';
    await expect(cache.putFile('acme/data/other.parquet', path, 1)).rejects.toThrow();
    expect(existsSync(path)).toBe(true);
    expect(onDisk()).toHaveLength(1);
  });

  it('fetches a file once, however many ask for it at the same time', async () => {
    const cache = await open();
    const files = [await segment('a'), await segment('b')];
    const held = await Promise.all(Array.from({ length: 20 }, () => cache.hold(files)));
    for (const one of held) expectWhole(one, files);
    expect(downloads().sort()).toEqual(files.map(({ key }) => key));
    for (const one of held) one.release();
    expectWhole(await cache.hold([...files].reverse()), [...files].reverse());
    expect(downloads()).toHaveLength(2);
    expect(cache.bytes).toBe(200);
  });

  it('fails all who wait for a fetch that fails, and tries again for the next', async () => {
    const cache = await open();
    const file = await segment('a');
    store.decide = (call) => (call === 'download' ? 'applied' : undefined);
    const waiting = await Promise.allSettled([cache.hold([file]), cache.hold([file]), cache.hold([file])]);
    for (const outcome of waiting) expect(outcome).toMatchObject({ reason: { kind: 'unavailable' } });
    expect(downloads()).toHaveLength(1);
    expect(onDisk()).toEqual([]);
    expect(cache.isHeld(file.key)).toBe(false);
    expect(cache.bytes).toBe(0);
    store.decide = () => undefined;
    expectWhole(await cache.hold([file]), [file]);
  });

  it('lets go of the others where one of them fails', async () => {
    const cache = await open(150);
    const [a, b, c] = [await segment('a'), await segment('b'), await segment('c')];
    store.decide = (call, _index, key) => (call === 'download' && key === b.key ? 'not-applied' : undefined);
    await expect(cache.hold([a, b])).rejects.toMatchObject({ kind: 'unavailable' });
    expect(cache.isHeld(b.key)).toBe(false);
    // What was under way comes to its end, and then counts like any other.
    (await cache.hold([a])).release();
    (await cache.hold([c])).release();
    for (const { key } of [a, b, c]) expect(cache.isHeld(key)).toBe(false);
    expect(bytesOnDisk()).toBeLessThanOrEqual(150);
    expect(bytesOnDisk()).toBe(cache.bytes);
  });

  it('drops the least recently used first, and nothing that is held', async () => {
    const cache = await open(300);
    const [a, b, c, d] = [await segment('a'), await segment('b'), await segment('c'), await segment('d')];
    for (const file of [a, b, c]) (await cache.hold([file])).release();
    (await cache.hold([a])).release();
    const first = await cache.hold([d]);
    expect(
      onDisk()
        .map((name) => name.slice(-9, -8))
        .sort(),
    ).toEqual(['a', 'c', 'd']);
    const rest = await cache.hold([a, b, c]);
    // More is held than fits: it is read all the same.
    expectWhole(first, [d]);
    expectWhole(rest, [a, b, c]);
    expect(cache.bytes).toBe(400);
    first.release();
    expect(onDisk()).toHaveLength(3);
    rest.release();
    rest.release();
    expect(onDisk()).toHaveLength(3);
  });

  it('refuses an object that is not what the table log says, or is gone', async () => {
    const cache = await open();
    const file = await segment('a', 50);
    await expect(cache.hold([{ ...file, sizeBytes: 60 }])).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringContaining('50 bytes in the store, the table log says 60'),
    });
    await expect(cache.hold([{ key: 'acme/data/gone.parquet', sizeBytes: 1 }])).rejects.toMatchObject({
      kind: 'corrupt',
    });
    expect(onDisk()).toEqual([]);
    expectWhole(await cache.hold([file]), [file]);
  });

  it('keeps its files over a restart, and nothing that was under way', async () => {
    const [a, b] = [await segment('a'), await segment('b')];
    const before = await open();
    (await before.hold([a, b])).release();
    writeFileSync(join(cacheDir, '.5e0.part'), 'half');
    mkdirSync(join(cacheDir, 'somebody', 'elses'), { recursive: true });
    // Cut by a loss of power, or by hand.
    writeFileSync(join(cacheDir, 'acme~data~b.parquet'), 'cut');
    const cache = await open();
    expect(onDisk()).toHaveLength(2);
    expectWhole(await cache.hold([a, b]), [a, b]);
    // The first two at once, in either order; after the restart only the one that was cut.
    expect(downloads().slice(0, 2).sort()).toEqual([a.key, b.key]);
    expect(downloads().slice(2)).toEqual([b.key]);
    expect(bytesOnDisk()).toBe(cache.bytes);
    expect((await open(0)).bytes).toBe(0);
    expect(onDisk()).toEqual([]);
  });

  it('reads a store on this machine where it lies', async () => {
    const local = new DirectoryStore(join(dir, 'store'));
    const cache = await SegmentCache.open({ store: local, dir: cacheDir, bytesMax: 0 });
    const file = await segment('a');
    const held = await cache.hold([file, file]);
    expect(held.paths[0]).toBe(local.pathOf(file.key));
    expect(cache.isHeld(file.key)).toBe(true);
    held.release();
    expect(cache.isHeld(file.key)).toBe(false);
    expect(existsSync(cacheDir)).toBe(false);
  });

  it('holds what it says, whatever is held, let go of and failing meanwhile', async () => {
    const files = await Promise.all(Array.from({ length: 8 }, (_, i) => segment(`s${i}`, 40 + 7 * i)));
    const step = fc.record({
      hold: fc.uniqueArray(fc.nat(7), { minLength: 1, maxLength: 4 }),
      release: fc.nat(5),
      isBroken: fc.integer({ min: 0, max: 9 }).map((n) => n < 2),
    });
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.nat(500), async (steps, bytesMax) => {
        cacheDir = join(dir, `cache-${runs++}`);
        const cache = await open(bytesMax);
        const asked: { wanted: HoldableFile[]; held: Promise<HeldFiles | undefined> }[] = [];
        for (const { hold, release, isBroken } of steps) {
          store.decide = (call) => (call === 'download' && isBroken ? 'not-applied' : undefined);
          const wanted = hold.map((index) => files[index] as HoldableFile);
          asked.push({ wanted, held: cache.hold(wanted).catch(() => undefined) });
          const done = asked[release];
          if (done === undefined) continue;
          asked.splice(release, 1);
          const held = await done.held;
          if (held) expectWhole(held, done.wanted);
          held?.release();
        }
        for (const { wanted, held } of asked) {
          const got = await held;
          if (got) expectWhole(got, wanted);
          got?.release();
        }
        store.decide = () => undefined;
        // What is still under way comes to its end, good or bad.
        for (const file of files)
          await cache.hold([file]).then(
            (held) => held.release(),
            () => {},
          );
        const all = await cache.hold(files);
        expectWhole(all, files);
        all.release();
        for (const { key } of files) expect(cache.isHeld(key)).toBe(false);
        expect(bytesOnDisk()).toBe(cache.bytes);
        expect(cache.bytes).toBeLessThanOrEqual(bytesMax);
      }),
      { numRuns: 100 },
    );
  });
});
