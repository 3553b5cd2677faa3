import { type FieldError, IndelibleError, invalid } from './errors.ts';
import type { DraftEvent } from './event.ts';
import { ASSIGNED_FIELDS, EVENT_FIELDS, type EventFieldName, type FieldSpec } from './fields.ts';
import { parseJsonExact, textFault, valueText } from './json-text.ts';
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
  const errors: FieldError[] = [];
  const drafts: DraftEvent[] = [];
  if (shape === 'ndjson') {
    readLines(text, workspace, drafts, errors);
  } else {
    const value = parseOrFault(text, '', errors);
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length && errors.length < LIMITS.errorsListedMax; i++) {
        if (i === LIMITS.batchEventsMax) throw tooMany();
        readEvent(value[i], `/${i}`, workspace, drafts, errors);
      }
    } else if (errors.length === 0) {
      readEvent(value, '', workspace, drafts, errors);
    }
  }
  if (errors.length > 0) throw invalid(errors);
  if (drafts.length === 0) throw invalid([{ pointer: '', message: 'holds no event: send at least one' }]);
  return drafts;
}

/** One event from a value as parseJsonExact gives it; faults are added to `errors` and undefined is returned. */
export function readDraft(
  value: unknown,
  pointer: string,
  workspace: string,
  errors: FieldError[],
): DraftEvent | undefined {
  const drafts: DraftEvent[] = [];
  readEvent(value, pointer, workspace, drafts, errors);
  return drafts[0];
}

function tooMany(): IndelibleError {
  return new IndelibleError(
    'too-large',
    `a batch holds at most ${LIMITS.batchEventsMax} events: send several, or a stream of NDJSON`,
  );
}

function readLines(text: string, workspace: string, drafts: DraftEvent[], errors: FieldError[]): void {
  let start = 0;
  for (let line = 0; start < text.length && errors.length < LIMITS.errorsListedMax; line++) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    const lineText = text.slice(start, end);
    start = end + 1;
    if (lineText.trim() === '') continue;
    if (drafts.length === LIMITS.batchEventsMax) throw tooMany();
    const faultsBefore = errors.length;
    const value = parseOrFault(lineText, `/${line}`, errors);
    if (errors.length === faultsBefore) readEvent(value, `/${line}`, workspace, drafts, errors);
  }
}

function parseOrFault(text: string, pointer: string, errors: FieldError[]): unknown {
  try {
    return parseJsonExact(text);
  } catch (error) {
    const why = error instanceof RangeError ? 'it is nested too deeply' : (error as Error).message.slice(0, 120);
    errors.push({ pointer, message: `is not JSON: ${why}` });
    return undefined;
  }
}

function readEvent(
  value: unknown,
  pointer: string,
  workspace: string,
  drafts: DraftEvent[],
  errors: FieldError[],
): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    errors.push({ pointer, message: 'is not an event: send a JSON object' });
    return;
  }
  const input = value as Record<string, unknown>;
  const faultsBefore = errors.length;
  const fault = (field: string, message: string) => {
    errors.push({ pointer: `${pointer}/${pointerToken(field)}`, message });
    return null;
  };
  for (const key in input) {
    if (!Object.hasOwn(EVENT_FIELDS, key)) fault(key, unknownField(key));
  }
  const occurredAt = readTime(input, 'occurred_at', fault);
  const timestamp = readTime(input, 'timestamp', fault);
  if (occurredAt !== null && timestamp !== null && occurredAt !== timestamp) {
    fault('timestamp', 'differs from occurred_at: they are two names of one field, send one');
  }
  const given = input.workspace_id;
  if (given !== undefined && given !== null && given !== workspace) {
    fault('workspace_id', `is not the workspace of this request, '${workspace}': leave it out or send it there`);
  }
  const draft: DraftEvent = {
    event_id: readText(input, 'event_id', fault),
    occurred_at: occurredAt ?? timestamp,
    entity_type: readText(input, 'entity_type', fault) ?? '',
    entity_id: readText(input, 'entity_id', fault) ?? '',
    field: readText(input, 'field', fault) ?? '*',
    action: readText(input, 'action', fault) ?? '',
    old_value: readValue(input, 'old_value', fault),
    new_value: readValue(input, 'new_value', fault),
    actor: readText(input, 'actor', fault) ?? '',
    actor_type: readText(input, 'actor_type', fault),
    source: readText(input, 'source', fault),
    correlation_id: readText(input, 'correlation_id', fault),
    metadata: readValue(input, 'metadata', fault),
  };
  if (errors.length === faultsBefore) drafts.push(draft);
}

type Fault = (field: string, message: string) => null;

function unknownField(key: string): string {
  if (ASSIGNED_FIELDS.has(key)) return 'is assigned by the journal: leave it out';
  return 'is not a field of an event: put it in metadata';
}

/** JSON pointer escaping (RFC 6901); long names are cut, since they are echoed back. */
function pointerToken(name: string): string {
  return name.slice(0, 64).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1');
}

function readText(input: Record<string, unknown>, name: EventFieldName, fault: Fault): string | null {
  const value = input[name];
  const spec: FieldSpec = EVENT_FIELDS[name];
  if (value === undefined || value === null) return spec.required ? fault(name, 'is missing') : null;
  if (typeof value !== 'string') return fault(name, `must be a string, not ${kindOf(value)}`);
  if (value.length === 0) return fault(name, spec.required ? 'is empty' : 'is empty: leave it out instead');
  if (value.length > spec.charsMax) return fault(name, `is longer than ${spec.charsMax} characters`);
  const bad = textFault(value);
  if (bad !== undefined) return fault(name, bad);
  if (spec.kind === 'id' && CONTROL.test(value)) return fault(name, 'holds a control character');
  return value;
}

function readTime(input: Record<string, unknown>, name: 'timestamp' | 'occurred_at', fault: Fault): string | null {
  const value = input[name];
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string') return fault(name, `must be an RFC 3339 string, not ${kindOf(value)}`);
  if (value.length > EVENT_FIELDS[name].charsMax) return fault(name, 'is too long for a time');
  const result = canonicalTime(value);
  return result.ok ? result.text : fault(name, result.message);
}

function readValue(input: Record<string, unknown>, name: EventFieldName, fault: Fault): string | null {
  const value = input[name];
  if (value === undefined) return null;
  const result = valueText(value);
  return result.ok ? result.text : fault(name, result.message);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return JSON.stringify(value)?.startsWith('{') ? 'an object' : 'a number';
  return `a ${typeof value}`;
}
