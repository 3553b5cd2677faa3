import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../journal/index.ts';
import { startService } from '../cli/service.ts';
import { COMMITTED, drafts, errorOf, Lab, readAll, strangerHash } from '../support/journal-lab.ts';
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

const MANUAL = { isAutomatic: false, graceMs: 3_600_000, partRows: 20 };
const CUT_EVENTS = 7;

/** Removes the next events in a process that is killed at a call of the store. False: there are not so many calls. */
async function removeAndDie(stopAt: object, seq: number): Promise<boolean> {
  child = new JournalProcess({ dataDir: lab.dataDir, storeDir: lab.storeDir, compaction: MANUAL, stopAt });
  await Promise.race([child.heard('open'), child.heard('stopped')]);
  child.send({ type: 'retain', seq });
  const { type } = await Promise.race([child.heard('stopped'), child.heard('retained')]);
  await child.kill();
  return type === 'stopped';
}

const isOrder = ({ entity_type, action }: JournalEvent) => entity_type === 'indelible.retention' && action === 'delete';

describe.each(['nothing', 'all'])('a removal that is killed once a call did %s', { timeout: 120_000 }, (did) => {
  it.each(['putFile', 'putIfAbsent'])('(%s) is finished by the next start, or was never ordered', async (call) => {
    let journals = await lab.open({ compaction: MANUAL });
    for (let i = 0; i < 8; i++) await journals.append('acme', drafts(`s${i}-`, 10), COMMITTED);
    await journals.compact('acme');
    let firstSeq = 0;
    let kills = 0;
    for (let nth = 0; ; nth++) {
      const before = await readAll(journals, 'acme');
      const snapshot = await journals.snapshot('acme');
      const { beforeHash } = snapshot.start;
      snapshot.release();
      await lab.close(journals);
      const killed = await removeAndDie({ side: 'store', call, nth, did }, firstSeq + CUT_EVENTS);
      journals = await lab.open({ compaction: MANUAL });
      await journals.retention.resume('acme', (commit) => commit());
      const after = await readAll(journals, 'acme');
      const { first_seq } = await journals.stats('acme');
      expect(after[0]?.seq).toBe(first_seq);
      expect([firstSeq, firstSeq + CUT_EVENTS]).toContain(first_seq);
      expect(after.filter(({ seq }) => seq <= (before.at(-1)?.seq ?? -1))).toEqual(
        before.filter(({ seq }) => seq >= first_seq),
      );
      const orders = after.filter(isOrder).map(({ new_value }) => JSON.parse(new_value ?? '').first_seq as number);
      expect(new Set(orders).size).toBe(orders.length);
      if (first_seq > 0) expect(orders.at(-1)).toBe(first_seq);
      let hash = first_seq > firstSeq ? String(before[CUT_EVENTS - 1]?.event_hash) : beforeHash;
      for (const event of after) {
        expect(strangerHash(event, hash)).toBe(event.event_hash);
        hash = event.event_hash;
      }
      if (first_seq > 0) {
        const removed = drafts('s0-', 1);
        expect(await errorOf(journals.append('acme', removed, COMMITTED))).toMatchObject({ kind: 'conflict' });
      }
      firstSeq = first_seq;
      if (!killed) break;
      kills += 1;
    }
    expect(firstSeq).toBeGreaterThanOrEqual(CUT_EVENTS);
    expect(kills).toBeGreaterThan(3);
  });
});

it('a service that starts over an order that was cut short carries it out by itself', {
  timeout: 120_000,
}, async () => {
  const journals = await lab.open({ compaction: MANUAL });
  for (let i = 0; i < 3; i++) await journals.append('acme', drafts(`s${i}-`, 10), COMMITTED);
  await lab.close(journals);
  // The first file is the one with the ids: the order is noted, and not yet recorded.
  expect(await removeAndDie({ side: 'store', call: 'putFile', nth: 0, did: 'all' }, 13)).toBe(true);
  const key = 'the-operator-key-of-this-test';
  const args = ['--store', lab.storeDir, '--operator-key', key];
  const service = await startService({ data: lab.dataDir, args });
  const ask = async (path: string) => {
    const headers = { Authorization: `Bearer ${key}`, 'X-Workspace': 'acme' };
    return (await fetch(service.url + path, { headers })).json() as Promise<Record<string, unknown>>;
  };
  try {
    let stats = await ask('/journal/stats');
    while (stats.first_seq !== 13) stats = await ask('/journal/stats');
    expect(stats).toMatchObject({ total_events: 30 - 13 + 1 });
    expect(await ask('/journal/verify')).toMatchObject({ valid: true, first_seq: 13, last_seq: 30 });
  } finally {
    service.signal('SIGTERM');
    await service.ended;
  }
});
