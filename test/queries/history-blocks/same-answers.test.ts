import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { history, stateAt } from '../../../queries/index.ts';
import { type EventSpec, eventSpec, HOSTILE_TEXTS, journalOf, plainSpec } from '../../support/events.ts';
import { allPages, historyAnswer, historyQuestion, storedJournal } from '../model.ts';
import { Lab } from '../snapshots.ts';
import { ask, build, eventsOf, idsOf, openBlocks, readerOf, removeAll, storedEvents } from './blocks.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

/** Ids that begin alike, and any Unicode that the door lets through. */
const oddText = fc
  .oneof(
    fc.constantFrom(...HOSTILE_TEXTS, '"', '\\', 'a"', '["a",', '\n["a",1', '\u2028', ' ', 'a ', 'a,1'),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
    fc.nat(40).map((count) => `same/${'x'.repeat(count)}`),
  )
  .filter((text) => text.isWellFormed() && !text.includes('\0') && text.length > 0);
const longValue = fc
  .tuple(fc.constantFrom('x', 'é', '"', '\u{1F600}'), fc.constantFrom(1, 300, 7_000))
  .map(([char, count]) => JSON.stringify(char.repeat(count)));
const oddSpec: fc.Arbitrary<EventSpec> = fc
  .tuple(eventSpec, oddText, fc.option(longValue, { freq: 3 }), fc.option(longValue, { freq: 5 }))
  .map(([spec, entityId, newValue, metadata]) => ({
    ...spec,
    entity_id: entityId,
    ...(newValue !== null && { new_value: newValue }),
    ...(metadata !== null && { metadata }),
  }));

describe('history blocks', () => {
  it('hold of every entity exactly what DuckDB reads in the segment', async () => {
    const shelved = await openBlocks(lab);
    await fc.assert(
      fc.asyncProperty(fc.array(oddSpec, { minLength: 1, maxLength: 120, size: 'max' }), async (specs) => {
        const events = journalOf(specs);
        const file = await lab.segment(events, 32);
        await build(shelved, [file]);
        expect(shelved.seen.failed).toEqual([]);
        for (const id of [...(await idsOf(lab, file)), 'none']) {
          const found = (await shelved.blocks.read([file], id)).get(file);
          expect(found).toEqual(await storedEvents(lab, file, id));
        }
      }),
      { numRuns: 25, endOnFailure: true },
    );
    await removeAll(shelved);
  });

  it('answer every question as a filter over the whole journal does, wherever the events lie', async () => {
    const shelved = await openBlocks(lab);
    await fc.assert(
      fc.asyncProperty(
        storedJournal,
        fc.array(historyQuestion, { minLength: 6, maxLength: 6 }),
        async (stored, questions) => {
          const events = journalOf(stored.specs);
          const snapshot = await lab.snapshot(events, stored.layout);
          await build(shelved, snapshot.files);
          lab.statements = 0;
          for (const question of questions) {
            expect(await history(readerOf(lab, shelved), snapshot, question)).toEqual(historyAnswer(events, question));
          }
          expect(lab.statements).toBe(0);
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
    await removeAll(shelved);
  });

  it('give an entity with many events page by page, in both directions, without DuckDB', async () => {
    const shelved = await openBlocks(lab);
    const specs = Array.from({ length: 3_000 }, (_, seq) =>
      plainSpec({
        entity_id: seq % 3 === 0 ? `other-${seq % 50}` : 'hot',
        entity_type: seq % 7 === 0 ? 'note' : 'file',
        old_value: JSON.stringify(`before ${seq}`),
        new_value: JSON.stringify('y'.repeat(seq % 400)),
      }),
    );
    const events = journalOf(specs);
    // Both files hold events of all positions.
    const snapshot = await lab.snapshot(events, { fileOf: events.map(({ seq }) => (seq >> 2) % 2), boundChars: 32 });
    await build(shelved, snapshot.files);
    lab.statements = 0;
    const reader = readerOf(lab, shelved);
    for (const order of ['asc', 'desc'] as const) {
      for (const entityType of [undefined, 'note']) {
        const question = { entityId: 'hot', entityType, order, limit: 130 };
        const paged = await allPages(130, (cursorSeq) => history(reader, snapshot, { ...question, cursorSeq }));
        expect(paged).toEqual(historyAnswer(events, { ...question, limit: 3_000 }).events);
      }
    }
    const state = await stateAt(reader, snapshot, { entityId: 'hot', entityType: 'file', at: { seq: 2_000 } });
    expect(state.events).toBe(events.filter(({ seq, ...event }) => seq <= 2_000 && isHotFile(event)).length);
    expect(lab.statements).toBe(0);
    await removeAll(shelved);
  });

  it('leave to DuckDB an entity with an event that is too large for them', async () => {
    const shelved = await openBlocks(lab);
    const large = JSON.stringify('x'.repeat(100_000));
    const specs = Array.from({ length: 60 }, (_, seq) =>
      plainSpec({ entity_id: seq % 2 === 0 ? 'plain' : 'large', ...(seq === 31 && { metadata: large }) }),
    );
    const events = journalOf(specs);
    const snapshot = await lab.snapshot(events, { fileOf: events.map(() => 0), boundChars: 32 });
    await build(shelved, snapshot.files);
    const reader = readerOf(lab, shelved);
    lab.statements = 0;
    expect((await ask(reader, snapshot, 'plain')).events).toEqual(eventsOf(events, 'plain'));
    expect(lab.statements).toBe(0);
    expect((await ask(reader, snapshot, 'large')).events).toEqual(eventsOf(events, 'large'));
    expect((await ask(reader, snapshot, 'large', 3)).events).toEqual(eventsOf(events, 'large').slice(0, 3));
    expect(lab.statements).toBeGreaterThan(0);
    await removeAll(shelved);
  });
});

function isHotFile(event: { entity_id: string; entity_type: string }): boolean {
  return event.entity_id === 'hot' && event.entity_type === 'file';
}
