import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JournalEvent, SegmentFile, Snapshot } from '../../../journal/index.ts';
import { journalOf, plainSpec } from '../../support/events.ts';
import { Lab } from '../snapshots.ts';
import { ask, build, eventsOf, openBlocks, readerOf, removeAll, reopen } from './blocks.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

const IDS = ['a', 'b', 'c', 'd'];

async function stored(files: number): Promise<{ events: JournalEvent[]; snapshot: Snapshot }> {
  const specs = Array.from({ length: 100 * files }, (_, seq) => plainSpec({ entity_id: IDS[seq % 4] as string }));
  const events = journalOf(specs);
  const fileOf = events.map(({ seq }) => Math.floor(seq / 100));
  return { events, snapshot: await lab.snapshot(events, { fileOf, boundChars: 32 }) };
}

const blockFiles = (dir: string) => readdirSync(dir).filter((name) => name.endsWith('.blocks'));

describe('the shelf of history blocks', () => {
  it('is filled by questions: the second one that DuckDB answers orders blocks, the next is answered by them', async () => {
    const { events, snapshot } = await stored(3);
    const shelved = await openBlocks(lab);
    const reader = readerOf(lab, shelved);
    expect((await ask(reader, snapshot, 'a')).events).toEqual(eventsOf(events, 'a'));
    await shelved.blocks.built();
    expect(shelved.seen).toEqual({ hits: 0, misses: 3, built: 0, failed: [] });
    await ask(reader, snapshot, 'b');
    await shelved.blocks.built();
    expect(shelved.seen).toEqual({ hits: 0, misses: 6, built: 3, failed: [] });
    lab.statements = 0;
    for (const id of [...IDS, 'bb']) expect((await ask(reader, snapshot, id)).events).toEqual(eventsOf(events, id));
    expect(lab.statements).toBe(0);
    expect(shelved.seen.hits).toBe(15);
    await removeAll(shelved);
  });

  it('answers alike whatever is asked at once, while blocks are built', async () => {
    const { events, snapshot } = await stored(4);
    const shelved = await openBlocks(lab);
    const reader = readerOf(lab, shelved);
    const rounds = Array.from({ length: 40 }, (_, index) => IDS[index % 4] as string);
    const building = build(shelved, snapshot.files);
    do {
      const answers = await Promise.all(rounds.map((id) => ask(reader, snapshot, id)));
      for (const [index, { events: found }] of answers.entries()) {
        expect(found).toEqual(eventsOf(events, rounds[index] as string));
      }
    } while (shelved.seen.built < 4);
    await building;
    await removeAll(shelved);
  });

  it('survives a restart, and removes what it did not finish', async () => {
    const { events, snapshot } = await stored(2);
    const shelved = await openBlocks(lab);
    await build(shelved, snapshot.files);
    const { bytes } = shelved.blocks;
    writeFileSync(join(shelved.dir, 'building.part'), 'half');
    const again = await reopen(lab, shelved);
    expect(readdirSync(shelved.dir).sort()).toEqual(blockFiles(shelved.dir).sort());
    expect(again.blocks.bytes).toBe(bytes);
    lab.statements = 0;
    expect((await ask(readerOf(lab, again), snapshot, 'a')).events).toEqual(eventsOf(events, 'a'));
    expect(lab.statements).toBe(0);
    await removeAll(again);
  });

  it('keeps to its limit, and does not build what would only take the place of what is used', async () => {
    const { events, snapshot } = await stored(4);
    const [first] = snapshot.files;
    const sized = await openBlocks(lab);
    await build(sized, [first as SegmentFile]);
    const one = sized.blocks.bytes;
    expect(statSync(join(sized.dir, blockFiles(sized.dir)[0] as string)).size).toBe(one);
    await removeAll(sized);
    const estimate = Math.max(...snapshot.files.map(({ sizeBytes }) => 2 * sizeBytes));
    const shelved = await openBlocks(lab, { bytesMax: 2 * one + estimate - 1 });
    const reader = readerOf(lab, shelved);
    for (let round = 0; round < 4; round += 1) {
      for (const id of IDS) expect((await ask(reader, snapshot, id)).events).toEqual(eventsOf(events, id));
      await shelved.blocks.built();
    }
    expect(shelved.seen.built).toBe(blockFiles(shelved.dir).length);
    expect(shelved.seen.built).toBeGreaterThan(0);
    expect(shelved.seen.built).toBeLessThan(4);
    expect(shelved.blocks.bytes).toBeLessThanOrEqual(2 * one + estimate - 1);
    // What an earlier process left is the first to go.
    const again = await openBlocks(lab, { dir: shelved.dir, bytesMax: one + 1 });
    expect(again.blocks.bytes).toBeLessThanOrEqual(one + 1);
    await shelved.blocks.close();
    await removeAll(again);
  });

  it('forgets the blocks of files that compaction replaced, of this journal only', async () => {
    const { snapshot } = await stored(3);
    const files = snapshot.files.map((file, index) => ({ ...file, key: `acme/data/0${index}/x.parquet` }));
    const other = { ...(files[0] as SegmentFile), key: 'acme-2/data/00/x.parquet' };
    const shelved = await openBlocks(lab);
    const paths = new Map([...files, other].map((file, index) => [file, snapshot.files[index % 3]?.key as string]));
    for (const [file, path] of [...paths, ...paths]) shelved.blocks.want(file, path);
    await shelved.blocks.built();
    expect(shelved.seen).toMatchObject({ built: 4, failed: [] });
    shelved.blocks.keepOnly('acme', files.slice(2));
    expect(blockFiles(shelved.dir).sort()).toEqual([
      'acme-2~data~00~x.parquet.blocks',
      'acme~data~02~x.parquet.blocks',
    ]);
    await removeAll(shelved);
  });

  it('lets a build go that is killed, one whose segment is gone, and one whose segment is not what the log says', async () => {
    const { events, snapshot } = await stored(1);
    const [file] = snapshot.files as [SegmentFile];
    const killed = await openBlocks(lab);
    killed.blocks.want(file, file.key);
    killed.blocks.want(file, file.key);
    await killed.blocks.close();
    expect(readdirSync(killed.dir)).toEqual([]);
    const shelved = await reopen(lab, killed);
    await build(shelved, [{ ...file, key: `${file.key}.gone` }]);
    await build(shelved, [{ ...file, rows: file.rows + 1 }]);
    expect(shelved.seen.failed).toHaveLength(1);
    expect(readdirSync(shelved.dir)).toEqual([]);
    await build(shelved, [file]);
    expect(shelved.seen.built).toBe(1);
    expect((await ask(readerOf(lab, shelved), snapshot, 'a')).events).toEqual(eventsOf(events, 'a'));
    await removeAll(shelved);
  });

  it('gives up a segment of which no blocks can be built', async () => {
    const { snapshot } = await stored(1);
    const [file] = snapshot.files as [SegmentFile];
    writeFileSync(file.key, 'no Parquet');
    const shelved = await openBlocks(lab);
    for (let round = 0; round < 5; round += 1) await build(shelved, [file]);
    expect(shelved.seen.failed).toHaveLength(2);
    await removeAll(shelved);
  });
});
