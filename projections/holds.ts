import type { SystemEvent } from './system-event.ts';

/**
 * Legal holds, derived from the events of the workspace `_system`: while one stands, nothing of its workspace is
 * removed. Pure, as the table of keys is.
 */
export type HoldRecord = {
  workspace: string;
  /** Unique among the holds of its workspace that stand. */
  name: string;
  reason: string;
  made_at: string;
  made_by: string;
  /** null: it stands. */
  released_at: string | null;
  released_by: string | null;
};

export type HoldTable = {
  /** seq of the last event folded in; -1: none. */
  position: number;
  /** By `holdId`; of a name that was used again the last. */
  holds: ReadonlyMap<string, HoldRecord>;
};

export const EMPTY_HOLD_TABLE: HoldTable = { position: -1, holds: new Map() };

/** The entity_id of a hold's events. Neither part holds a slash. */
export function holdId(workspace: string, name: string): string {
  return `${workspace}/${name}`;
}

/** Folds events in order of seq into the table; those at or before its position are passed over. */
export function foldHolds(table: HoldTable, events: Iterable<SystemEvent>): HoldTable {
  const holds = new Map(table.holds);
  let position = table.position;
  for (const event of events) {
    if (event.seq <= position) continue;
    position = event.seq;
    if (event.entity_type === 'hold') foldHold(holds, event);
  }
  return { position, holds };
}

function foldHold(holds: Map<string, HoldRecord>, event: SystemEvent): void {
  const known = holds.get(event.entity_id);
  const stands = known?.released_at === null;
  if (event.action === 'insert' && !stands) {
    const { workspace, name, reason } = JSON.parse(event.new_value ?? '{}') as HoldRecord;
    holds.set(event.entity_id, {
      workspace,
      name,
      reason,
      made_at: event.recorded_at,
      made_by: event.actor,
      released_at: null,
      released_by: null,
    });
  } else if (event.action === 'delete' && known && stands) {
    holds.set(event.entity_id, { ...known, released_at: event.recorded_at, released_by: event.actor });
  }
}
