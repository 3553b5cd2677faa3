import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recent } from '../../queries/index.ts';
import { journalOf, plainSpec } from '../support/events.ts';
import { allPages, eventFilter, passes, recentAnswer, recentQuestion, storedJournal } from './model.ts';
import { Lab } from './snapshots.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

describe('recent', () => {
  it('answers as a filter over the whole journal does, wherever the events lie', async () => {
    await fc.assert(
      fc.asyncProperty(
        storedJournal,
        fc.array(recentQuestion, { minLength: 6, maxLength: 6 }),
        fc.integer({ min: 0, max: 12 }),
        async (stored, questions, newestEvents) => {
          const events = journalOf(stored.specs);
          const snapshot = await lab.snapshot(events, stored.layout);
          const reader = lab.recentReader(newestEvents);
          for (const question of questions) {
            expect(await recent(reader, snapshot, question)).toEqual(recentAnswer(events, question));
          }
        },
      ),
      { numRuns: 50, endOnFailure: true },
    );
  });

  it('gives every event exactly once over the pages', async () => {
    await fc.assert(
      fc.asyncProperty(storedJournal, eventFilter, fc.integer({ min: 1, max: 6 }), async (stored, filter, limit) => {
        const events = journalOf(stored.specs);
        const snapshot = await lab.snapshot(events, stored.layout);
        const reader = lab.recentReader(5);
        const paged = await allPages(limit, (cursorSeq) => recent(reader, snapshot, { ...filter, limit, cursorSeq }));
        expect(paged).toEqual(events.filter((event) => passes(filter, event)).reverse());
      }),
      { numRuns: 20, endOnFailure: true },
    );
  });

  it('reads the tail alone where that is enough, else the newest files, and stops early', async () => {
    const events = journalOf(
      Array.from({ length: 100 }, (_, index) => plainSpec({ actor: index % 2 === 0 ? 'ann' : 'bob' })),
    );
    // Ten files of nine events and a tail of ten.
    const fileOf = Array.from({ length: 90 }, (_, seq) => Math.floor(seq / 9));
    const snapshot = await lab.snapshot(events, { fileOf, boundChars: 32 });
    const ask = async (query: Parameters<typeof recent>[2]): Promise<string[]> => {
      lab.filesRead.clear();
      await recent(lab.recentReader(), snapshot, query);
      return [...lab.filesRead];
    };
    const paths = (await snapshot.hold(snapshot.files)).paths;
    expect(await ask({ limit: 9 })).toEqual([]);
    expect(await ask({ limit: 10 })).toEqual([paths[9]]);
    expect(await ask({ limit: 4, actor: 'ann' })).toEqual([]);
    expect(await ask({ limit: 8, actor: 'ann' })).toEqual([paths[9]]);
    expect((await ask({ limit: 12, actor: 'ann' })).sort()).toEqual([paths[7], paths[8], paths[9]].sort());
    expect(await ask({ limit: 5, cursorSeq: 9 })).toEqual([paths[0]]);
    expect(await ask({ limit: 5, actor: 'zoe' })).toEqual([]);
    expect((await ask({ limit: 5, source: 'none' })).length).toBe(10);
  });

  it('reads a file that overlaps newer ones, and only as long as it may hold something newer', async () => {
    const events = journalOf(Array.from({ length: 40 }, () => plainSpec({ source: 'git' })));
    // File 0 holds one new event among old ones; 1 and 2 follow each other; 3 is old.
    const fileOf = events.map(({ seq }) => (seq < 10 ? 3 : seq === 35 || seq < 20 ? 0 : seq < 30 ? 1 : 2));
    const snapshot = await lab.snapshot(events, { fileOf, boundChars: 32 });
    lab.filesRead.clear();
    const answer = await recent(lab.recentReader(), snapshot, { limit: 6, source: 'git' });
    expect(answer.events.map(({ seq }) => seq)).toEqual([39, 38, 37, 36, 35, 34]);
    expect(lab.filesRead.size).toBeLessThan(4);
  });

  it('reads the newest committed events once for each list of files', async () => {
    const events = journalOf(Array.from({ length: 30 }, () => plainSpec({})));
    const snapshot = await lab.snapshot(events, { fileOf: events.map(({ seq }) => seq % 3), boundChars: 32 });
    const reader = lab.recentReader(10);
    await recent(reader, snapshot, { limit: 5 });
    lab.filesRead.clear();
    const answer = await recent(reader, snapshot, { limit: 10 });
    expect(answer.events.map(({ seq }) => seq)).toEqual([29, 28, 27, 26, 25, 24, 23, 22, 21, 20]);
    expect(answer.more).toBe(true);
    expect(lab.filesRead.size).toBe(0);
    expect((await recent(reader, snapshot, { limit: 11 })).events.length).toBe(11);
    expect(lab.filesRead.size).toBeGreaterThan(0);
  });

  it('ends a page early where values are large, and goes on from there', async () => {
    const large = JSON.stringify('x'.repeat(1_000_000));
    const values = { old_value: large, new_value: large, metadata: large };
    const specs = Array.from({ length: 14 }, () => plainSpec({ ...values, source: 'git' }));
    const events = journalOf(specs);
    const seqs = events.map(({ seq }) => seq).reverse();
    for (const fileOf of [events.map(({ seq }) => seq % 3), events.slice(0, 10).map(({ seq }) => seq >> 2)]) {
      const snapshot = await lab.snapshot(events, { fileOf, boundChars: 32 });
      for (const [filter, keep] of [
        [{}, 0],
        [{}, 20],
        [{ source: 'git' }, 0],
        [{ source: 'git' }, 20],
      ] as const) {
        const pages: number[] = [];
        const paged = await allPages(1000, async (cursorSeq) => {
          const page = await recent(lab.recentReader(keep), snapshot, { ...filter, limit: 1000, cursorSeq });
          pages.push(page.events.length);
          return page;
        });
        expect(Math.max(...pages)).toBe(6);
        expect(paged.map(({ seq }) => seq)).toEqual(seqs);
      }
    }
  });
});
