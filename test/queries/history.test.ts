import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { history } from '../../queries/index.ts';
import { eventTime, HOSTILE_TEXTS, hostileText, journalOf, plainSpec } from '../support/events.ts';
import { allPages, historyAnswer, historyQuestion, storedJournal } from './model.ts';
import { Lab } from './snapshots.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

describe('history', () => {
  it('answers as a filter over the whole journal does, wherever the events lie', async () => {
    await fc.assert(
      fc.asyncProperty(
        storedJournal,
        fc.array(historyQuestion, { minLength: 6, maxLength: 6 }),
        async (stored, questions) => {
          const events = journalOf(stored.specs);
          const snapshot = await lab.snapshot(events, stored.layout);
          for (const question of questions) {
            expect(await history(lab.reader, snapshot, question)).toEqual(historyAnswer(events, question));
          }
        },
      ),
      { numRuns: 50, endOnFailure: true },
    );
  });

  it('gives every event exactly once over the pages', async () => {
    await fc.assert(
      fc.asyncProperty(storedJournal, hostileText, fc.boolean(), async (stored, entityId, ascending) => {
        const events = journalOf(
          stored.specs.map((spec, index) => (index % 2 === 0 ? { ...spec, entity_id: entityId } : spec)),
        );
        const snapshot = await lab.snapshot(events, stored.layout);
        const order = ascending ? 'asc' : 'desc';
        const paged = await allPages(3, (cursorSeq) =>
          history(lab.reader, snapshot, { entityId, order, limit: 3, cursorSeq }),
        );
        const expected = events.filter((event) => event.entity_id === entityId);
        expect(paged).toEqual(ascending ? expected : expected.reverse());
      }),
      { numRuns: 20, endOnFailure: true },
    );
  });

  it('reads only files whose bounds include the entity, the type, the time and the position', async () => {
    const specs = HOSTILE_TEXTS.map((entity_id, index) =>
      plainSpec({
        entity_id,
        entity_type: index < 10 ? 'early' : 'late',
        occurred_at: `20${10 + index}-01-01T00:00:00.000000Z`,
      }),
    );
    const events = journalOf(specs);
    const snapshot = await lab.snapshot(events, { fileOf: events.map(({ seq }) => seq), boundChars: 32 });
    const ask = async (more: object): Promise<number> => {
      lab.filesRead.clear();
      await history(lab.reader, snapshot, { entityId: 'a/b', order: 'asc', limit: 5, ...more });
      return lab.filesRead.size;
    };
    expect(await ask({})).toBe(1);
    expect(await ask({ entityType: 'late' })).toBe(0);
    expect(await ask({ from: '2012-01-01T00:00:00.000000Z' })).toBe(0);
    expect(await ask({ to: '2011-01-01T00:00:00.000000Z' })).toBe(0);
    expect(await ask({ cursorSeq: 1 })).toBe(0);
    expect(await ask({ cursorSeq: 0 })).toBe(1);
    // Long ids share the bounds of those with the same first characters.
    for (const entityId of HOSTILE_TEXTS.filter((text) => text.length < 32)) expect(await ask({ entityId })).toBe(1);
  });

  it('finds nothing for texts that cannot be stored, whatever they are cut or replaced to', async () => {
    const events = journalOf(['a', '\uFFFD', '\u{10FFFF}'].map((entity_id) => plainSpec({ entity_id })));
    for (const fileOf of [[], [0, 0, 0]]) {
      const snapshot = await lab.snapshot(events, { fileOf, boundChars: 32 });
      for (const entityId of ['a\0', 'a\0b', '\uD800', '\uDC00']) {
        const answer = await history(lab.reader, snapshot, { entityId, order: 'asc', limit: 5 });
        expect(answer).toEqual({ events: [], more: false, complete_through: 2 });
      }
    }
  });

  it('ends a page early where values are large, and goes on from there', async () => {
    const large = JSON.stringify('x'.repeat(1_000_000));
    const specs = Array.from({ length: 14 }, () => plainSpec({ old_value: large, new_value: large, metadata: large }));
    const events = journalOf(specs);
    for (const fileOf of [events.map(({ seq }) => seq % 2), events.slice(0, 7).map(({ seq }) => seq % 2), []]) {
      const snapshot = await lab.snapshot(events, { fileOf, boundChars: 32 });
      for (const order of ['asc', 'desc'] as const) {
        const pages: number[] = [];
        lab.charsReadMax = 0;
        const paged = await allPages(1000, async (cursorSeq) => {
          const page = await history(lab.reader, snapshot, { entityId: 'a', order, limit: 1000, cursorSeq });
          pages.push(page.events.length);
          return page;
        });
        // Six events of three million bytes reach the limit of 16 MiB.
        expect(pages).toEqual([6, 6, 2]);
        expect(lab.charsReadMax).toBeLessThan(6 * 3_001_000);
        const seqs = events.map(({ seq }) => seq);
        expect(paged.map(({ seq }) => seq)).toEqual(order === 'asc' ? seqs : seqs.reverse());
      }
    }
  });

  it('answers an empty journal', async () => {
    const snapshot = await lab.snapshot([], { fileOf: [], boundChars: 32 });
    const answer = await history(lab.reader, snapshot, { entityId: 'a', order: 'desc', limit: 5 });
    expect(answer).toEqual({ events: [], more: false, complete_through: -1 });
  });

  it('keeps microseconds and the ends of the calendar', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(eventTime, { minLength: 1, maxLength: 5 }), async (times) => {
        const events = journalOf(times.map((occurred_at) => plainSpec({ occurred_at })));
        const snapshot = await lab.snapshot(events, { fileOf: times.map(() => 0), boundChars: 32 });
        const answer = await history(lab.reader, snapshot, { entityId: 'a', order: 'asc', limit: 9 });
        expect(answer.events.map((event) => event.occurred_at)).toEqual(times);
      }),
      { numRuns: 20, endOnFailure: true },
    );
  });
});
