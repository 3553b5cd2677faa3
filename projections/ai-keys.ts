import type { SystemEvent } from './system-event.ts';

/**
 * Which workspace brought a key of its own to a model's provider, derived from the events of the workspace `_system`.
 * Pure, as the table of keys is. The key itself is in no event: what is removed must be gone.
 */
export type AiKeyRecord = {
  workspace: string;
  /** Names the object that holds the key, encrypted; each key that is set has a new one. */
  key_id: string;
  provider: 'gemini';
  /** null: the service's default. */
  model: string | null;
  embedding_model: string | null;
  set_at: string;
  set_by: string;
};

export type AiKeyTable = {
  /** seq of the last event folded in; -1: none. */
  position: number;
  /** By workspace: each has one at most, the last that was set and not removed since. */
  keys: ReadonlyMap<string, AiKeyRecord>;
};

export const EMPTY_AI_KEY_TABLE: AiKeyTable = { position: -1, keys: new Map() };

/** Folds events in order of seq into the table; those at or before its position are passed over. */
export function foldAiKeys(table: AiKeyTable, events: Iterable<SystemEvent>): AiKeyTable {
  const keys = new Map(table.keys);
  let position = table.position;
  for (const event of events) {
    if (event.seq <= position) continue;
    position = event.seq;
    if (event.entity_type === 'ai-key') foldAiKey(keys, event);
  }
  return { position, keys };
}

/** The entity_id of a key's events is its workspace: setting one takes the place of the one before. */
function foldAiKey(keys: Map<string, AiKeyRecord>, event: SystemEvent): void {
  if (event.action === 'delete') {
    keys.delete(event.entity_id);
  } else if (event.action === 'insert') {
    const said = JSON.parse(event.new_value ?? '{}') as Pick<
      AiKeyRecord,
      'key_id' | 'provider' | 'model' | 'embedding_model'
    >;
    keys.set(event.entity_id, {
      workspace: event.entity_id,
      key_id: said.key_id,
      provider: said.provider,
      model: said.model,
      embedding_model: said.embedding_model,
      set_at: event.recorded_at,
      set_by: event.actor,
    });
  }
}
