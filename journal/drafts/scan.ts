import { type Buffer, isUtf8 } from 'node:buffer';
import type { DraftEvent } from '../event.ts';
import { EVENT_FIELDS, type EventFieldName, type FieldSpec, RESERVED_TYPES } from '../fields.ts';
import { LIMITS } from '../limits.ts';
import { canonicalTime } from '../time.ts';
import { readEvents } from '../validate.ts';
import { asciiString, literal, NOT_PLAIN, NULL, plainString, plainValue, skipObject, skipSpace } from './json-bytes.ts';
import { ScannedBatch, SLOTS } from './scanned.ts';

/**
 * The events of a JSON body (one, or an array), checked where they lie: a fifth of the work of making objects of them.
 * An event that is not plain is read the other way. undefined: something is wrong with the body, or it is unusual as a
 * whole; readEvents then says what, or takes it. Whatever this accepts, readEvents accepts with the same meaning.
 */
export function scanEvents(bytes: Buffer, workspace: string): ScannedBatch | undefined {
  if (!isUtf8(bytes)) return undefined;
  const scan = new Scan(bytes, workspace);
  return scan.body() ? scan.batch : undefined;
}

/** `bytes`: the name in its quotes. */
type Field = { name: EventFieldName; bytes: Uint8Array; bit: number };

const FIELDS: Field[] = (Object.keys(EVENT_FIELDS) as EventFieldName[]).map((name, index) => ({
  name,
  bytes: new TextEncoder().encode(`"${name}"`),
  bit: 1 << index,
}));

const RESERVED = new TextEncoder().encode(RESERVED_TYPES);

/** A guess, never a rule: a program's events have their members in one order. What was met last is tried first. */
const usualOrder: Field[] = [];

const REQUIRED = (Object.keys(SLOTS) as (keyof typeof SLOTS)[])
  .filter((name) => EVENT_FIELDS[name].required)
  .map((name) => SLOTS[name]);

/** A value whose raw text is this short is within the limit, whatever its white space. */
const VALUE_BYTES_MAX = LIMITS.valueBytesMax / 4;

class Scan {
  readonly batch: ScannedBatch;
  readonly #bytes: Buffer;
  readonly #workspace: string;
  #at = 0;
  #eventId: string | null = null;
  #occurredAt: string | null = null;

  constructor(bytes: Buffer, workspace: string) {
    this.#bytes = bytes;
    this.#workspace = workspace;
    this.batch = new ScannedBatch(bytes, (start, end) => this.#readDraft(start, end));
  }

  body(): boolean {
    const bytes = this.#bytes;
    this.#at = skipSpace(bytes, 0);
    if (bytes[this.#at] !== 0x5b) return this.#event() && skipSpace(bytes, this.#at) === bytes.length;
    this.#at = skipSpace(bytes, this.#at + 1);
    while (this.batch.length < LIMITS.batchEventsMax) {
      if (!this.#event()) return false;
      this.#at = skipSpace(bytes, this.#at);
      if (bytes[this.#at] === 0x5d) return skipSpace(bytes, this.#at + 1) === bytes.length;
      if (bytes[this.#at] !== 0x2c) return false;
      this.#at = skipSpace(bytes, this.#at + 1);
    }
    return false;
  }

  #event(): boolean {
    const start = this.#at;
    if (this.#bytes[start] !== 0x7b) return false;
    if (this.#plainEvent()) {
      const end = this.#at;
      this.batch.add({ eventId: this.#eventId, occurredAt: this.#occurredAt, start, end, draft: undefined });
      return true;
    }
    const end = skipObject(this.#bytes, start);
    if (end === NOT_PLAIN) return false;
    const draft = this.#validDraft(start, end);
    if (!draft) return false;
    this.batch.add({ eventId: draft.event_id, occurredAt: draft.occurred_at, start, end, draft });
    this.#at = end;
    return true;
  }

  #validDraft(start: number, end: number): DraftEvent | undefined {
    try {
      return this.#readDraft(start, end);
    } catch {
      // The whole body is read again the other way, which says where the fault is.
      return undefined;
    }
  }

  #readDraft(start: number, end: number): DraftEvent {
    return readEvents(this.#bytes.toString('utf8', start, end), 'json', this.#workspace)[0] as DraftEvent;
  }

  #plainEvent(): boolean {
    const bytes = this.#bytes;
    this.batch.begin();
    this.#eventId = null;
    this.#occurredAt = null;
    let seen = 0;
    let pos = skipSpace(bytes, this.#at + 1);
    for (let index = 0; ; index++) {
      const field = this.#field(pos, index);
      // Unknown, or for the second time.
      if (field === undefined || (seen & field.bit) !== 0) return false;
      seen |= field.bit;
      pos = skipSpace(bytes, pos + field.bytes.length);
      if (bytes[pos] !== 0x3a) return false;
      pos = this.#member(field.name, skipSpace(bytes, pos + 1));
      if (pos === NOT_PLAIN) return false;
      pos = skipSpace(bytes, pos);
      if (bytes[pos] === 0x7d) break;
      if (bytes[pos] !== 0x2c) return false;
      pos = skipSpace(bytes, pos + 1);
    }
    this.#at = pos + 1;
    return REQUIRED.every((slot) => this.batch.has(slot));
  }

  /** The field whose quoted name stands here. */
  #field(at: number, index: number): Field | undefined {
    const expected = usualOrder[index];
    if (expected && literal(this.#bytes, at, expected.bytes) !== NOT_PLAIN) return expected;
    for (const field of FIELDS) {
      if (literal(this.#bytes, at, field.bytes) === NOT_PLAIN) continue;
      usualOrder[index] = field;
      return field;
    }
    return undefined;
  }

  #member(name: EventFieldName, at: number): number {
    const spec: FieldSpec = EVENT_FIELDS[name];
    if (spec.kind === 'json') return this.#value(name as keyof typeof SLOTS, at);
    if (this.#bytes[at] !== 0x22) {
      // null says the same as leaving an optional text out.
      return spec.required ? NOT_PLAIN : literal(this.#bytes, at, NULL);
    }
    if (spec.kind === 'text' && name !== 'entity_id') return this.#text(name as keyof typeof SLOTS, at, spec.charsMax);
    const end = asciiString(this.#bytes, at);
    const length = end - at - 2;
    if (end === NOT_PLAIN || length < 1 || length > spec.charsMax) return NOT_PLAIN;
    if (name === 'entity_id') {
      this.batch.set(SLOTS.entity_id, at + 1, end - 1);
      return end;
    }
    return this.#assignable(name, this.#bytes.toString('latin1', at + 1, end - 1)) ? end : NOT_PLAIN;
  }

  /** The id, the time, and the workspace, which the journal looks at. */
  #assignable(name: EventFieldName, text: string): boolean {
    if (name === 'event_id') {
      this.#eventId = text;
      return true;
    }
    if (name === 'workspace_id') return text === this.#workspace;
    const time = canonicalTime(text);
    // Two names of one field: whether both may stand is not decided here.
    if (!time.ok || this.#occurredAt !== null) return false;
    this.#occurredAt = time.text;
    return true;
  }

  #text(name: keyof typeof SLOTS, at: number, charsMax: number): number {
    const end = plainString(this.#bytes, at);
    const length = end - at - 2;
    if (end === NOT_PLAIN || length < 1 || length > charsMax) return NOT_PLAIN;
    if (name === 'entity_type' && literal(this.#bytes, at + 1, RESERVED) !== NOT_PLAIN) return NOT_PLAIN;
    this.batch.set(SLOTS[name], at + 1, end - 1);
    return end;
  }

  #value(name: keyof typeof SLOTS, at: number): number {
    const end = plainValue(this.#bytes, at);
    if (end === NOT_PLAIN || end - at > VALUE_BYTES_MAX) return NOT_PLAIN;
    this.batch.set(SLOTS[name], at, end);
    return end;
  }
}
