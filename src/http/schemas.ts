import { type RouteConfig, z } from '@hono/zod-openapi';
import {
  canonicalTime,
  EVENT_FIELDS,
  type EventFieldName,
  type FieldSpec,
  LIMITS,
  WORKSPACE_PATTERN,
} from '../../journal/index.ts';

/** Any JSON value; its text is kept as it was sent. */
const ANY_JSON = z.any().openapi({ description: 'Any JSON value.' });
const TIME = z.string().openapi({ format: 'date-time', example: '2026-01-02T03:04:05.000000Z' });
const HASH = z.string().openapi({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256, lower-case hex' });
const SEQ = z.int().min(0).openapi({ description: 'Position in the journal: 0, 1, 2 … without gaps.' });

function fieldSchema(spec: FieldSpec): z.ZodType {
  const { description } = spec;
  if (spec.kind === 'json') return z.any().openapi({ description });
  const text = z.string().min(1).max(spec.charsMax).openapi({ description });
  return spec.kind === 'time' ? text.openapi({ description, format: 'date-time' }) : text;
}

function newEventShape(): Record<string, z.ZodType> {
  const shape: Record<string, z.ZodType> = {};
  for (const name of Object.keys(EVENT_FIELDS) as EventFieldName[]) {
    const spec: FieldSpec = EVENT_FIELDS[name];
    shape[name] = spec.required ? fieldSchema(spec) : fieldSchema(spec).optional();
  }
  return shape;
}

/** An event on its way in, from the table of fields that the validator reads. */
export const NewEvent = z.strictObject(newEventShape()).openapi('NewEvent', {
  example: {
    entity_type: 'invoice',
    entity_id: 'inv/2026/17',
    field: 'status',
    action: 'update',
    old_value: 'draft',
    new_value: 'sent',
    actor: 'ann@example.com',
    source: 'billing',
  },
});

export const RecordedEvent = z
  .object({
    seq: SEQ,
    event_id: z.string(),
    occurred_at: TIME,
    recorded_at: TIME,
    workspace_id: z.string(),
    entity_type: z.string(),
    entity_id: z.string(),
    field: z.string(),
    action: z.string(),
    old_value: ANY_JSON.optional(),
    new_value: ANY_JSON.optional(),
    actor: z.string(),
    actor_type: z.string().optional(),
    source: z.string().optional(),
    correlation_id: z.string().optional(),
    metadata: ANY_JSON.optional(),
    event_hash: HASH,
  })
  .openapi('Event');

export const Receipt = z
  .object({
    event_id: z.string(),
    seq: SEQ,
    event_hash: HASH,
    recorded_at: TIME,
    ack: z.enum(['durable', 'committed']),
  })
  .openapi('Receipt');

export const AppendAnswer = z
  .object({
    count: z.int().openapi({ description: 'Events recorded by this request.' }),
    duplicates: z.int().openapi({ description: 'Events recorded before; their first receipts are repeated.' }),
    first_seq: SEQ.nullable(),
    last_seq: SEQ.nullable(),
    head_hash: HASH,
    receipts: z.array(Receipt).optional(),
  })
  .openapi('AppendAnswer');

export const QueuedAnswer = z
  .object({
    queued: z.int(),
    position: z
      .string()
      .openapi({ description: 'For ?after= of a read, which then sees the events.', example: '7:1767322800000-0' }),
    receipts: z.array(z.object({ event_id: z.string(), ack: z.literal('queued') })).optional(),
  })
  .openapi('QueuedAnswer');

const COUNT = z.int().min(0);

export const CompactionAnswer = z
  .object({
    merges: COUNT,
    events: COUNT.openapi({ description: 'Rewritten into other files.' }),
    files_before: COUNT,
    files_after: COUNT,
    bytes_before: COUNT,
    bytes_after: COUNT,
    deleted_files: COUNT.openapi({ description: 'That left the journal longer than the grace period ago.' }),
    deleted_bytes: COUNT,
    deleted_log_entries: COUNT,
  })
  .openapi('Compaction');

export const EventPageAnswer = z
  .object({
    events: z.array(RecordedEvent),
    next_cursor: z.string().nullable().openapi({ description: 'For ?cursor= of the same query; null: no more.' }),
    complete_through: z.int().openapi({ description: 'Every event up to this seq is taken account of; -1: none.' }),
  })
  .openapi('EventPage');

export const ProblemBody = z
  .object({
    type: z.string().openapi({ example: 'urn:indelible:problem:invalid' }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    request_id: z.string(),
    errors: z
      .array(z.object({ pointer: z.string(), message: z.string() }))
      .optional()
      .openapi({ description: 'Faults of the input; pointer is a JSON pointer into what was sent.' }),
    progress: z
      .object({
        events: z.int(),
        duplicates: z.int(),
        lines: z.int(),
        first_seq: SEQ.nullable(),
        last_seq: SEQ.nullable(),
        position: z.string().optional().openapi({ description: 'Of the last event that was queued.' }),
      })
      .optional()
      .openapi({ description: 'How far a long request came. Sending all of it again finishes it.' }),
  })
  .openapi('Problem');

export const PROBLEM_RESPONSES: RouteConfig['responses'] = {
  default: {
    description: 'A problem document (RFC 9457)',
    content: { 'application/problem+json': { schema: ProblemBody } },
  },
};

/** For the routes that take much in. */
export const PRIORITY_HEADER = {
  Priority: z.string().optional().openapi({
    description:
      'RFC 9218: with u=5 to u=7 the request is of low priority, and is the first to be refused (429, Retry-After) when there is more than can be taken.',
    example: 'u=5',
  }),
};

export function jsonAnswer(schema: z.ZodType, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

/** An RFC 3339 time in canonical form: UTC with microseconds. */
export const TimeParam = z
  .string()
  .max(40)
  .transform((text, context) => {
    const result = canonicalTime(text);
    if (result.ok) return result.text;
    context.addIssue({ code: 'custom', message: result.message });
    return z.NEVER;
  })
  .openapi({ type: 'string', format: 'date-time' });

const EXACT_TEXT = 'holds what no recorded text holds: a lone surrogate or a NUL';

/** Text that is compared with a recorded field of an event. */
export function textParam(name: EventFieldName, description: string) {
  return exactText(EVENT_FIELDS[name].charsMax, description);
}

/** Text that is compared with a recorded one of at most so many characters. */
export function exactText(charsMax: number, description: string) {
  return z
    .string()
    .min(1, 'is empty: leave it out instead')
    .max(charsMax, `is longer than ${charsMax} characters`)
    .refine((text) => text.isWellFormed() && !text.includes('\0'), EXACT_TEXT)
    .optional()
    .openapi({ description });
}

/** A whole number in plain digits. */
export function countParam(min: number, max: number) {
  return z
    .string()
    .regex(/^\d{1,15}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .pipe(z.number().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`))
    .openapi({ type: 'integer', minimum: min, maximum: max });
}

export const SeqParam = countParam(0, LIMITS.seqMax);

export const WorkspaceId = z
  .string()
  .regex(WORKSPACE_PATTERN, `must match ${WORKSPACE_PATTERN.source}`)
  .openapi({ example: 'acme' });

/** Filters of the routes that list events. Times: occurred_at, from ≤ t < to. */
export const FILTER_SHAPE = {
  type: textParam('entity_type', 'entity_type'),
  field: textParam('field', 'field'),
  from: TimeParam.optional(),
  to: TimeParam.optional(),
};

export const MORE_FILTERS = {
  entity_id: textParam('entity_id', 'entity_id'),
  action: textParam('action', 'action'),
  actor: textParam('actor', 'actor'),
  source: textParam('source', 'source'),
  correlation_id: textParam('correlation_id', 'correlation_id'),
};

export const CursorParam = z.string().max(128).optional().openapi({ description: 'next_cursor of the page before.' });
