import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JournalEvent, Snapshot } from '../../journal/index.ts';
import { EntityReader, history } from '../../queries/index.ts';
import { journalOf, plainSpec } from '../support/events.ts';
import { Lab } from './snapshots.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

const IDS = ['a', 'b', 'c', 'd'];

/** `count` events of the entities in turn, in files of `perFile`. */
async function stored(count: number, perFile: number): Promise<{ events: JournalEvent[]; snapshot: Snapshot }> {
  const specs = Array.from({ length: count }, (_, seq) => plainSpec({ entity_id: IDS[seq % IDS.length] as string }));
  const events = journalOf(specs);
  const fileOf = events.map(({ seq }) => Math.floor(seq / perFile));
  return { events, snapshot: await lab.snapshot(events, { fileOf, boundChars: 32 }) };
}

const ask = (reader: EntityReader, snapshot: Snapshot, entityId: string, limit = 1000) =>
  history(reader, snapshot, { entityId, order: 'asc', limit });

function of(events: readonly JournalEvent[], entityId: string): JournalEvent[] {
  return events.filter((event) => event.entity_id === entityId);
}

describe('the reader of entities', () => {
  it('reads an entity once from files that never change', async () => {
    const { events, snapshot } = await stored(40, 10);
    const reader = new EntityReader({ engine: lab.engine, cacheBytesMax: 1_000_000 });
    expect((await ask(reader, snapshot, 'b')).events).toEqual(of(events, 'b'));
    lab.filesRead.clear();
    expect((await ask(reader, snapshot, 'b')).events).toEqual(of(events, 'b'));
    expect((await ask(reader, snapshot, 'b', 3)).events).toEqual(of(events, 'b').slice(0, 3));
    expect(lab.filesRead.size).toBe(0);
  });

  it('reads only the files that are new', async () => {
    const { events, snapshot } = await stored(40, 10);
    const reader = new EntityReader({ engine: lab.engine, cacheBytesMax: 1_000_000 });
    await ask(reader, { ...snapshot, files: snapshot.files.slice(0, 3) }, 'c');
    lab.filesRead.clear();
    expect((await ask(reader, snapshot, 'c')).events).toEqual(of(events, 'c'));
    expect([...lab.filesRead]).toEqual((await snapshot.hold(snapshot.files.slice(3))).paths);
  });

  it('answers requests that come together with one statement', async () => {
    const { events, snapshot } = await stored(40, 10);
    const reader = new EntityReader({ engine: lab.engine, cacheBytesMax: 1_000_000 });
    lab.statements = 0;
    const answers = await Promise.all(['a', 'b', 'c', 'd', 'none'].map((entityId) => ask(reader, snapshot, entityId)));
    // The first starts at once, the others wait for it and share the next.
    expect(lab.statements).toBe(2);
    for (const [index, id] of IDS.entries()) expect(answers[index]?.events).toEqual(of(events, id));
    expect(answers[4]?.events).toEqual([]);
  });

  it('keeps no more than it may, the least recently used least', async () => {
    const { snapshot } = await stored(40, 40);
    const reader = new EntityReader({ engine: lab.engine, cacheBytesMax: 20_000 });
    for (const id of ['a', 'b', 'a', 'c', 'a', 'd']) await ask(reader, snapshot, id);
    expect(reader.keptBytes).toBeGreaterThan(10_000);
    expect(reader.keptBytes).toBeLessThanOrEqual(20_000);
    lab.filesRead.clear();
    await ask(reader, snapshot, 'a');
    expect(lab.filesRead.size).toBe(0);
    await ask(reader, snapshot, 'b');
    expect(lab.filesRead.size).toBe(1);
  });

  it('reads an entity with many or with large events page by page, alone or among others', async () => {
    const large = JSON.stringify('x'.repeat(100_000));
    const specs = Array.from({ length: 700 }, (_, seq) =>
      seq % 2 === 0
        ? plainSpec({ entity_id: 'hot' })
        : plainSpec({ entity_id: seq === 9 ? 'large' : 'small', ...(seq === 9 && { new_value: large }) }),
    ).filter((spec, seq) => spec.entity_id !== 'small' || seq % 9 === 0);
    const events = journalOf(specs);
    const snapshot = await lab.snapshot(events, { fileOf: events.map(({ seq }) => seq % 3), boundChars: 32 });
    const reader = new EntityReader({ engine: lab.engine, cacheBytesMax: 1_000_000 });
    for (let round = 0; round < 2; round += 1) {
      const ids = ['hot', 'large', 'small'];
      const answers = await Promise.all([...ids, ...ids].map((id) => ask(reader, snapshot, id)));
      for (const [index, id] of [...ids, ...ids].entries()) expect(answers[index]?.events).toEqual(of(events, id));
    }
  });

  it('answers alike whatever is asked at once, of several journals with the same entities', async () => {
    const first = await stored(60, 7);
    const other = journalOf(Array.from({ length: 30 }, (_, seq) => plainSpec({ entity_id: IDS[seq % 3] as string })));
    const renamed = other.map((event) => ({ ...event, workspace_id: 'other' }));
    const second = await lab.snapshot(renamed, { fileOf: renamed.map(({ seq }) => seq % 4), boundChars: 32 });
    const sources = [
      { snapshot: first.snapshot, events: first.events },
      { snapshot: second, events: renamed },
    ];
    const question = fc.record({
      source: fc.nat(1),
      id: fc.constantFrom(...IDS, 'none'),
      limit: fc.integer({ min: 1, max: 20 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(question, { minLength: 1, maxLength: 40 }),
        fc.nat(30_000),
        async (asked, cacheBytesMax) => {
          const reader = new EntityReader({ engine: lab.engine, cacheBytesMax });
          const answers = await Promise.all(
            asked.map(({ source, id, limit }) => ask(reader, sources[source]?.snapshot as Snapshot, id, limit)),
          );
          for (const [index, { source, id, limit }] of asked.entries()) {
            expect(answers[index]?.events).toEqual(of(sources[source]?.events ?? [], id).slice(0, limit));
          }
        },
      ),
      { numRuns: 30, endOnFailure: true },
    );
  });
});
