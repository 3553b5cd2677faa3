import { sqlString } from '../duckdb/index.ts';
import type { DraftEvent, JournalStart } from '../event.ts';

const ENTITY_TYPE = 'indelible.retention';

/** As the table notes it until it is carried out; `event_id`: of the event that records it. */
export type Order = {
  event_id: string;
  from: JournalStart;
  to: JournalStart;
  reason: string;
  key_id: string;
  key_name: string;
  /** A hold forbade it: it is not carried out any more. */
  is_withdrawn?: true;
};

/** What the journal says of the removal. */
export function removalEvent(workspace: string, order: Order): DraftEvent {
  const { event_id, from, to, reason, key_id, key_name } = order;
  const metadata = { removed: to.firstSeq - from.firstSeq, reason, key_name };
  return {
    event_id,
    occurred_at: null,
    entity_type: ENTITY_TYPE,
    entity_id: workspace,
    field: '*',
    action: 'delete',
    old_value: startJson(from),
    new_value: startJson(to),
    actor: key_id,
    actor_type: 'key',
    source: 'indelible',
    correlation_id: null,
    metadata: JSON.stringify(metadata),
  };
}

/** Says that what the first event says did not happen. */
export function withdrawalEvent(workspace: string, order: Order): DraftEvent {
  const { event_id, metadata: _, ...rest } = removalEvent(workspace, order);
  const metadata = JSON.stringify({ withdrawn: event_id, reason: 'a legal hold' });
  return { ...rest, event_id: `${event_id}-withdrawn`, action: 'cancel', new_value: rest.old_value, metadata };
}

function startJson({ firstSeq, beforeHash }: JournalStart): string {
  return JSON.stringify({ first_seq: firstSeq, before_hash: beforeHash });
}

/** SQL condition: the event that says why the journal begins here. */
export function removalSql(start: JournalStart): string {
  return `entity_type = ${sqlString(ENTITY_TYPE)} AND action = 'delete' AND new_value = ${sqlString(startJson(start))}`;
}
