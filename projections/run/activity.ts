import { setImmediate as othersTurn } from 'node:timers/promises';
import { type Snapshot, sqlString, withHeld } from '../../journal/index.ts';
import { ACTIVITY_DAILY, type ActivityRow, activityOf } from '../activity-daily.ts';
import { combinedSql } from '../definition.ts';
import { rowsRelation } from './content.ts';
import type { TableView } from './projection-table.ts';
import type { ProjectionRunner } from './runner.ts';

/** from ≤ day < to, in UTC: `2026-01-02`. */
export type ActivityQuery = { from?: string | undefined; to?: string | undefined };

/** Events of the tail that are counted before others get their turn. */
const EVENTS_AT_ONCE = 512;

/**
 * How many events of each kind the days had, as the durable journal has it: by day, then by entity type, action, risk.
 * @throws not-found; unavailable where the projection lags behind for long, or the store fails
 */
export async function activity(
  runner: ProjectionRunner,
  workspace: string,
  query: ActivityQuery,
): Promise<{ rows: ActivityRow[]; position: number }> {
  const snapshot = await runner.journals.snapshot(workspace);
  try {
    const view = await runner.view(workspace, ACTIVITY_DAILY.name, snapshot.committedSeq);
    try {
      const rows = await countTail(snapshot, view.position, await tableRows(runner, view));
      const { from = '', to } = query;
      const asked = rows.filter(({ day }) => day >= from && (to === undefined || day < to));
      return { rows: asked.sort(byKind), position: Math.max(view.position, snapshot.durableSeq) };
    } finally {
      view.release();
    }
  } finally {
    snapshot.release();
  }
}

async function tableRows({ journals }: ProjectionRunner, { files }: TableView): Promise<ActivityRow[]> {
  if (files.length === 0) return [];
  const rows = await withHeld(journals.storage.cache, files, (paths) =>
    journals.engine.all<ActivityRow>(
      `SELECT * REPLACE (strftime(day, ${sqlString('%Y-%m-%d')}) AS day) FROM (${combinedSql(ACTIVITY_DAILY, rowsRelation(ACTIVITY_DAILY, paths) as string)})`,
    ),
  );
  return rows.map(({ day, entity_type, action, risk_level, events }) => ({
    ...{ day, entity_type, action, risk_level },
    events: Number(events),
  }));
}

async function countTail(snapshot: Snapshot, position: number, rows: ActivityRow[]): Promise<ActivityRow[]> {
  const byGroup = new Map(rows.map((row) => [groupOf(row), row]));
  let counted = 0;
  for (const event of snapshot.tailEvents(position + 1)) {
    counted += 1;
    if (counted % EVENTS_AT_ONCE === 0) await othersTurn();
    const group = activityOf(event);
    const row = byGroup.get(groupOf(group));
    if (row) row.events += 1;
    else byGroup.set(groupOf(group), { ...group, events: 1 });
  }
  return [...byGroup.values()];
}

function groupOf({ day, entity_type, action, risk_level }: Omit<ActivityRow, 'events'>): string {
  return JSON.stringify([day, entity_type, action, risk_level]);
}

function byKind(a: ActivityRow, b: ActivityRow): number {
  return groupOf(a) < groupOf(b) ? -1 : 1;
}
