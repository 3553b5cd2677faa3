import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Journals } from '../../journal/index.ts';
import { ComplianceEvents, complianceRowOf, type ProjectionRunner } from '../../projections/index.ts';
import { COMMITTED, DURABLE, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';
import { axiomEvent, firstOfEach, manualRunner, verdictEvent } from './projection-lab.ts';

let lab: Lab;
let journals: Journals;
let runner: ProjectionRunner;
let compliance: ComplianceEvents;
beforeEach(async () => {
  lab = new Lab();
  journals = await lab.open();
  runner = manualRunner(journals);
  compliance = new ComplianceEvents(runner);
});
afterEach(async () => {
  await runner.close();
  await lab.dispose();
});

/** What the rows are by the journal's events and nothing else. */
async function expectedRows() {
  const events = await readAll(journals, 'acme');
  return firstOfEach(events.filter(({ entity_type }) => entity_type === 'indelible.verdict').map(complianceRowOf));
}

const all = async () => (await compliance.page('acme', { limit: 1000 })).rows.toReversed();

describe('compliance_events', () => {
  it('are the same from the tail, from the table, and from both, with every projection run twice', async () => {
    await journals.append(
      'acme',
      [axiomEvent('s1'), verdictEvent('s1'), verdictEvent('s2', { routed_to_ai: true })],
      DURABLE,
    );
    expect(await all()).toEqual(await expectedRows());
    await journals.flush();
    await runner.catchUp('acme');
    await runner.catchUp('acme');
    expect(await all()).toEqual(await expectedRows());
    await journals.append('acme', [verdictEvent('s3'), ...drafts('other', 3)], DURABLE);
    expect(await all()).toEqual(await expectedRows());
    await journals.flush();
    expect(await all()).toEqual(await expectedRows());
    expect((await all()).map(({ source_id }) => source_id)).toEqual(['s1', 's2', 's3']);
  });

  it('every verdict of an unknown source is shown as it comes', async () => {
    for (let n = 1; n <= 3; n++) {
      await journals.append('acme', [verdictEvent('unknown', { axiom: { event_id: `a${n}`, seq: n } })], DURABLE);
      expect(await all()).toHaveLength(n);
    }
    await journals.flush();
    await runner.catchUp('acme');
    expect(await all()).toEqual(await expectedRows());
  });

  it('one row a source, wherever the second verdict comes: in the same fold, in a later one, in the tail', async () => {
    const again = (source: string, n: number) =>
      verdictEvent(source, { narrative: `again ${n}` }, `stray-${source}-${n}`);
    await journals.append('acme', [verdictEvent('a'), again('a', 1), again('b', 1), verdictEvent('b')], COMMITTED);
    await runner.catchUp('acme');
    await journals.append('acme', [again('a', 2), verdictEvent('c'), again('d', 1)], COMMITTED);
    await runner.catchUp('acme');
    await runner.catchUp('acme');
    await journals.append(
      'acme',
      [again('a', 3), again('c', 1), verdictEvent('d'), verdictEvent('e'), again('e', 1)],
      DURABLE,
    );
    const rows = await all();
    expect(rows).toEqual(await expectedRows());
    expect(rows.map(({ source_id, id }) => [source_id, id.startsWith('stray')])).toEqual([
      ['a', false],
      ['b', true],
      ['c', false],
      ['d', true],
      ['e', false],
    ]);
    await journals.flush();
    expect(await all()).toEqual(rows);
  });

  it('a verdict in the tail whose id is not of its source is looked for in a table where all ids are', async () => {
    await journals.append('acme', [verdictEvent('a'), verdictEvent('unknown')], COMMITTED);
    await runner.catchUp('acme');
    await journals.append('acme', [verdictEvent('a', {}, 'stray'), verdictEvent('b')], DURABLE);
    expect((await all()).map(({ source_id }) => source_id)).toEqual(['a', 'unknown', 'b']);
  });

  it('of signals without a source all are kept', async () => {
    const unknown = (n: number) => verdictEvent('unknown', { axiom: { event_id: `u${n}`, seq: n } });
    await journals.append('acme', [unknown(1), unknown(2)], COMMITTED);
    await runner.catchUp('acme');
    await journals.append('acme', [unknown(3)], COMMITTED);
    await journals.append('acme', [unknown(4)], DURABLE);
    expect((await all()).map(({ axiom_event_id }) => axiom_event_id)).toEqual(['u1', 'u2', 'u3', 'u4']);
    const first = await compliance.bySource('acme', 'unknown', { limit: 3 });
    expect(first.rows.map(({ axiom_event_id }) => axiom_event_id)).toEqual(['u4', 'u3', 'u2']);
    const rest = await compliance.bySource('acme', 'unknown', { limit: 3, cursorSeq: first.nextSeq as number });
    expect([rest.rows.map(({ axiom_event_id }) => axiom_event_id), rest.nextSeq]).toEqual([['u1'], null]);
  });

  it('of a workspace that is not there: not-found; of one without verdicts: none', async () => {
    expect(await errorOf(compliance.page('nobody', { limit: 1 }))).toMatchObject({ kind: 'not-found' });
    await journals.append('acme', drafts('a', 3), COMMITTED);
    expect(await compliance.page('acme', { limit: 1 })).toEqual({ rows: [], nextSeq: null, position: 2 });
  });
});
