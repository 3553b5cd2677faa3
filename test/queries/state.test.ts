import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foldEntityState } from '../../projections/index.ts';
import { stateAt } from '../../queries/index.ts';
import { eventTime, hostileText, journalOf, plainSpec } from '../support/events.ts';
import { storedJournal } from './model.ts';
import { Lab } from './snapshots.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

const moment = fc.oneof(fc.record({ seq: fc.nat(45) }), fc.record({ time: eventTime }));

describe('stateAt', () => {
  it('folds the events up to a position or a time, wherever they lie', async () => {
    await fc.assert(
      fc.asyncProperty(
        storedJournal,
        fc.array(fc.tuple(hostileText, moment), { minLength: 6, maxLength: 6 }),
        async (stored, asked) => {
          const events = journalOf(stored.specs);
          const snapshot = await lab.snapshot(events, stored.layout);
          for (const [entityId, at] of asked) {
            const counted = events.filter(
              (event) =>
                event.entity_id === entityId &&
                event.entity_type === 'file' &&
                ('seq' in at ? event.seq <= at.seq : event.occurred_at <= at.time),
            );
            expect(await stateAt(lab.reader, snapshot, { entityId, entityType: 'file', at })).toEqual({
              entity_id: entityId,
              entity_type: counted.length > 0 ? 'file' : null,
              complete_through: 'seq' in at ? Math.min(at.seq, events.length - 1) : events.length - 1,
              ...foldEntityState(counted),
            });
          }
        },
      ),
      { numRuns: 20, endOnFailure: true },
    );
  });

  it('asks for the type where several have the id, and names them', async () => {
    const types = ['order', 'file', 'file', 'it\'s "odd"'];
    const events = journalOf(types.map((entity_type) => plainSpec({ entity_type })));
    for (const fileOf of [[], [0, 1], [0, 0, 0, 0]]) {
      const snapshot = await lab.snapshot(events, { fileOf, boundChars: 32 });
      await expect(stateAt(lab.reader, snapshot, { entityId: 'a', at: { seq: 3 } })).rejects.toMatchObject({
        kind: 'invalid',
        errors: [{ pointer: '/type', message: expect.stringContaining('?type= ("file", "it\'s \\"odd\\"", "order")') }],
      });
      // At a position before the second type appeared the answer stays what it was.
      const early = await stateAt(lab.reader, snapshot, { entityId: 'a', at: { seq: 0 } });
      expect(early).toMatchObject({ entity_type: 'order', events: 1 });
      const typed = await stateAt(lab.reader, snapshot, { entityId: 'a', entityType: 'file', at: { seq: 3 } });
      expect(typed).toMatchObject({ entity_type: 'file', events: 2 });
    }
  });

  it('counts history that was recorded later for its own time', async () => {
    const events = journalOf([
      plainSpec({ occurred_at: '2026-02-01T00:00:00.000000Z', field: 'status', new_value: '"new"' }),
      plainSpec({ occurred_at: '2026-01-01T00:00:00.000000Z', field: 'owner', new_value: '"ann"' }),
    ]);
    const snapshot = await lab.snapshot(events, { fileOf: [0], boundChars: 32 });
    const answer = await stateAt(lab.reader, snapshot, { entityId: 'a', at: { time: '2026-01-01T00:00:00.000000Z' } });
    expect(Object.keys(answer.fields)).toEqual(['owner']);
  });

  it('reads a long history in pages', async () => {
    const specs = Array.from({ length: 5_000 }, (_, index) =>
      plainSpec({ field: `f${index % 7}`, new_value: `${index}` }),
    );
    const events = journalOf(specs);
    const snapshot = await lab.snapshot(events, {
      fileOf: events.slice(0, 4_500).map(({ seq }) => seq % 2),
      boundChars: 32,
    });
    const answer = await stateAt(lab.reader, snapshot, { entityId: 'a', at: { seq: 4_999 } });
    expect(answer).toMatchObject({ events: 5_000, first_seq: 0, last_seq: 4_999 });
    expect(answer.fields.f1?.value).toBe('4999');

    // The other type comes first on a page of its own.
    const mixed = journalOf([...specs.slice(0, 4_000), plainSpec({ entity_type: 'order' })]);
    const another = await lab.snapshot(mixed, { fileOf: mixed.map(() => 0), boundChars: 32 });
    await expect(stateAt(lab.reader, another, { entityId: 'a', at: { seq: 4_000 } })).rejects.toMatchObject({
      errors: [{ message: expect.stringContaining('("file", "order")') }],
    });
  });

  it('knows nothing of an entity that is not there', async () => {
    const snapshot = await lab.snapshot(journalOf([plainSpec()]), { fileOf: [0], boundChars: 32 });
    const answer = await stateAt(lab.reader, snapshot, { entityId: 'b', at: { seq: 9 } });
    expect(answer).toMatchObject({ exists: false, events: 0, entity_type: null, complete_through: 0 });
  });
});
