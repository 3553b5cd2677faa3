import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DraftList } from '../../journal/drafts/index.ts';
import { DirectoryStore, type Journals, LIMITS, ZERO_HASH } from '../../journal/index.ts';
import { Journal } from '../../journal/journal.ts';
import { localDisk, Wal } from '../../journal/wal/index.ts';
import { FaultyStore } from '../support/faulty-store.ts';
import { COMMITTED, chainFault, DURABLE, draft, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.dispose());

/** Three log files that were not sealed: acme in all of them, beta in the second only. */
async function threeFiles(): Promise<string[]> {
  const store = new FaultyStore(new DirectoryStore(lab.storeDir));
  const journals = await lab.open({ store, flushEvents: 2 });
  store.decide = () => 'not-applied';
  const quiet = (promise: Promise<unknown>) => promise.catch(() => {});
  store.decide = (call) => (call === 'putFile' || call === 'putIfAbsent' ? 'not-applied' : undefined);
  for (let i = 0; i < 3; i++) {
    const group = [journals.append('acme', drafts(`a${i}-`, 2), DURABLE)];
    if (i === 1) group.push(journals.append('beta', drafts('b', 1), DURABLE));
    await Promise.all(group);
  }
  await quiet(journals.flush());
  await lab.close(journals);
  const names = readdirSync(lab.walDir).sort();
  expect(names).toHaveLength(3);
  return names;
}

const content = () =>
  readdirSync(lab.walDir)
    .sort()
    .map((name) => readFileSync(join(lab.walDir, name), 'utf8'));

describe('a start', () => {
  it('takes back every file and seals it', async () => {
    await threeFiles();
    const journals = await lab.open();
    expect(journals.workspaces()).toEqual(['acme', 'beta']);
    expect((await readAll(journals, 'acme')).map((event) => event.event_id)).toEqual([
      'a0-0',
      'a0-1',
      'a1-0',
      'a1-1',
      'a2-0',
      'a2-1',
    ]);
    await journals.flush();
    expect(readdirSync(lab.walDir)).toEqual([]);
    expect(chainFault(await readAll(journals, 'acme'))).toBeUndefined();
  });

  it.each([
    ['the first', 0],
    ['one in the middle', 1],
  ])('with a file missing, %s, is refused and changes nothing', async (_, index) => {
    const names = await threeFiles();
    rmSync(join(lab.walDir, names[index] as string));
    const before = content();
    expect(await errorOf(lab.open())).toMatchObject({ kind: 'corrupt' });
    expect(content()).toEqual(before);
    expect(await errorOf(lab.open())).toMatchObject({ kind: 'corrupt' });
  });

  it('with the files in another order is refused', async () => {
    const names = await threeFiles();
    const [first = '', , third = ''] = names.map((name) => readFileSync(join(lab.walDir, name), 'utf8'));
    writeFileSync(join(lab.walDir, names[0] as string), third);
    writeFileSync(join(lab.walDir, names[2] as string), first);
    expect(await errorOf(lab.open())).toMatchObject({ kind: 'corrupt' });
  });

  it('with a file twice is refused', async () => {
    const names = await threeFiles();
    writeFileSync(join(lab.walDir, names[2] as string), readFileSync(join(lab.walDir, names[1] as string)));
    expect(await errorOf(lab.open())).toMatchObject({ kind: 'corrupt' });
  });

  it('passes over files that are not of the log', async () => {
    await threeFiles();
    writeFileSync(join(lab.walDir, 'notes.txt'), 'hello');
    const journals = await lab.open();
    expect(await readAll(journals, 'acme')).toHaveLength(6);
  });

  it('tells what it took back', async () => {
    await threeFiles();
    let found: unknown;
    await lab.open({ observer: { recovered: (recovery) => (found = recovery) } });
    expect(found).toMatchObject({ events: 7, files: 3, cutBytes: 0 });
  });
});

describe('recorded_at', () => {
  it('never runs backwards, whatever the clock does, across seals and restarts', async () => {
    let journals = await lab.open();
    const steps = [0, 5, -100_000, -1, 3, 200_000, -400_000];
    for (const [index, step] of steps.entries()) {
      lab.clock.ms += step;
      await journals.append('acme', drafts(`e${index}-`, 2), index % 2 === 0 ? DURABLE : COMMITTED);
      if (index === 3) {
        await lab.close(journals);
        journals = await lab.open();
      }
    }
    const times = (await readAll(journals, 'acme')).map((event) => event.recorded_at);
    expect(times).toEqual([...times].sort());
    expect(new Set(times).size).toBe(3);
  });
});

describe('a closed service', () => {
  it('has sealed everything and takes nothing more', async () => {
    const journals = await lab.open();
    await journals.append('acme', drafts('a', 3), DURABLE);
    const late = journals.append('acme', drafts('b', 1), DURABLE);
    const taken = late.then(
      () => 1,
      () => 0,
    );
    await lab.close(journals);
    expect(readdirSync(lab.walDir)).toEqual([]);
    expect(await errorOf(journals.append('acme', drafts('c', 1), DURABLE))).toMatchObject({ kind: 'unavailable' });
    const again = await lab.open();
    expect(await again.stats('acme')).toMatchObject({ total_events: 3 + (await taken), buffered_events: 0 });
  });

  it('closes though the store is away, and keeps its log', async () => {
    const store = new FaultyStore(new DirectoryStore(lab.storeDir));
    const journals = await lab.open({ store });
    await journals.append('acme', drafts('a', 3), DURABLE);
    store.decide = () => 'not-applied';
    await lab.close(journals);
    const again = await lab.open();
    expect(await readAll(again, 'acme')).toHaveLength(3);
  });
});

describe('a journal', () => {
  it('that is nearly full takes a batch whole or not at all', () => {
    const wal = new Wal({
      dir: lab.dir,
      disk: localDisk,
      firstFileNumber: 1,
      fileBytesMax: 1 << 30,
      fileEventsMax: 1 << 30,
      onClosed: () => {},
      onDurable: () => {},
      onRolledBack: () => {},
    });
    const head = { seq: LIMITS.seqMax - 2, hash: ZERO_HASH, recordedAt: '' };
    const journal = new Journal({ workspace: 'acme', random: lab.random, head, table: undefined, files: [] });
    const stage = (count: number) => {
      const batch = new DraftList(Array.from({ length: count }, () => draft()));
      return journal.stage(batch, journal.plan(batch, new Map()), wal, { ms: 0, text: '' }, 'durable');
    };
    expect(() => stage(3)).toThrow(/holds at most/);
    expect(journal.head).toEqual(head);
    expect(stage(2).map((receipt) => receipt.seq)).toEqual([LIMITS.seqMax - 1, LIMITS.seqMax]);
  });

  it('goes on where someone who listens to it fails', async () => {
    const journals: Journals = await lab.open();
    await journals.append('acme', drafts('a', 1), DURABLE);
    let heard = 0;
    const stop = journals.subscribe('acme', () => {
      heard += 1;
      throw new Error('a listener of the edge');
    });
    journals.subscribe('acme', () => {
      heard += 1;
    });
    await journals.append('acme', drafts('b', 1), DURABLE);
    expect(heard).toBe(2);
    stop();
    await journals.append('acme', drafts('c', 1), DURABLE);
    expect(heard).toBe(3);
  });

  it('can be listened to after a restart', async () => {
    let journals = await lab.open();
    await journals.append('acme', drafts('a', 2), COMMITTED);
    await lab.close(journals);
    journals = await lab.open();
    await journals.stats('acme');
    expect(journals.durableSeq('acme')).toBe(1);
    const heard = Promise.withResolvers<void>();
    journals.subscribe('acme', heard.resolve);
    await journals.append('acme', drafts('b', 1), DURABLE);
    await heard.promise;
  });

  it('of a name that is no workspace is never opened', async () => {
    const journals = await lab.open();
    for (const name of ['', '../acme', 'a/b', 'ACME', '_indelible', 'a"b', 'é']) {
      await expect(journals.append(name, drafts('a', 1), DURABLE), name).rejects.toThrow(/workspace/);
    }
    expect(readdirSync(lab.storeDir)).toEqual(['_indelible']);
  });
});
