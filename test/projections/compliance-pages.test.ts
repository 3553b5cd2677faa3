import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Journals } from '../../journal/index.ts';
import {
  activity,
  ComplianceEvents,
  type ComplianceFilter,
  type ComplianceRow,
  type ProjectionRunner,
} from '../../projections/index.ts';
import { ProjectionTable, type TableView } from '../../projections/run/projection-table.ts';
import { COMMITTED, DURABLE, drafts, Lab } from '../support/journal-lab.ts';
import { manualRunner, verdictEvent } from './projection-lab.ts';

const lab = new Lab();
let journals: Journals;
let runner: ProjectionRunner;
let compliance: ComplianceEvents;
let all: ComplianceRow[];

const RISKS = ['low', 'medium', 'high', 'critical'] as const;
const time = (n: number) => `2026-01-02T03:04:05.00000${n % 10}Z`;
const event = (n: number) =>
  verdictEvent(`s${n}`, {
    axiom: { event_id: `axiom-${n}`, seq: n },
    domain: n % 3 === 0 ? 'cards' : 'payments',
    status: n % 4 === 0 ? null : 'open',
    routed_to_ai: n % 2 === 0,
    risk_level: RISKS[n % 4] as (typeof RISKS)[number],
    driver: n % 5 === 0 ? 'gemini' : 'rules',
    emitted_at: time(n),
  });

/** Three folds, and a tail. */
beforeAll(async () => {
  journals = await lab.open();
  runner = manualRunner(journals);
  compliance = new ComplianceEvents(runner);
  for (let fold = 0; fold < 4; fold++) {
    const events = Array.from({ length: 10 }, (_, index) => event(fold * 10 + index));
    await journals.append('acme', [...events, ...drafts(`d${fold}-`, 3)], fold < 3 ? COMMITTED : DURABLE);
    await runner.catchUp('acme');
  }
  all = (await compliance.page('acme', { limit: 1000 })).rows;
  expect(all).toHaveLength(40);
});
afterAll(async () => {
  await runner.close();
  await lab.dispose();
});

const FILTERS: [string, ComplianceFilter, (row: ComplianceRow) => boolean][] = [
  ['none', {}, () => true],
  ['from', { from: time(5) }, ({ emitted_at }) => emitted_at >= time(5)],
  ['to', { to: time(5) }, ({ emitted_at }) => emitted_at < time(5)],
  ['flagged', { flagged: true }, ({ routed_to_ai }) => routed_to_ai],
  ['not flagged', { flagged: false }, ({ routed_to_ai }) => !routed_to_ai],
  ['domain', { domain: 'cards' }, ({ domain }) => domain === 'cards'],
  ['risk level', { riskLevel: 'high' }, ({ risk_level }) => risk_level === 'high'],
  ['status', { status: 'open' }, ({ status }) => status === 'open'],
  ['driver', { driver: 'gemini' }, ({ driver_used }) => driver_used === 'gemini'],
  [
    'several',
    { from: time(2), to: time(8), flagged: true, domain: 'payments' },
    (row) => row.emitted_at >= time(2) && row.emitted_at < time(8) && row.routed_to_ai && row.domain === 'payments',
  ],
  ['nothing that is there', { domain: "o'hara'; --" }, () => false],
];

describe.each(FILTERS)('filtered by %s', (_, filter, isWanted) => {
  it('pages newest first, each row once', async () => {
    for (const limit of [1, 7, 1000]) {
      const rows: ComplianceRow[] = [];
      let cursorSeq: number | undefined;
      for (;;) {
        const page = await compliance.page('acme', { ...filter, limit, cursorSeq });
        expect(page.position).toBe(51);
        rows.push(...page.rows);
        if (page.nextSeq === null) break;
        expect(page.rows).toHaveLength(limit);
        cursorSeq = page.nextSeq;
      }
      expect(rows).toEqual(all.filter(isWanted));
    }
  });

  it('exports as many rows as it says, oldest first', async () => {
    const { count, batches } = await compliance.exportRows('acme', filter);
    const rows: ComplianceRow[] = [];
    for await (const batch of batches) rows.push(...batch);
    expect(rows).toEqual(all.filter(isWanted).reverse());
    expect(count).toBe(rows.length);
  });
});

it('a row is found by its source, its signal and its position, in the table and in the tail', async () => {
  for (const row of [all[0], all[35]] as ComplianceRow[]) {
    expect(await compliance.bySource('acme', row.source_id, { limit: 5 })).toMatchObject({
      rows: [row],
      nextSeq: null,
    });
    expect(await compliance.byAxiom('acme', row.axiom_event_id)).toEqual(row);
    expect(await compliance.bySeq('acme', row.seq)).toEqual(row);
  }
  expect((await compliance.bySource('acme', 'nothing', { limit: 5 })).rows).toEqual([]);
  expect(await compliance.byAxiom('acme', 'nothing')).toBeUndefined();
  expect(await compliance.bySeq('acme', 11)).toBeUndefined();
});

it('an export that is given up lets go of its files', async () => {
  for (const read of [0, 1]) {
    const view = vi.spyOn(ProjectionTable.prototype, 'view');
    const { batches } = await compliance.exportRows('acme', {});
    const taken = await (view.mock.results[0]?.value as Promise<TableView>);
    const release = vi.spyOn(taken, 'release');
    for (let batch = 0; batch < read; batch++) expect((await batches.next()).done).toBe(false);
    expect(release).not.toHaveBeenCalled();
    await batches.return();
    expect(release).toHaveBeenCalledOnce();
    view.mockRestore();
  }
});

it('activity counts every event by day and kind, and days can be chosen', async () => {
  const { rows, position } = await activity(runner, 'acme', {});
  expect(position).toBe(51);
  expect(rows).toEqual([
    { day: '2026-11-21', entity_type: 'file', action: 'update', risk_level: null, events: 12 },
    ...['critical', 'high', 'low', 'medium'].map((risk_level) => ({
      ...{ day: '2026-11-21', entity_type: 'indelible.verdict', action: 'insert', risk_level },
      events: 10,
    })),
  ]);
  expect((await activity(runner, 'acme', { from: '2026-11-21', to: '2026-11-22' })).rows).toEqual(rows);
  expect((await activity(runner, 'acme', { to: '2026-11-21' })).rows).toEqual([]);
  expect((await activity(runner, 'acme', { from: '2026-11-22' })).rows).toEqual([]);
});
