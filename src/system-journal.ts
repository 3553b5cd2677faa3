import {
  type DraftEvent,
  type Journals,
  SYSTEM_WORKSPACE,
  segmentsSql,
  sqlString,
  withHeld,
} from '../journal/index.ts';
import type { SystemEvent } from '../projections/index.ts';
import type { Principal } from './http/index.ts';

/** The service itself, when no request asked for a change. */
export const SERVICE: Principal = { keyId: 'service', name: 'indelible', role: 'operator', workspace: null };

/** What the service keeps about itself, each change an event of `_system`. */
export type SystemEntity = 'key' | 'workspace' | 'hold' | 'ai-key';

export type SystemChange = {
  type: SystemEntity;
  id: string;
  action: 'insert' | 'delete';
  value: Record<string, unknown> | null;
};

/** Records a change; resolves with its event once that is durable. */
export async function recordSystem(journals: Journals, change: SystemChange, by: Principal): Promise<SystemEvent> {
  const draft = systemDraft(change, by);
  const { receipts } = await journals.append(SYSTEM_WORKSPACE, [draft], { ack: 'durable', create: true });
  const receipt = receipts[0];
  if (receipt === undefined) throw new Error('an append without a receipt');
  return { ...draft, seq: receipt.seq, recorded_at: receipt.recorded_at };
}

function systemDraft({ type, id, action, value }: SystemChange, by: Principal): DraftEvent {
  return {
    event_id: null,
    occurred_at: null,
    entity_type: type,
    entity_id: id,
    field: '*',
    action,
    old_value: null,
    new_value: value === null ? null : JSON.stringify(value),
    actor: by.name,
    actor_type: by === SERVICE ? 'service' : 'key',
    source: 'indelible',
    correlation_id: null,
    metadata: JSON.stringify({ key_id: by.keyId }),
  };
}

/** Every change to entities of these types, in the order of seq. */
export async function systemEvents(journals: Journals, types: readonly SystemEntity[]): Promise<SystemEvent[]> {
  if (!journals.has(SYSTEM_WORKSPACE)) return [];
  const snapshot = await journals.snapshot(SYSTEM_WORKSPACE);
  try {
    const rows = await withHeld(snapshot, snapshot.files, (paths) =>
      journals.engine.all<SystemEvent>(
        `SELECT seq::DOUBLE AS seq, entity_type, entity_id, action, new_value, actor, strftime(recorded_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS recorded_at FROM (${segmentsSql(paths)}) WHERE entity_type IN (${types.map(sqlString).join(', ')}) ORDER BY seq`,
      ),
    );
    return [...rows, ...snapshot.tailEvents()];
  } finally {
    snapshot.release();
  }
}
