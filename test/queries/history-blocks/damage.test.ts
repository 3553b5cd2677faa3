import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JournalEvent, Snapshot } from '../../../journal/index.ts';
import { journalOf, plainSpec } from '../../support/events.ts';
import { Lab } from '../snapshots.ts';
import { ask, build, eventsOf, openBlocks, readerOf, removeAll, reopen, type Shelved } from './blocks.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

const IDS = Array.from({ length: 40 }, (_, index) => `entity-${index}`);

/** One segment with blocks, and the file that holds them. */
async function built(): Promise<{ events: JournalEvent[]; snapshot: Snapshot; shelved: Shelved; path: string }> {
  const specs = Array.from({ length: 600 }, (_, seq) =>
    plainSpec({ entity_id: IDS[(seq * 7) % IDS.length] as string, new_value: JSON.stringify(`value ${seq * 31}`) }),
  );
  const events = journalOf(specs);
  const snapshot = await lab.snapshot(events, { fileOf: events.map(() => 0), boundChars: 32 });
  const shelved = await openBlocks(lab);
  await build(shelved, snapshot.files);
  const [name = ''] = readdirSync(shelved.dir);
  return { events, snapshot, shelved, path: join(shelved.dir, name) };
}

async function expectTruth({ events, snapshot }: { events: JournalEvent[]; snapshot: Snapshot }, shelved: Shelved) {
  const reader = readerOf(lab, shelved);
  for (const id of [...IDS, 'none']) expect((await ask(reader, snapshot, id)).events).toEqual(eventsOf(events, id));
}

describe('damaged history blocks', () => {
  it('are never trusted, whichever byte is flipped or wherever the file ends, and are built again', async () => {
    const made = await built();
    const whole = readFileSync(made.path);
    let { shelved } = made;
    const end = whole.length - 1;
    const position = fc.oneof(
      fc.nat(end),
      fc.nat(31).map((byte) => end - byte),
    );
    await fc.assert(
      fc.asyncProperty(position, fc.boolean(), fc.nat(254), async (at, isCut, change) => {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] as number) ^ (change + 1);
        await shelved.blocks.close();
        writeFileSync(made.path, bytes);
        if (isCut) truncateSync(made.path, at);
        shelved = await openBlocks(lab, { dir: made.shelved.dir });
        await expectTruth(made, shelved);
        await shelved.blocks.built();
        expect(shelved.seen).toMatchObject({ built: 1, failed: [] });
        expect(readFileSync(made.path).equals(whole)).toBe(true);
      }),
      { numRuns: 12, endOnFailure: true },
    );
    await removeAll(shelved);
  });

  it('are thrown away also where they are damaged while they are open', async () => {
    const made = await built();
    const { shelved, snapshot, path } = made;
    await ask(readerOf(lab, shelved), snapshot, 'entity-1');
    expect(shelved.seen.hits).toBe(1);
    // The index in memory is right; every block is not.
    writeFileSync(path, Buffer.alloc(statSync(path).size - 2_000, 'x'), { flag: 'r+' });
    await expectTruth(made, shelved);
    await shelved.blocks.built();
    expect(shelved.seen.built).toBe(2);
    await removeAll(shelved);
  });

  it('of another version, of another segment or of a stranger are built again', async () => {
    const made = await built();
    const whole = readFileSync(made.path);
    const other = await built();
    const version = Buffer.from(whole);
    version.writeUInt32LE(99, whole.length - 12);
    let { shelved } = made;
    for (const bytes of [version, readFileSync(other.path), Buffer.from('hello'), Buffer.alloc(0)]) {
      await shelved.blocks.close();
      writeFileSync(made.path, bytes);
      shelved = await openBlocks(lab, { dir: made.shelved.dir });
      await expectTruth(made, shelved);
      await shelved.blocks.built();
      expect(readFileSync(made.path).equals(whole)).toBe(true);
    }
    await removeAll(shelved);
    await removeAll(other.shelved);
  });

  it('may be deleted at any moment', async () => {
    const made = await built();
    await removeAll(made.shelved);
    await expectTruth(made, made.shelved);
    const again = await openBlocks(lab);
    await build(again, made.snapshot.files);
    const [name = ''] = readdirSync(again.dir);
    await again.blocks.close();
    const reopened = await reopen(lab, again);
    writeFileSync(join(again.dir, name), '');
    await expectTruth(made, reopened);
    await removeAll(reopened);
  });
});
