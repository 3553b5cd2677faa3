import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ComplianceEvents, complianceRowOf } from '../../projections/index.ts';
import { COMMITTED, drafts, Lab, readAll } from '../support/journal-lab.ts';
import { manualRunner, verdictEvent } from './projection-lab.ts';
import { ProjectionProcess } from './projection-process.ts';

let lab: Lab;
let child: ProjectionProcess | undefined;
beforeEach(() => {
  lab = new Lab();
});
afterEach(async () => {
  await child?.kill();
  await lab.dispose();
});

const ROUNDS = 3;

/** Events that are committed and not folded: a process is to do that, and dies of it. */
async function prepare(): Promise<void> {
  const journals = await lab.open();
  for (let round = 0; round < ROUNDS; round++) {
    await journals.append(
      'acme',
      [
        verdictEvent(`s${round}`),
        verdictEvent('unknown', { axiom: { event_id: `u${round}`, seq: round } }),
        ...drafts(`d${round}-`, 2),
      ],
      COMMITTED,
    );
  }
  await lab.close(journals);
}

/** Does `work` in a process that is killed at a call of the store. False: there are not so many calls. */
async function workAndDie(
  work: 'fold' | 'rebuild',
  stopAt: { call: string; nth: number; did: 'nothing' | 'all' },
): Promise<boolean> {
  child = new ProjectionProcess({ dataDir: lab.dataDir, storeDir: lab.storeDir, work, stopAt });
  const type = await child.first('stopped', 'done');
  await child.kill();
  return type === 'stopped';
}

describe.each(['nothing', 'all'] as const)(
  'a process that is killed once a call did %s',
  { timeout: 240_000 },
  (did) => {
    it.each([
      ['fold', 'putFile'],
      ['fold', 'putIfAbsent'],
      ['rebuild', 'putFile'],
      ['rebuild', 'putIfAbsent'],
    ] as const)('(%s, %s) leaves each row once', async (work, call) => {
      await prepare();
      let kills = 0;
      for (let nth = 0; await workAndDie(work, { call, nth, did }); nth++) {
        kills += 1;
        const journals = await lab.open();
        const runner = manualRunner(journals);
        const rows = (await new ComplianceEvents(runner).page('acme', { limit: 100 })).rows.toReversed();
        const events = await readAll(journals, 'acme');
        expect(rows).toEqual(
          events.filter(({ entity_type }) => entity_type === 'indelible.verdict').map(complianceRowOf),
        );
        const view = await runner.table('acme', 'compliance_events').view();
        expect(view.files.reduce((sum, file) => sum + file.rows, 0)).toBe(
          rows.filter(({ seq }) => seq <= view.position).length,
        );
        view.release();
        expect(await runner.rebuild('acme', 'compliance_events', { by: 'ann', force: false })).toMatchObject({
          agreed: true,
        });
        await runner.close();
        // More to fold for the next who dies.
        await journals.append('acme', [verdictEvent(`k${nth}`)], COMMITTED);
        await lab.close(journals);
      }
      expect(kills).toBeGreaterThan(0);
    });
  },
);
