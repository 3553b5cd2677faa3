/** Pure: from what an application knows of a change to the events that record it. */
import type { EventInput, JsonValue } from './types.ts';

export type Entity = { type: string; id: string };

/** Who did it, through what, in which request. */
export type ChangeContext = {
  actor: string;
  actor_type?: string;
  source?: string;
  correlation_id?: string;
  metadata?: JsonValue;
  /** RFC 3339; default: when it is recorded. */
  occurred_at?: string;
};

export type IngestedFile = {
  name: string;
  rows: number;
  bytes?: number;
  /** Lower-case hex. */
  sha256?: string;
  format?: string;
};

type JsonObject = { [key: string]: JsonValue };

export function insertEvent(entity: Entity, value: JsonValue, context: ChangeContext): EventInput {
  return { ...base(entity, context), field: '*', action: 'insert', new_value: value };
}

/** `value` is the last known content; leave it out where it is unknown. */
export function deleteEvent(entity: Entity, value: JsonValue | undefined, context: ChangeContext): EventInput {
  const event: EventInput = { ...base(entity, context), field: '*', action: 'delete' };
  return value === undefined ? event : { ...event, old_value: value };
}

/**
 * One event for each top-level field that differs, in the order of `before`, then the new ones. A field that appears
 * has no old_value, one that disappears has no new_value. Equal content gives no event; the order of keys is no
 * difference. An object with a member named `*` or '', which no field can be, is recorded whole.
 */
export function updateEvents(
  entity: Entity,
  before: JsonObject,
  after: JsonObject,
  context: ChangeContext,
): EventInput[] {
  const events: EventInput[] = [];
  const fields = new Set([...Object.keys(before), ...Object.keys(after)]);
  if (fields.has('*') || fields.has('')) {
    if (jsonEqual(before, after)) return [];
    return [{ ...base(entity, context), field: '*', action: 'update', old_value: before, new_value: after }];
  }
  for (const field of fields) {
    const old = Object.hasOwn(before, field) ? before[field] : undefined;
    const fresh = Object.hasOwn(after, field) ? after[field] : undefined;
    if (jsonEqual(old, fresh)) continue;
    const event: EventInput = { ...base(entity, context), field, action: 'update' };
    if (old !== undefined) event.old_value = old;
    if (fresh !== undefined) event.new_value = fresh;
    events.push(event);
  }
  return events;
}

/** Records that a file was taken in: what, how many rows, by whom. */
export function ingestEvent(file: IngestedFile, context: ChangeContext): EventInput {
  const entity = { type: 'ingest', id: file.name };
  return { ...base(entity, context), field: '*', action: 'ingest', new_value: { ...file } as JsonObject };
}

function base(entity: Entity, context: ChangeContext): Omit<EventInput, 'action'> {
  const { actor, actor_type, source, correlation_id, metadata, occurred_at } = context;
  return {
    entity_type: entity.type,
    entity_id: entity.id,
    actor,
    ...(actor_type === undefined ? {} : { actor_type }),
    ...(source === undefined ? {} : { source }),
    ...(correlation_id === undefined ? {} : { correlation_id }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(occurred_at === undefined ? {} : { occurred_at }),
  };
}

/** Equal as JSON: members in any order; undefined members are absent. */
export function jsonEqual(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (Object.is(a, b) || a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => jsonEqual(item, b[i]));
  }
  const keysA = Object.keys(a).filter((key) => a[key] !== undefined);
  const keysB = Object.keys(b).filter((key) => b[key] !== undefined);
  return keysA.length === keysB.length && keysA.every((key) => Object.hasOwn(b, key) && jsonEqual(a[key], b[key]));
}
