import { type FieldError, IndelibleError, invalid } from './errors.ts';
import type { DraftEvent } from './event.ts';
import { ASSIGNED_FIELDS, EVENT_FIELDS, type EventFieldName, type FieldSpec } from './fields.ts';
import { isRawNumber, mayRound, parseJsonExact, textFault, type ValueNotes, valueText } from './json-text.ts';
import { LIMITS } from './limits.ts';
import { canonicalTime } from './time.ts';

/** Characters that are no part of an id: C0, DEL and C1 controls. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * The events of a request body, checked and in canonical form: whole batch or nothing.
 *
 * `json`: one event or an array of events. `ndjson`: one event a line; blank lines are passed over, and count.
 * @throws IndelibleError invalid, with a pointer to each fault: `/entity_id` for a single event, `/3/entity_id` for the
 * fourth element or line; too-large where there are more than LIMITS.batchEventsMax.
 */
export function readEvents(text: string, shape: 'json' | 'ndjson', workspace: string): DraftEvent[] {
  const reader = shape === 'json' ? readBody(text, workspace) : readLines(text, workspace);
  if (reader.errors.length > 0) throw invalid(reader.errors);
  if (reader.drafts.length === 0) throw invalid([{ pointer: '', message: 'holds no event: send at least one' }]);
  return reader.drafts;
}

function tooMany(): IndelibleError {
  return new IndelibleError(
    'too-large',
    `a batch holds at most ${LIMITS.batchEventsMax} events: send several, or a stream of NDJSON`,
  );
}

/** Parsed the fast way; once more with exact numbers only where there are numbers and one of them may be rounded. */
function readBody(text: string, workspace: string): EventReader {
  const reader = new EventReader(workspace);
  readValue(text, '', JSON.parse, reader);
  if (!reader.notes.holdsNumber || !mayRound(text)) return reader;
  const exact = new EventReader(workspace);
  readValue(text, '', parseJsonExact, exact);
  return exact;
}

function readLines(text: string, workspace: string): EventReader {
  const reader = new EventReader(workspace);
  let start = 0;
  for (let line = 0; start < text.length && reader.errors.length < LIMITS.errorsListedMax; line++) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    const lineText = text.slice(start, end);
    start = end + 1;
    if (lineText.trim() === '') continue;
    if (reader.drafts.length === LIMITS.batchEventsMax) throw tooMany();
    const value = parseOrFault(lineText, `/${line}`, parseJsonExact, reader.errors);
    if (value !== undefined) reader.read(value, `/${line}`);
  }
  return reader;
}

function readValue(text: string, pointer: string, parse: (text: string) => unknown, reader: EventReader): void {
  const value = parseOrFault(text, pointer, parse, reader.errors);
  if (value === undefined) return;
  if (!Array.isArray(value)) {
    reader.read(value, pointer);
    return;
  }
  if (value.length > LIMITS.batchEventsMax) throw tooMany();
  for (let i = 0; i < value.length && reader.errors.length < LIMITS.errorsListedMax; i++) {
    reader.read(value[i], `${pointer}/${i}`);
  }
}

/** undefined: no JSON, and the fault is listed. JSON itself has no undefined. */
function parseOrFault(text: string, pointer: string, parse: (text: string) => unknown, errors: FieldError[]): unknown {
  try {
    return parse(text);
  } catch (error) {
    const why = error instanceof RangeError ? 'it is nested too deeply' : (error as Error).message.slice(0, 120);
    errors.push({ pointer, message: `is not JSON: ${why}` });
    return undefined;
  }
}

type Input = Record<string, unknown>;

/** Reads one event after another into `drafts`, what is wrong with them into `errors`. */
class EventReader {
  readonly drafts: DraftEvent[] = [];
  readonly errors: FieldError[] = [];
  readonly notes: ValueNotes = { holdsNumber: false };
  readonly #workspace: string;
  #pointer = '';

  constructor(workspace: string) {
    this.#workspace = workspace;
  }

  read(value: unknown, pointer: string): void {
    this.#pointer = pointer;
    if (typeof value !== 'object' || value === null || Array.isArray(value) || isRawNumber(value)) {
      this.errors.push({ pointer, message: 'is not an event: send a JSON object' });
      return;
    }
    const input = value as Input;
    const faultsBefore = this.errors.length;
    for (const key in input) {
      if (this.errors.length >= LIMITS.errorsListedMax) return;
      if (!Object.hasOwn(EVENT_FIELDS, key)) this.#fault(key, unknownField(key));
    }
    const occurredAt = this.#times(input);
    const given = input.workspace_id;
    if (given !== undefined && given !== null && given !== this.#workspace) {
      const message = `is not the workspace of this request, '${this.#workspace}': leave it out or send it there`;
      this.#fault('workspace_id', message);
    }
    const draft: DraftEvent = {
      event_id: this.#text(input, 'event_id'),
      occurred_at: occurredAt,
      entity_type: this.#text(input, 'entity_type') ?? '',
      entity_id: this.#text(input, 'entity_id') ?? '',
      field: this.#text(input, 'field') ?? '*',
      action: this.#text(input, 'action') ?? '',
      old_value: this.#value(input, 'old_value'),
      new_value: this.#value(input, 'new_value'),
      actor: this.#text(input, 'actor') ?? '',
      actor_type: this.#text(input, 'actor_type'),
      source: this.#text(input, 'source'),
      correlation_id: this.#text(input, 'correlation_id'),
      metadata: this.#value(input, 'metadata'),
    };
    if (this.errors.length === faultsBefore) this.drafts.push(draft);
  }

  #fault(field: string, message: string): null {
    if (this.errors.length < LIMITS.errorsListedMax) {
      this.errors.push({ pointer: `${this.#pointer}/${pointerToken(field)}`, message });
    }
    return null;
  }

  #text(input: Input, name: EventFieldName): string | null {
    const value = input[name];
    const spec: FieldSpec = EVENT_FIELDS[name];
    if (value === undefined || value === null) return spec.required ? this.#fault(name, 'is missing') : null;
    if (typeof value !== 'string') return this.#fault(name, `must be a string, not ${kindOf(value)}`);
    if (value.length === 0) {
      return this.#fault(name, spec.required ? 'is empty' : 'is empty: leave it out instead');
    }
    if (value.length > spec.charsMax) return this.#fault(name, `is longer than ${spec.charsMax} characters`);
    const bad = textFault(value);
    if (bad !== undefined) return this.#fault(name, bad);
    if (spec.kind === 'id' && CONTROL.test(value)) return this.#fault(name, 'holds a control character');
    return value;
  }

  /** `timestamp` and `occurred_at` are two names of one field. */
  #times(input: Input): string | null {
    const occurredAt = this.#time(input, 'occurred_at');
    const timestamp = this.#time(input, 'timestamp');
    if (occurredAt === null || timestamp === null || occurredAt === timestamp) return occurredAt ?? timestamp;
    return this.#fault('timestamp', 'differs from occurred_at: they are two names of one field, send one');
  }

  #time(input: Input, name: 'timestamp' | 'occurred_at'): string | null {
    const value = input[name];
    if (value === undefined || value === null) return null;
    if (typeof value !== 'string') return this.#fault(name, `must be an RFC 3339 string, not ${kindOf(value)}`);
    if (value.length > EVENT_FIELDS[name].charsMax) return this.#fault(name, 'is too long for a time');
    const result = canonicalTime(value);
    return result.ok ? result.text : this.#fault(name, result.message);
  }

  #value(input: Input, name: 'old_value' | 'new_value' | 'metadata'): string | null {
    const value = input[name];
    if (value === undefined) return null;
    const result = valueText(value, this.notes);
    return result.ok ? result.text : this.#fault(name, result.message);
  }
}

function unknownField(key: string): string {
  if (ASSIGNED_FIELDS.has(key)) return 'is assigned by the journal: leave it out';
  return 'is not a field of an event: put it in metadata';
}

/** JSON pointer escaping (RFC 6901); long names are cut, since they are echoed back. */
function pointerToken(name: string): string {
  return name.slice(0, 64).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1');
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return isRawNumber(value) ? 'a number' : 'an object';
  return `a ${typeof value}`;
}
