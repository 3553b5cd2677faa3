import type { JournalEvent } from '../journal/index.ts';
import type { Projection } from './definition.ts';
import { VERDICT_TYPE, verdictOf } from './signals.ts';

/** How many events of a kind a day had. `day`: of occurred_at in UTC, `2026-01-02`. `risk_level`: of verdicts only. */
export type ActivityRow = {
  day: string;
  entity_type: string;
  action: string;
  risk_level: string | null;
  events: number;
};

/** Over all events of a journal; epoch_us: the day is UTC's, whatever the session's time zone. */
export const ACTIVITY_DAILY: Projection = {
  name: 'activity_daily',
  columns: [
    { name: 'day', type: 'date' },
    { name: 'entity_type', type: 'string' },
    { name: 'action', type: 'string' },
    { name: 'risk_level', type: 'string' },
    { name: 'events', type: 'long' },
  ],
  combine: { kind: 'additive', groupBy: ['day', 'entity_type', 'action', 'risk_level'], sums: ['events'] },
  bounds: { entity_type: 'text' },
  foldSql: (events) => `
    SELECT make_timestamp(epoch_us(occurred_at))::DATE AS day, entity_type, action,
      CASE WHEN entity_type = '${VERDICT_TYPE}' THEN coalesce(json_extract_string(new_value, '$.risk_level'), 'low') END AS risk_level,
      count(*) AS events, max(seq) AS seq
    FROM ${events} GROUP BY ALL`,
};

/** The group that an event counts in, as foldSql has it. */
export function activityOf(event: JournalEvent): Omit<ActivityRow, 'events'> {
  return {
    day: event.occurred_at.slice(0, 10),
    entity_type: event.entity_type,
    action: event.action,
    risk_level: event.entity_type === VERDICT_TYPE ? verdictOf(event).risk_level : null,
  };
}
