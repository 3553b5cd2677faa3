import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type JournalEvent, ZERO_HASH } from '../../journal/index.ts';
import { eventsFrom, eventWithPredecessor } from '../../queries/index.ts';
import { journalOf, plainSpec } from '../support/events.ts';
import { storedJournal } from './model.ts';
import { Lab } from './snapshots.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

function finderOf(events: readonly JournalEvent[]) {
  return {
    find: async (workspace: string, eventId: string) =>
      events.find((event) => event.workspace_id === workspace && event.event_id === eventId),
  };
}

describe('eventsFrom', () => {
  it('gives the positions from one on, wherever they lie', async () => {
    await fc.assert(
      fc.asyncProperty(
        storedJournal,
        fc.array(fc.tuple(fc.nat(45), fc.constantFrom(1, 3, 100))),
        async (stored, asked) => {
          const events = journalOf(stored.specs);
          const snapshot = await lab.snapshot(events, stored.layout);
          for (const [fromSeq, limit] of asked) {
            expect(await eventsFrom(lab.engine, snapshot, fromSeq, limit)).toEqual(
              events.slice(fromSeq, fromSeq + limit),
            );
          }
        },
      ),
      { numRuns: 20, endOnFailure: true },
    );
  });

  it('reads only the files of its range', async () => {
    const events = journalOf(Array.from({ length: 30 }, () => plainSpec()));
    const snapshot = await lab.snapshot(events, {
      fileOf: events.map(({ seq }) => Math.floor(seq / 10)),
      boundChars: 32,
    });
    lab.filesRead.clear();
    await eventsFrom(lab.engine, snapshot, 10, 10);
    expect([...lab.filesRead]).toEqual([snapshot.files[1]?.key]);
  });

  it('refuses to pass over a position that is missing', async () => {
    const events = journalOf(Array.from({ length: 10 }, () => plainSpec()));
    const whole = await lab.snapshot(events, { fileOf: [0, 0, 0, 1, 1, 1, 2, 2], boundChars: 32 });
    const holed = { ...whole, files: whole.files.filter((_, index) => index !== 1) };
    await expect(eventsFrom(lab.engine, holed, 0, 10)).rejects.toMatchObject({
      kind: 'corrupt',
      message: 'journal acme: expected seq 3, found seq 6',
    });
    const blind = { ...whole, files: [] };
    await expect(eventsFrom(lab.engine, blind, 2, 3)).rejects.toMatchObject({ kind: 'corrupt' });
  });
});

describe('eventWithPredecessor', () => {
  it('gives the hash of the event before, across files and tail', async () => {
    const events = journalOf(Array.from({ length: 7 }, () => plainSpec()));
    const snapshot = await lab.snapshot(events, { fileOf: [0, 0, 1, 1, 0], boundChars: 32 });
    for (const event of events) {
      const answer = await eventWithPredecessor(finderOf(events), lab.engine, snapshot, event.event_id);
      expect(answer).toEqual({ event, prev_hash: events[event.seq - 1]?.event_hash ?? ZERO_HASH });
    }
  });

  it('is not-found for an unknown id, and for one that is newer than the snapshot', async () => {
    const events = journalOf(Array.from({ length: 4 }, () => plainSpec()));
    const snapshot = await lab.snapshot(events.slice(0, 3), { fileOf: [0], boundChars: 32 });
    for (const id of ['nobody', 'event-3']) {
      const asked = eventWithPredecessor(finderOf(events), lab.engine, snapshot, id);
      await expect(asked).rejects.toMatchObject({ kind: 'not-found' });
    }
  });
});
