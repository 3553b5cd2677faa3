import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Journals } from '../../journal/index.ts';
import { activity, ComplianceEvents, type ProjectionRunner } from '../../projections/index.ts';
import { COMMITTED, DURABLE, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';
import { manualRunner, verdictEvent } from './projection-lab.ts';

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

const OPTIONS = { by: 'ann', force: false };
const projectionDir = (name: string) => join(lab.storeDir, 'acme', '_projections', name);
const versionsOf = (name: string) => readdirSync(projectionDir(name)).sort();
const all = async () => (await compliance.page('acme', { limit: 1000 })).rows;

/** Verdicts and other events in several seals, folded bit by bit. */
async function fill(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    const events = ['a', 'b', 'unknown'].map((source) =>
      verdictEvent(source === 'unknown' ? source : `${source}${i}`, { axiom: { event_id: `x${i}`, seq: i } }),
    );
    await journals.append('acme', [...events, ...drafts(`other${i}-`, 3)], COMMITTED);
    await runner.catchUp('acme');
  }
}

/** Changes a row of a table behind everybody's back, and nothing of its log. */
async function tamper(name: string, change: string): Promise<void> {
  const dir = join(projectionDir(name), 'v000001', 'data');
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.parquet'));
  for (const path of files.map((file) => join(dir, file))) {
    const changed = `SELECT * REPLACE (${change}) FROM read_parquet('${path}')`;
    await journals.engine.all(`COPY (${changed}) TO '${path}.new' (FORMAT parquet)`);
    renameSync(`${path}.new`, path);
  }
}

describe('a rebuild', () => {
  it.each(['compliance_events', 'activity_daily'])(
    'of %s agrees, takes the place of the old version, and is recorded',
    async (name) => {
      await fill();
      const before = [await all(), await activity(runner, 'acme', {})];
      const progress: number[][] = [];
      const certificate = await runner.rebuild('acme', name, { ...OPTIONS, onProgress: (...at) => progress.push(at) });
      expect(certificate).toMatchObject({
        projection: name,
        workspace: 'acme',
        first_seq: 0,
        position: 23,
        carried_rows: 0,
        agreed: true,
        forced: false,
        differing_seqs: [],
        by: 'ann',
      });
      expect(certificate.new).toEqual({ ...certificate.old, version: 2 });
      expect(certificate.old.version).toBe(1);
      expect(certificate.old.content_hash).toMatch(/^[0-9a-f]{32}$/);
      expect(certificate.old.content_hash).not.toBe('0'.repeat(32));
      expect(progress).toEqual([[24, 24]]);
      expect(versionsOf(name)).toEqual(['v000001', 'v000002']);
      const [line = ''] = readFileSync(
        join(projectionDir(name), 'v000002/_delta_log', `${'0'.repeat(20)}.json`),
        'utf8',
      ).split('\n');
      expect(JSON.parse(line).commitInfo.certificate).toEqual(certificate);
      const recorded = (await readAll(journals, 'acme')).at(-1);
      expect(recorded).toMatchObject({
        entity_type: 'indelible.projection',
        entity_id: name,
        action: 'rebuild',
        actor: 'ann',
      });
      expect(JSON.parse(String(recorded?.new_value))).toEqual(certificate);
      const [rows, days] = before as [unknown, { rows: { entity_type: string }[] }];
      const others = (found: { rows: { entity_type: string }[] }) =>
        found.rows.filter(({ entity_type }) => entity_type !== 'indelible.projection');
      expect(await all()).toEqual(rows);
      expect(others(await activity(runner, 'acme', {}))).toEqual(days.rows);
      // The next fold goes into the new version, in another process as well.
      await journals.append('acme', [verdictEvent('later')], COMMITTED);
      const other = manualRunner(journals);
      await other.catchUp('acme');
      expect(other.table('acme', name).version).toBe(2);
      await runner.catchUp('acme');
      expect((await all()).map(({ source_id }) => source_id)).toEqual([
        'later',
        ...(rows as { source_id: string }[]).map(({ source_id }) => source_id),
      ]);
      expect((await runner.rebuild('acme', name, OPTIONS)).agreed).toBe(true);
      await other.close();
    },
  );

  it.each([
    ['compliance_events', "CASE WHEN seq = 1 THEN 'low risk' ELSE audit_narrative END AS audit_narrative", [1]],
    ['activity_daily', 'CASE WHEN seq = 5 THEN events + 1 ELSE events END AS events', [5, 11, 17, 23]],
  ])(
    'of %s does not agree with a row that was tampered with: nothing is swapped, unless it is forced',
    async (name, change, seqs) => {
      await fill();
      await tamper(name, change);
      const again = manualRunner(journals);
      const certificate = await again.rebuild('acme', name, OPTIONS);
      expect(certificate).toMatchObject({ agreed: false, forced: false });
      expect(certificate.differing_seqs.length).toBeGreaterThan(0);
      for (const seq of certificate.differing_seqs) expect(seqs).toContain(seq);
      expect(certificate.old.rows).toBe(certificate.new.rows);
      expect(certificate.old.content_hash).not.toBe(certificate.new.content_hash);
      expect(again.table('acme', name).version).toBe(1);
      expect((await readAll(journals, 'acme')).at(-1)).toMatchObject({ action: 'rebuild' });
      const forced = await again.rebuild('acme', name, { ...OPTIONS, force: true });
      expect(forced).toMatchObject({ agreed: false, forced: true });
      expect(again.table('acme', name).version).toBe(2);
      const proven = await again.rebuild('acme', name, OPTIONS);
      expect(proven).toMatchObject({ agreed: true, old: { version: 2 }, new: { version: 3 } });
      await again.close();
    },
  );

  it('goes on beside appends, folds and readers', async () => {
    await fill();
    let isOver = false;
    const rebuilt = runner.rebuild('acme', 'compliance_events', OPTIONS).finally(() => {
      isOver = true;
    });
    let sent = 0;
    for (; !isOver || sent < 3; sent++) {
      await journals.append('acme', [verdictEvent(`during${sent}`)], sent % 2 === 0 ? COMMITTED : DURABLE);
      await runner.catchUp('acme');
      expect((await all())[0]).toMatchObject({ source_id: `during${sent}` });
      expect(await all()).toHaveLength(12 + sent + 1);
    }
    expect(await rebuilt).toMatchObject({ agreed: true });
    expect(await all()).toHaveLength(12 + sent);
    expect(runner.table('acme', 'compliance_events').version).toBe(2);
    expect((await runner.rebuild('acme', 'compliance_events', OPTIONS)).agreed).toBe(true);
  });

  it('of a journal whose beginning was removed keeps the rows of events that are gone, and says how many', async () => {
    await fill();
    await journals.append('acme', [verdictEvent('a0', { narrative: 'again' }, 'stray'), verdictEvent('z')], COMMITTED);
    await runner.catchUp('acme');
    const rows = await all();
    const order = { cut: { seq: 9 }, reason: 'ten years', keyId: 'k', keyName: 'k' };
    await journals.retention.remove('acme', order, (commit) => commit(), false);
    const days = (await activity(runner, 'acme', {})).rows;
    expect(await all()).toEqual(rows);
    const certificate = await runner.rebuild('acme', 'compliance_events', OPTIONS);
    expect(certificate).toMatchObject({ first_seq: 9, carried_rows: 6, agreed: true });
    expect(await all()).toEqual(rows);
    expect(await runner.rebuild('acme', 'activity_daily', OPTIONS)).toMatchObject({ first_seq: 9, agreed: true });
    const after = (await activity(runner, 'acme', {})).rows.filter(
      ({ entity_type }) => entity_type !== 'indelible.projection',
    );
    expect(after).toEqual(days);
  });

  it('old versions go after the grace period, not under a reader; what a dead rebuild left goes too', async () => {
    await fill();
    const left = join(projectionDir('compliance_events'), 'v000003', 'data', 'ab');
    const view = await runner.table('acme', 'compliance_events').view();
    await runner.rebuild('acme', 'compliance_events', OPTIONS);
    mkdirSync(left, { recursive: true });
    writeFileSync(join(left, 'left.parquet'), 'x');
    const later = async () => {
      lab.clock.ms = Date.now() + 4_000_000;
      await runner.catchUp('acme');
    };
    await later();
    expect(versionsOf('compliance_events')).toContain('v000001');
    for (const { key } of view.files) readFileSync(join(lab.storeDir, key));
    view.release();
    lab.clock.ms += 4_000_000;
    await runner.catchUp('acme');
    const files = readdirSync(projectionDir('compliance_events'), { recursive: true, encoding: 'utf8' });
    expect(files.filter((path) => /\.(parquet|json)$/.test(path) && !path.startsWith('v000002'))).toEqual([]);
    expect((await all()).length).toBe(12);
  });

  it('of a workspace that is not there: not-found; of one that holds no verdict: an empty one', async () => {
    expect(await errorOf(runner.rebuild('nobody', 'compliance_events', OPTIONS))).toMatchObject({ kind: 'not-found' });
    await journals.append('acme', drafts('a', 3), COMMITTED);
    const certificate = await runner.rebuild('acme', 'compliance_events', OPTIONS);
    expect(certificate).toMatchObject({ agreed: true, old: { rows: 0, version: 0 }, new: { rows: 0, version: 1 } });
    expect(await all()).toEqual([]);
  });
});
