import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DraftEvent, Receipt } from '../../journal/index.ts';
import { chainFault, DURABLE, drafts, Lab, readAll, readInMemory, SeededRandom } from '../support/journal-lab.ts';
import { JournalProcess } from '../support/journal-process.ts';

let lab: Lab;
let child: JournalProcess | undefined;
beforeEach(() => {
  lab = new Lab();
});
afterEach(async () => {
  await child?.kill();
  await lab.dispose();
});

const SEED = process.env.INDELIBLE_TEST_SEED ?? '2026';

type Told = {
  /** Receipts by workspace and event_id: what the process promised. */
  acknowledged: Map<string, Map<string, Receipt>>;
  /** Everything it tried, in order. */
  sent: { workspace: string; drafts: DraftEvent[] }[];
};

/** Notes down what a killed process had said. */
function note(told: Told, said: JournalProcess['said']): void {
  for (const message of said) {
    const workspace = String(message.workspace);
    if (message.type === 'sending') told.sent.push({ workspace, drafts: message.drafts as DraftEvent[] });
    if (message.type !== 'acknowledged') continue;
    const receipts = told.acknowledged.get(workspace) ?? new Map<string, Receipt>();
    for (const receipt of message.receipts as Receipt[]) receipts.set(receipt.event_id, receipt);
    told.acknowledged.set(workspace, receipts);
  }
}

/**
 * After a crash: every acknowledged event is there once, where and as its receipt says; nothing is there that was not
 * sent; sending everything again stores nothing twice and repeats the first receipts; and the journal goes on.
 */
async function expectKept(told: Told): Promise<void> {
  const journals = await lab.open();
  for (const [workspace, receipts] of told.acknowledged) {
    const events = await readAll(journals, workspace);
    expect(await readInMemory(journals, workspace)).toEqual(events);
    expect(chainFault(events)).toBeUndefined();
    const bySeq = new Map(events.map((event) => [event.seq, event]));
    for (const { event_id, seq, event_hash, recorded_at } of receipts.values()) {
      expect(bySeq.get(seq)).toMatchObject({ event_id, event_hash, recorded_at });
    }
    const sent = new Set(told.sent.flatMap(({ drafts }) => drafts.map((draft) => draft.event_id)));
    expect(events.filter((event) => !sent.has(event.event_id))).toEqual([]);
  }
  for (const { workspace, drafts } of told.sent) {
    const { receipts } = await journals.append(workspace, drafts, DURABLE);
    for (const receipt of receipts) {
      const first = told.acknowledged.get(workspace)?.get(receipt.event_id);
      if (first) expect(receipt).toMatchObject({ seq: first.seq, event_hash: first.event_hash });
    }
  }
  await journals.flush();
  expect(readdirSync(lab.walDir)).toEqual([]);
  const ids = new Map<string, Set<string | null>>();
  for (const { workspace, drafts } of told.sent) {
    const known = ids.get(workspace) ?? new Set<string | null>();
    for (const draft of drafts) known.add(draft.event_id);
    ids.set(workspace, known);
  }
  for (const [workspace, known] of ids) {
    const events = await readAll(journals, workspace);
    expect(chainFault(events)).toBeUndefined();
    expect(new Set(events.map((event) => event.event_id))).toEqual(known);
    expectNoOrphanReferenced(workspace);
  }
  await lab.close(journals);
}

/** Every segment that the table log names is in the store, and is named once. */
function expectNoOrphanReferenced(workspace: string): void {
  const dir = join(lab.storeDir, workspace);
  const stored = new Set(readdirSync(join(dir, 'data'), { recursive: true }).map((path) => join('data', String(path))));
  const named: string[] = [];
  for (const name of readdirSync(join(dir, '_delta_log'))) {
    const text = readFileSync(join(dir, '_delta_log', name), 'utf8');
    for (const [, path] of text.matchAll(/"add":\{"path":"([^"]+)"/g)) named.push(String(path));
  }
  expect(new Set(named).size).toBe(named.length);
  for (const path of named) expect(stored).toContain(path);
}

function started(options: Record<string, unknown>): JournalProcess {
  child = new JournalProcess({ dataDir: lab.dataDir, storeDir: lab.storeDir, ...options });
  return child;
}

describe('a process that is killed', () => {
  it('at random moments, over and over, on the same journals: keeps what it acknowledged', async () => {
    const random = new SeededRandom(SEED);
    const told: Told = { acknowledged: new Map(), sent: [] };
    for (let round = 0; round < 12; round++) {
      const run = `r${round}`;
      const options = {
        batch: 1 + random.below(20),
        lanes: 1 + random.below(6),
        flushEvents: [20, 100, 1_000_000][random.below(3)],
        ack: random.below(4) === 0 ? 'committed' : 'durable',
        compaction: { isAutomatic: true, graceMs: 10_000, partRows: 50 },
      };
      const killed = started({ run, ...options });
      await killed.heard('open');
      await new Promise((resolve) => setTimeout(resolve, random.below(150)));
      await killed.kill();
      note(told, killed.said);
      if (round % 3 === 2) await expectKept(told);
    }
    await expectKept(told);
    const acknowledged = [...told.acknowledged.values()].reduce((sum, receipts) => sum + receipts.size, 0);
    expect(acknowledged).toBeGreaterThan(12);
  }, 60_000);

  const moments = [
    ['after the log file was made, before its first line', { side: 'disk', call: 'create', did: 'all', nth: 1 }],
    ['before a group is written', { side: 'disk', call: 'append', did: 'nothing', nth: 4 }],
    ['while a group is written', { side: 'disk', call: 'append', did: 'half', nth: 4 }],
    ['after a group is written, before it is synced', { side: 'disk', call: 'append', did: 'all', nth: 4 }],
    ['after a group is synced, before its receipts', { side: 'disk', call: 'sync', did: 'all', nth: 4 }],
    ['before a closed file is let go', { side: 'disk', call: 'close', did: 'nothing', nth: 0 }],
    ['before a segment is put', { side: 'store', call: 'putFile', did: 'nothing', nth: 1 }],
    ['after a segment was put, before its commit', { side: 'store', call: 'putFile', did: 'all', nth: 1 }],
    [
      'after a workspace was named, before its table is made',
      { side: 'store', call: 'putIfAbsent', did: 'all', nth: 1 },
    ],
    ['after the table was made, before its first commit', { side: 'store', call: 'putIfAbsent', did: 'all', nth: 2 }],
    ['after a commit, before the log is let go', { side: 'store', call: 'putIfAbsent', did: 'all', nth: 8 }],
  ] as const;

  it.each(moments)('%s', async (_, stopAt) => {
    const told: Told = { acknowledged: new Map(), sent: [] };
    const stopped = started({ run: 'x', batch: 5, lanes: 3, flushEvents: 30, stopAt });
    await stopped.heard('stopped');
    await new Promise((resolve) => setTimeout(resolve, 20));
    await stopped.kill();
    note(told, stopped.said);
    expect(told.sent.length).toBeGreaterThan(0);
    await expectKept(told);
  });

  const compactionMoments = [
    ['before a part is put', { side: 'store', call: 'putFile', did: 'nothing', nth: 8 }],
    ['after a part was put', { side: 'store', call: 'putFile', did: 'all', nth: 9 }],
    ['before its commit', { side: 'store', call: 'putIfAbsent', did: 'nothing', nth: 11 }],
    ['after its commit', { side: 'store', call: 'putIfAbsent', did: 'all', nth: 11 }],
  ] as const;

  it.each(compactionMoments)('while it compacts: %s', async (_, stopAt) => {
    const compaction = { isAutomatic: false, graceMs: 3_600_000, partRows: 20 };
    const stopped = started({ compaction, stopAt });
    await stopped.heard('open');
    for (let i = 0; i < 8; i++) {
      stopped.send({ type: 'append', drafts: drafts(`s${i}-`, 10) });
      await stopped.heardTimes('appended', i + 1);
      stopped.send({ type: 'flush' });
      await stopped.heardTimes('flushed', i + 1);
    }
    stopped.send({ type: 'compact' });
    await stopped.heard('stopped');
    await stopped.kill();
    const journals = await lab.open({ compaction });
    const before = await readAll(journals, 'acme');
    expect(chainFault(before)).toBeUndefined();
    expect(before).toHaveLength(80);
    await journals.compact('acme');
    expect(await readAll(journals, 'acme')).toEqual(before);
    expect((await journals.stats('acme')).persisted_files).toBeLessThan(8);
  });

  it('while it takes back what another left', async () => {
    const told: Told = { acknowledged: new Map(), sent: [] };
    for (const nth of [0, 1, 3]) {
      const stopAt = { side: 'store', call: 'putFile', did: 'all', nth } as const;
      const stopped = started({ run: `again${nth}`, batch: 5, lanes: 3, flushEvents: 40, stopAt });
      await stopped.heard('stopped');
      await stopped.kill();
      note(told, stopped.said);
    }
    await expectKept(told);
  });
});
