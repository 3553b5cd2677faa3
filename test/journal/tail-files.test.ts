import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Journals, Snapshot } from '../../journal/index.ts';
import { DURABLE, draft, drafts, Lab, readAll, readInMemory } from '../support/journal-lab.ts';

let lab: Lab;
let journals: Journals;
const held: Snapshot[] = [];
beforeEach(async () => {
  lab = new Lab();
  journals = await lab.open();
});
afterEach(async () => {
  for (const snapshot of held.splice(0)) snapshot.release();
  await lab.dispose();
});

const tailDir = () => join(lab.dataDir, 'tmp', 'tail');
let made = 0;
const append = (count: number, workspace = 'acme') => journals.append(workspace, drafts(`e${made++}-`, count), DURABLE);

/** A snapshot that is being read, until the test ends. */
async function hold(): Promise<Snapshot> {
  const snapshot = await journals.snapshot('acme');
  held.push(snapshot);
  return snapshot;
}

/** The positions in a snapshot's tail files that belong to it, each as often as it stands there. */
async function seqsOf(snapshot: Snapshot): Promise<number[]> {
  const lines = (await snapshot.tailFiles()).flatMap((path) => readFileSync(path, 'utf8').trim().split('\n'));
  return lines
    .map((line) => (JSON.parse(line) as { seq: number }).seq)
    .filter((seq) => seq > snapshot.committedSeq && seq <= snapshot.durableSeq)
    .sort((a, b) => a - b);
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

it('shows each event once where older snapshots hold pieces of what was merged since', async () => {
  for (let i = 0; i < 14; i++) {
    await append(1);
    const snapshot = await hold();
    expect(await seqsOf(snapshot)).toEqual(range(0, i));
    // The first five stay; what the next ones needed goes once the pieces were merged.
    if (i === 8) for (const released of held.splice(5, 3)) released.release();
  }
});

it('shows each event once, in any order of commits, releases and late readers', async () => {
  for (let step = 0; step < 120; step++) {
    const choice = lab.random.below(10);
    if (choice < 5) await append(1 + lab.random.below(4));
    else if (choice === 5) await journals.flush().catch(() => {});
    else if (choice < 8 && journals.has('acme')) await hold();
    else held.splice(lab.random.below(held.length + 1), 1)[0]?.release();
    for (const snapshot of held) {
      if (lab.random.below(3) === 0) {
        expect(await seqsOf(snapshot)).toEqual(range(snapshot.committedSeq + 1, snapshot.durableSeq));
      }
    }
  }
});

it('keeps a file as long as a snapshot needs it, and no longer', async () => {
  await append(3);
  const first = await hold();
  const paths = await first.tailFiles();
  await journals.flush();
  for (let round = 0; round < 10; round++) {
    await append(2);
    expect(await readAll(journals, 'acme')).toHaveLength(5 + round * 2);
    await journals.flush();
  }
  for (const path of paths) expect(existsSync(path)).toBe(true);
  held.pop()?.release();
  await append(1);
  await readAll(journals, 'acme');
  expect(readdirSync(tailDir())).toHaveLength(1);
});

it('shares files between snapshots of one tail', async () => {
  await append(2);
  const [a, b] = [await hold(), await hold()];
  expect(await b.tailFiles()).toEqual(await a.tailFiles());
  await append(2);
  const c = await hold();
  expect((await c.tailFiles()).slice(0, 1)).toEqual(await a.tailFiles());
});

it('holds nothing of another workspace', async () => {
  await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      journals.append(i % 2 === 0 ? 'acme' : 'other', [draft({ event_id: `x${i}`, actor: `of-${i % 2}` })], DURABLE),
    ),
  );
  const text = (await (await hold()).tailFiles()).map((path) => readFileSync(path, 'utf8')).join('');
  expect(text).toContain('"workspace_id":"acme"');
  expect(text).not.toContain('other');
  expect(text).not.toContain('of-1');
});

it('answers as memory does: entity, order, range', async () => {
  await append(40);
  await journals.flush();
  await append(3000);
  const snapshot = await hold();
  const events = await readInMemory(journals, 'acme');
  expect(events).toHaveLength(3040);
  expect([...snapshot.tailEvents()]).toEqual(events.slice(40));
  expect([...snapshot.tailEventsDescending()]).toEqual(events.slice(40).reverse());
  expect([...snapshot.tailEvents(1050, 1100)]).toEqual(events.slice(1050, 1101));
  expect([...snapshot.tailEvents(0, 40)]).toEqual(events.slice(40, 41));
  const ofEntity = (id: string) => events.slice(40).filter((event) => event.entity_id === id);
  expect([...snapshot.tailOfEntity('entity-3')]).toEqual(ofEntity('entity-3'));
  expect([...snapshot.tailOfEntity('nobody')]).toEqual([]);
});

it('is one moment: what comes later does not show, a commit changes nothing', async () => {
  await append(5);
  const snapshot = await hold();
  const before = [...snapshot.tailEvents()];
  await append(5);
  await journals.flush();
  await append(5);
  expect([...snapshot.tailEvents()]).toEqual(before);
  expect(await seqsOf(snapshot)).toEqual(range(0, 4));
  expect(snapshot.files).toEqual([]);
});
