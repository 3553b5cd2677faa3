import { type FieldError, IndelibleError, invalid } from './errors.ts';
import type { DraftEvent } from './event.ts';
import { FieldReader, type Input } from './field-reader.ts';
import { ASSIGNED_FIELDS, EVENT_FIELDS, type EventFieldName, RESERVED_TYPES } from './fields.ts';
import { mayRound, parseJsonExact } from './json-text.ts';
import { LIMITS } from './limits.ts';

/** Takes the objects of a request body one by one. */
export interface RecordReader {
  readonly errors: FieldError[];
  /** Objects taken. */
  readonly count: number;
  /** Whether a value with a number was met: it may have been rounded. */
  readonly holdsNumber: boolean;
  read(value: unknown, pointer: string): void;
}

export type BodyShape = 'json' | 'ndjson';

/**
 * The objects of a request body, checked: whole batch or nothing.
 *
 * `json`: one object or an array of them. `ndjson`: one a line; blank lines are passed over, and count.
 * @param noun what an object is called, with its article
 * @throws IndelibleError invalid, with a pointer to each fault: `/entity_id` for a single object, `/3/entity_id` for the
 * fourth element or line; too-large where there are more than LIMITS.batchEventsMax.
 */
export function readRecords<R extends RecordReader>(text: string, shape: BodyShape, noun: string, make: () => R): R {
  const reader = shape === 'json' ? readBody(text, make) : readLines(text, make());
  if (reader.errors.length > 0) throw invalid(reader.errors);
  if (reader.count === 0)
    throw invalid([{ pointer: '', message: `holds no ${noun.replace(/^an? /, '')}: send at least one` }]);
  return reader;
}

/** The events of a request body in canonical form. @throws as readRecords does */
export function readEvents(text: string, shape: BodyShape, workspace: string): DraftEvent[] {
  return readRecords(text, shape, 'an event', () => new EventReader(workspace)).drafts;
}

function tooMany(): IndelibleError {
  return new IndelibleError(
    'too-large',
    `a batch holds at most ${LIMITS.batchEventsMax} events: send several, or a stream of NDJSON`,
  );
}

/** Parsed the fast way; once more with exact numbers only where there are numbers and one of them may be rounded. */
function readBody<R extends RecordReader>(text: string, make: () => R): R {
  const reader = make();
  readValue(text, '', JSON.parse, reader);
  if (!reader.holdsNumber || !mayRound(text)) return reader;
  const exact = make();
  readValue(text, '', parseJsonExact, exact);
  return exact;
}

function readLines<R extends RecordReader>(text: string, reader: R): R {
  let start = 0;
  for (let line = 0; start < text.length && reader.errors.length < LIMITS.errorsListedMax; line++) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    const lineText = text.slice(start, end);
    start = end + 1;
    if (lineText.trim() === '') continue;
    if (reader.count === LIMITS.batchEventsMax) throw tooMany();
    const value = parseOrFault(lineText, `/${line}`, parseJsonExact, reader.errors);
    if (value !== undefined) reader.read(value, `/${line}`);
  }
  return reader;
}

function readValue(text: string, pointer: string, parse: (text: string) => unknown, reader: RecordReader): void {
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

/** Reads one event after another into `drafts`. */
class EventReader extends FieldReader implements RecordReader {
  readonly drafts: DraftEvent[] = [];
  readonly #workspace: string;

  constructor(workspace: string) {
    super('an event');
    this.#workspace = workspace;
  }

  get count(): number {
    return this.drafts.length;
  }

  read(value: unknown, pointer: string): void {
    const faultsBefore = this.errors.length;
    const input = this.begin(value, pointer, EVENT_FIELDS, unknownField);
    if (input === undefined) return;
    const occurredAt = this.#times(input);
    const given = input.workspace_id;
    if (given !== undefined && given !== null && given !== this.#workspace) {
      const message = `is not the workspace of this request, '${this.#workspace}': leave it out or send it there`;
      this.fault('workspace_id', message);
    }
    const draft: DraftEvent = {
      event_id: this.#text(input, 'event_id'),
      occurred_at: occurredAt,
      entity_type: this.#text(input, 'entity_type') ?? '',
      entity_id: this.#text(input, 'entity_id') ?? '',
      field: this.#text(input, 'field') ?? '*',
      action: this.#text(input, 'action') ?? '',
      old_value: this.value(input, 'old_value'),
      new_value: this.value(input, 'new_value'),
      actor: this.#text(input, 'actor') ?? '',
      actor_type: this.#text(input, 'actor_type'),
      source: this.#text(input, 'source'),
      correlation_id: this.#text(input, 'correlation_id'),
      metadata: this.value(input, 'metadata'),
    };
    if (draft.entity_type.startsWith(RESERVED_TYPES)) {
      this.fault(
        'entity_type',
        `begins with '${RESERVED_TYPES}', which marks the service's own events: choose another`,
      );
    }
    if (this.errors.length === faultsBefore) this.drafts.push(draft);
  }

  #text(input: Input, name: EventFieldName): string | null {
    return this.text(input, name, EVENT_FIELDS[name]);
  }

  /** `timestamp` and `occurred_at` are two names of one field. */
  #times(input: Input): string | null {
    const occurredAt = this.time(input, 'occurred_at', EVENT_FIELDS.occurred_at);
    const timestamp = this.time(input, 'timestamp', EVENT_FIELDS.timestamp);
    if (occurredAt === null || timestamp === null || occurredAt === timestamp) return occurredAt ?? timestamp;
    return this.fault('timestamp', 'differs from occurred_at: they are two names of one field, send one');
  }
}

function unknownField(key: string): string {
  if (ASSIGNED_FIELDS.has(key)) return 'is assigned by the journal: leave it out';
  return 'is not a field of an event: put it in metadata';
}
