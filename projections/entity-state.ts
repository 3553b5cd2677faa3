import type { JournalEvent } from '../journal/index.ts';

/** `value` is JSON text as it was recorded; null: the event gave no new_value. The rest is of the event that set it. */
export type FieldState = { value: string | null; seq: number; occurred_at: string; actor: string };

export type EntityState = {
  /** False before the first event and after a deletion. */
  exists: boolean;
  /** By field name; no prototype, so that a field may have any name. */
  fields: Record<string, FieldState>;
  /** Events folded in. */
  events: number;
  first_seq: number | null;
  last_seq: number | null;
};

/** The state of an entity from its events, in the order of seq. */
export function foldEntityState(events: Iterable<JournalEvent>): EntityState {
  const state = emptyEntityState();
  for (const event of events) applyToEntityState(state, event);
  return state;
}

export function emptyEntityState(): EntityState {
  return { exists: false, fields: Object.create(null), events: 0, first_seq: null, last_seq: null };
}

/**
 * Folds the next event in, changing `state`.
 *
 * - field `*` with an object replaces all fields by the object's members;
 * - field `*` with another value sets the field `*`; without a value it says only that the entity exists;
 * - `delete` of `*` ends the entity; any later event but the deletion of a single field begins it anew;
 * - any other field is set, or removed by `delete`.
 */
export function applyToEntityState(state: EntityState, event: JournalEvent): void {
  const first = state.events === 0;
  state.events += 1;
  state.first_seq ??= event.seq;
  state.last_seq = event.seq;
  if (event.action === 'delete') {
    if (event.field === '*') {
      state.exists = false;
      state.fields = Object.create(null);
      return;
    }
    delete state.fields[event.field];
    // Deletions of fields may follow that of their entity (cascades); they do not bring it back.
    state.exists ||= first;
    return;
  }
  state.exists = true;
  if (event.field !== '*') {
    state.fields[event.field] = fieldState(event, event.new_value);
    return;
  }
  if (event.new_value === null) return;
  const members = objectMembers(event.new_value);
  if (members === undefined) {
    state.fields['*'] = fieldState(event, event.new_value);
    return;
  }
  state.fields = Object.create(null);
  for (const [name, value] of members) state.fields[name] = fieldState(event, value);
}

function fieldState(event: JournalEvent, value: string | null): FieldState {
  return { value, seq: event.seq, occurred_at: event.occurred_at, actor: event.actor };
}

/**
 * The members of a JSON object as exact pieces of its text (parsing and printing again would change large numbers).
 * undefined: the text is another kind of value. The text must be valid JSON; of a repeated name the last counts, as
 * in JSON.parse.
 */
export function objectMembers(json: string): [name: string, value: string][] | undefined {
  let at = skipSpace(json, 0);
  if (json[at] !== '{') return undefined;
  const members: [string, string][] = [];
  at = skipSpace(json, at + 1);
  while (json[at] === '"') {
    const nameEnd = stringEnd(json, at);
    const name = JSON.parse(json.slice(at, nameEnd)) as string;
    const start = skipSpace(json, skipSpace(json, nameEnd) + 1);
    const end = valueEnd(json, start);
    members.push([name, json.slice(start, end)]);
    at = skipSpace(json, end);
    if (json[at] === ',') at = skipSpace(json, at + 1);
  }
  return members;
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (at < json.length && ' \t\n\r'.includes(json.charAt(at))) at += 1;
  return at;
}

/** Behind the closing quote of the string that begins at `from`. */
function stringEnd(json: string, from: number): number {
  let at = from + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Behind the value that begins at `from`. */
function valueEnd(json: string, from: number): number {
  let at = from;
  let depth = 0;
  while (at < json.length) {
    const char = json.charAt(at);
    if (char === '"') {
      at = stringEnd(json, at);
      if (depth === 0) return at;
      continue;
    }
    if (depth === 0 && ',}] \t\n\r'.includes(char)) return at;
    if (char === '{' || char === '[') depth += 1;
    if (char === '}' || char === ']') depth -= 1;
    at += 1;
    if (depth === 0 && (char === '}' || char === ']')) return at;
  }
  return at;
}
