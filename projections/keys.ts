import type { SystemEvent } from './system-event.ts';

/**
 * Who may do what, derived from the events of the workspace `_system`. Pure: folding the same events again changes
 * nothing, and a rebuild from seq 0 gives the same table.
 *
 * writer     appends, ingests, flushes, reads the stats of its workspace
 * reader     reads, SQL, export
 * auditor    what a reader may, and verify
 * operator   every workspace; keys and workspaces
 */
export const ROLES = ['writer', 'reader', 'auditor', 'operator'] as const;
export type Role = (typeof ROLES)[number];

export type KeyRecord = {
  id: string;
  /** null: an operator's key, good for every workspace. */
  workspace: string | null;
  role: Role;
  name: string;
  /** HMAC-SHA256(server secret, key text), lower-case hex. The key itself is kept nowhere. */
  hmac: string;
  created_at: string;
  created_by: string;
  /** null: in force. */
  revoked_at: string | null;
};

export type WorkspaceRecord = {
  id: string;
  created_at: string;
  created_by: string;
  /** Closed to appends; its events stay for ever. null: open. */
  closed_at: string | null;
};

export type KeyTable = {
  /** seq of the last event folded in; -1: none. */
  position: number;
  keys: ReadonlyMap<string, KeyRecord>;
  workspaces: ReadonlyMap<string, WorkspaceRecord>;
};

export const EMPTY_KEY_TABLE: KeyTable = { position: -1, keys: new Map(), workspaces: new Map() };

/** Folds events in order of seq into the table; those at or before its position are passed over. */
export function foldKeys(table: KeyTable, events: Iterable<SystemEvent>): KeyTable {
  const keys = new Map(table.keys);
  const workspaces = new Map(table.workspaces);
  let position = table.position;
  for (const event of events) {
    if (event.seq <= position) continue;
    position = event.seq;
    if (event.entity_type === 'key') foldKey(keys, workspaces, event);
    else if (event.entity_type === 'workspace') foldWorkspace(workspaces, keys, event);
  }
  return { position, keys, workspaces };
}

/** Of a closed workspace no key is in force, not one either that another process made while it was closed. */
function foldKey(
  keys: Map<string, KeyRecord>,
  workspaces: ReadonlyMap<string, WorkspaceRecord>,
  event: SystemEvent,
): void {
  const record = keys.get(event.entity_id);
  if (event.action === 'insert' && record === undefined) {
    const said = JSON.parse(event.new_value ?? '{}') as Pick<KeyRecord, 'workspace' | 'role' | 'name' | 'hmac'>;
    const closedAt = said.workspace === null ? undefined : workspaces.get(said.workspace)?.closed_at;
    keys.set(event.entity_id, {
      id: event.entity_id,
      workspace: said.workspace,
      role: said.role,
      name: said.name,
      hmac: said.hmac,
      created_at: event.recorded_at,
      created_by: event.actor,
      revoked_at: closedAt ? event.recorded_at : null,
    });
  } else if (event.action === 'delete' && record !== undefined) {
    revoke(keys, record, event);
  }
}

function revoke(keys: Map<string, KeyRecord>, record: KeyRecord, event: SystemEvent): void {
  if (record.revoked_at === null) keys.set(record.id, { ...record, revoked_at: event.recorded_at });
}

function foldWorkspace(
  workspaces: Map<string, WorkspaceRecord>,
  keys: Map<string, KeyRecord>,
  event: SystemEvent,
): void {
  const record = workspaces.get(event.entity_id);
  if (event.action === 'insert' && record === undefined) {
    workspaces.set(event.entity_id, {
      id: event.entity_id,
      created_at: event.recorded_at,
      created_by: event.actor,
      closed_at: null,
    });
  } else if (event.action === 'delete' && record !== undefined && record.closed_at === null) {
    workspaces.set(event.entity_id, { ...record, closed_at: event.recorded_at });
    for (const key of keys.values()) if (key.workspace === record.id) revoke(keys, key, event);
  }
}
