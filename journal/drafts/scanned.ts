import { Buffer } from 'node:buffer';
import type { DraftEvent } from '../event.ts';
import { type Assigned, type CanonicalText, CanonicalString, canonicalDraft, type DraftBatch } from './batch.ts';

/** Members that are copied from the body, as the slots of an event. */
export const SLOTS = {
  action: 0,
  actor: 1,
  actor_type: 2,
  correlation_id: 3,
  entity_id: 4,
  entity_type: 5,
  field: 6,
  metadata: 7,
  new_value: 8,
  old_value: 9,
  source: 10,
} as const;
const SLOT_COUNT = 11;
const EVENT_INTS = SLOT_COUNT * 2;
const ABSENT = -1;

/** Bytes of a canonical event beside its members' own: names, punctuation, hash, times, seq, workspace. */
const FRAME_BYTES_MAX = 640;

type Entry = {
  eventId: string | null;
  occurredAt: string | null;
  start: number;
  end: number;
  draft: DraftEvent | undefined;
};

/** Events of a body by where their members stand. Filled by the scanner, event by event. */
export class ScannedBatch implements DraftBatch, CanonicalText {
  readonly #bytes: Buffer;
  readonly #readDraft: (start: number, end: number) => DraftEvent;
  readonly #entries: Entry[] = [];
  /** Small integers in a plain array: a typed one costs more to make than a single event to read. */
  readonly #slices: number[] = [];
  #index = 0;
  #assigned: Assigned = { seq: 0, eventId: '', recordedAt: '', workspace: '', prevHash: '' };
  bytesMax = 0;

  constructor(bytes: Buffer, readDraft: (start: number, end: number) => DraftEvent) {
    this.#bytes = bytes;
    this.#readDraft = readDraft;
  }

  get length(): number {
    return this.#entries.length;
  }

  get source(): Buffer {
    return this.#bytes;
  }

  /** Forgets what set() noted of the event that is being read. */
  begin(): void {
    const base = this.#entries.length * EVENT_INTS;
    for (let i = 0; i < EVENT_INTS; i++) this.#slices[base + i] = ABSENT;
  }

  /** Notes where a member of the event stands: a string's inside, or a value's text. */
  set(slot: number, start: number, end: number): void {
    const at = this.#entries.length * EVENT_INTS + slot * 2;
    this.#slices[at] = start;
    this.#slices[at + 1] = end;
  }

  has(slot: number): boolean {
    return this.#slices[this.#entries.length * EVENT_INTS + slot * 2] !== ABSENT;
  }

  add(entry: Entry): void {
    this.#entries.push(entry);
  }

  eventId(index: number): string | null {
    return this.#entry(index).eventId;
  }

  entityId(index: number): string {
    const { draft } = this.#entry(index);
    if (draft) return draft.entity_id;
    const at = index * EVENT_INTS + SLOTS.entity_id * 2;
    return this.#bytes.toString('latin1', this.#slices[at], this.#slices[at + 1]);
  }

  draft(index: number): DraftEvent {
    const { draft, start, end } = this.#entry(index);
    return draft ?? this.#readDraft(start, end);
  }

  canonical(index: number, assigned: Assigned): CanonicalText {
    const entry = this.#entry(index);
    if (entry.draft) return new CanonicalString(canonicalDraft(entry.draft, assigned));
    this.#index = index;
    this.#assigned = assigned;
    this.bytesMax = FRAME_BYTES_MAX + 2 * (entry.end - entry.start);
    return this;
  }

  /** The canonical event of the last call of canonical(), in the order of RFC 8785; what canonicalEvent prints. */
  write(target: Buffer, start: number): number {
    const base = this.#index * EVENT_INTS;
    const { eventId, prevHash, recordedAt, seq, workspace } = this.#assigned;
    const occurredAt = this.#entry(this.#index).occurredAt ?? recordedAt;
    let at = this.#string(target, start, base, NAMES.action, SLOTS.action);
    at = this.#string(target, at, base, NAMES.actor, SLOTS.actor);
    at = this.#string(target, at, base, NAMES.actor_type, SLOTS.actor_type);
    at = this.#string(target, at, base, NAMES.correlation_id, SLOTS.correlation_id);
    at = this.#string(target, at, base, NAMES.entity_id, SLOTS.entity_id);
    at = this.#string(target, at, base, NAMES.entity_type, SLOTS.entity_type);
    at = putQuoted(target, at, NAMES.event_id, eventId);
    if (this.#slices[base + SLOTS.field * 2] === ABSENT) at = put(target, at, WHOLE_FIELD);
    else at = this.#string(target, at, base, NAMES.field, SLOTS.field);
    at = this.#value(target, at, base, NAMES.metadata, SLOTS.metadata);
    at = this.#value(target, at, base, NAMES.new_value, SLOTS.new_value);
    at = putQuoted(target, at, NAMES.occurred_at, occurredAt);
    at = this.#value(target, at, base, NAMES.old_value, SLOTS.old_value);
    at = putQuoted(target, at, NAMES.prev_hash, prevHash);
    at = putQuoted(target, at, NAMES.recorded_at, recordedAt);
    at = putText(target, put(target, at, NAMES.seq), String(seq));
    at = this.#string(target, at, base, NAMES.source, SLOTS.source);
    at = putQuoted(target, at, NAMES.workspace_id, workspace);
    target[at] = 0x7d;
    return at + 1;
  }

  #entry(index: number): Entry {
    return this.#entries[index] as Entry;
  }

  #string(target: Buffer, start: number, base: number, name: Uint8Array, slot: number): number {
    let at = put(target, start, name);
    const from = this.#slices[base + slot * 2] as number;
    if (from === ABSENT) return put(target, at, NULL_TEXT);
    const to = this.#slices[base + slot * 2 + 1] as number;
    const bytes = this.#bytes;
    target[at++] = 0x22;
    for (let i = from; i < to; i++) target[at++] = bytes[i] as number;
    target[at++] = 0x22;
    return at;
  }

  /** A value's compact text as a JSON string: plain JSON has no escapes, so only its quotes are escaped. */
  #value(target: Buffer, start: number, base: number, name: Uint8Array, slot: number): number {
    let at = put(target, start, name);
    const from = this.#slices[base + slot * 2] as number;
    if (from === ABSENT) return put(target, at, NULL_TEXT);
    const to = this.#slices[base + slot * 2 + 1] as number;
    const bytes = this.#bytes;
    let isInString = false;
    target[at++] = 0x22;
    for (let i = from; i < to; i++) {
      const byte = bytes[i] as number;
      if (byte === 0x22) {
        isInString = !isInString;
        target[at++] = 0x5c;
      } else if (byte <= 0x20 && !isInString) {
        continue;
      }
      target[at++] = byte;
    }
    target[at++] = 0x22;
    return at;
  }
}

const NULL_TEXT = Buffer.from('null');
const WHOLE_FIELD = Buffer.from(',"field":"*"');
const NAMES = {
  action: Buffer.from('{"action":'),
  actor: Buffer.from(',"actor":'),
  actor_type: Buffer.from(',"actor_type":'),
  correlation_id: Buffer.from(',"correlation_id":'),
  entity_id: Buffer.from(',"entity_id":'),
  entity_type: Buffer.from(',"entity_type":'),
  field: Buffer.from(',"field":'),
  metadata: Buffer.from(',"metadata":'),
  new_value: Buffer.from(',"new_value":'),
  old_value: Buffer.from(',"old_value":'),
  source: Buffer.from(',"source":'),
  event_id: Buffer.from(',"event_id":'),
  occurred_at: Buffer.from(',"occurred_at":'),
  prev_hash: Buffer.from(',"prev_hash":'),
  recorded_at: Buffer.from(',"recorded_at":'),
  seq: Buffer.from(',"seq":'),
  workspace_id: Buffer.from(',"v":1,"workspace_id":'),
};

function put(target: Buffer, start: number, text: Uint8Array): number {
  for (let i = 0; i < text.length; i++) target[start + i] = text[i] as number;
  return start + text.length;
}

/** Printable ASCII. For texts this short a loop beats a call out of JavaScript. */
function putText(target: Buffer, start: number, text: string): number {
  for (let i = 0; i < text.length; i++) target[start + i] = text.charCodeAt(i);
  return start + text.length;
}

function putQuoted(target: Buffer, start: number, name: Uint8Array, text: string): number {
  const at = put(target, start, name);
  target[at] = 0x22;
  const end = putText(target, at + 1, text);
  target[end] = 0x22;
  return end + 1;
}
