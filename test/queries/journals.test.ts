import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { JournalEvent, Journals } from '../../journal/index.ts';
import { foldEntityState } from '../../projections/index.ts';
import {
  EntityReader,
  eventsFrom,
  eventWithPredecessor,
  history,
  RecentReader,
  recent,
  stateAt,
} from '../../queries/index.ts';
import { type EventSpec, eventSpec, hostileText } from '../support/events.ts';
import { DURABLE, Lab, readAll } from '../support/journal-lab.ts';
import { historyAnswer, historyQuestion, recentAnswer, recentQuestion } from './model.ts';

const labs: Lab[] = [];
afterEach(async () => {
  for (const lab of labs.splice(0)) await lab.dispose();
});

/** Sends the events in batches, some of which are sealed, and says what the journal must then hold. */
async function record(journals: Journals, batches: readonly { specs: EventSpec[]; seal: boolean }[]) {
  const events: JournalEvent[] = [];
  for (const [number, { specs, seal }] of batches.entries()) {
    const drafts = specs.map((spec, index) => ({ ...spec, event_id: `${number}/${index}` }));
    const { receipts } = await journals.append('acme', drafts, DURABLE);
    for (const [index, { ack: _, ...receipt }] of receipts.entries()) {
      const spec = specs[index];
      if (spec !== undefined) events.push({ ...spec, ...receipt, workspace_id: 'acme' });
    }
    // Another journal in the same write-ahead log must not show.
    await journals.append('other', drafts, DURABLE);
    if (seal) await journals.flush();
  }
  return events;
}

const batches = fc.array(
  fc.record({ specs: fc.array(eventSpec, { minLength: 1, maxLength: 15, size: 'max' }), seal: fc.boolean() }),
  { minLength: 1, maxLength: 5, size: 'max' },
);
const six = { minLength: 6, maxLength: 6 };

describe('a journal that runs', () => {
  it('answers every question as a filter over what was sent does', async () => {
    await fc.assert(
      fc.asyncProperty(
        batches,
        fc.array(historyQuestion, six),
        fc.array(recentQuestion, six),
        fc.array(hostileText, six),
        async (sent, histories, recents, entityIds) => {
          const lab = new Lab();
          labs.push(lab);
          const journals = await lab.open();
          const events = await record(journals, sent);
          const snapshot = await journals.snapshot('acme');
          const { engine } = journals;
          const reader = new EntityReader({ engine, cacheBytesMax: 10_000 });
          for (const question of histories) {
            expect(await history(reader, snapshot, question)).toEqual(historyAnswer(events, question));
          }
          for (const question of recents) {
            expect(await recent(new RecentReader({ engine, newestEvents: 4 }), snapshot, question)).toEqual(
              recentAnswer(events, question),
            );
          }
          for (const entityId of entityIds) {
            const state = await stateAt(reader, snapshot, { entityId, entityType: 'file', at: { seq: 20 } });
            const counted = events.filter(
              (event) => event.entity_id === entityId && event.entity_type === 'file' && event.seq <= 20,
            );
            expect(state).toMatchObject(foldEntityState(counted));
          }
          expect(await eventsFrom(engine, snapshot, 3, 9)).toEqual(events.slice(3, 12));
          snapshot.release();
          expect(await readAll(journals, 'acme')).toEqual(events);
          await lab.dispose();
        },
      ),
      { numRuns: 8, endOnFailure: true },
    );
  });

  it('shows an event with the hash of the one before, on both sides of a seal', async () => {
    const lab = new Lab();
    labs.push(lab);
    const journals = await lab.open();
    const specs = fc.sample(eventSpec, { numRuns: 3, seed: 1 });
    const events = await record(journals, [
      { specs, seal: true },
      { specs, seal: false },
    ]);
    const snapshot = await journals.snapshot('acme');
    for (const event of events) {
      const answer = await eventWithPredecessor(journals, journals.engine, snapshot, event.event_id);
      expect(answer).toEqual({ event, prev_hash: events[event.seq - 1]?.event_hash ?? '0'.repeat(64) });
    }
  });

  it('keeps its answer while the journal is sealed and goes on', async () => {
    const lab = new Lab();
    labs.push(lab);
    const journals = await lab.open();
    const specs = fc.sample(eventSpec, { numRuns: 10, seed: 2 });
    const events = await record(journals, [
      { specs, seal: true },
      { specs, seal: false },
    ]);
    const snapshot = await journals.snapshot('acme');
    await journals.append(
      'acme',
      specs.map((spec) => ({ ...spec, event_id: null })),
      DURABLE,
    );
    await journals.flush();
    expect(
      await recent(new RecentReader({ engine: journals.engine, newestEvents: 5 }), snapshot, { limit: 100 }),
    ).toEqual(recentAnswer(events, { limit: 100 }));
    snapshot.release();
  });
});
