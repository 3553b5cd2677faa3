/**
 * What a caller may say of an event, in one table: the door's validator and the OpenAPI description both read it.
 *
 * `id` text has no control characters; `text` may hold any valid Unicode but NUL. `charsMax` counts UTF-16 units.
 */
export type FieldKind = 'id' | 'text' | 'time' | 'json' | 'workspace';
export type FieldSpec = {
  kind: FieldKind;
  required: boolean;
  /** For text; JSON values are limited by LIMITS.valueBytesMax and valueDepthMax. */
  charsMax: number;
  description: string;
};

export const EVENT_FIELDS = {
  event_id: {
    kind: 'id',
    required: false,
    charsMax: 256,
    description: 'Unique in its workspace for ever; sending it again is safe. Default: a UUIDv7 made by the journal.',
  },
  timestamp: {
    kind: 'time',
    required: false,
    charsMax: 40,
    description: 'When it happened, RFC 3339, up to microseconds. Another name for occurred_at.',
  },
  occurred_at: {
    kind: 'time',
    required: false,
    charsMax: 40,
    description: 'When it happened, RFC 3339, up to microseconds. Default: the time of recording.',
  },
  workspace_id: {
    kind: 'workspace',
    required: false,
    charsMax: 63,
    description: 'If given, it must be the workspace of the request.',
  },
  entity_type: {
    kind: 'text',
    required: true,
    charsMax: 256,
    description: 'What kind of thing changed, e.g. invoice.',
  },
  entity_id: { kind: 'text', required: true, charsMax: 1024, description: 'Which one; slashes are fine.' },
  field: {
    kind: 'text',
    required: false,
    charsMax: 512,
    description: 'Which field of it; `*` (the default) is the whole entity.',
  },
  action: {
    kind: 'text',
    required: true,
    charsMax: 128,
    description: 'insert, update, delete, ingest, or a verb of your own.',
  },
  old_value: {
    kind: 'json',
    required: false,
    charsMax: 0,
    description: 'The value before: any JSON. Absent is not null.',
  },
  new_value: {
    kind: 'json',
    required: false,
    charsMax: 0,
    description: 'The value after: any JSON. Absent is not null.',
  },
  actor: { kind: 'text', required: true, charsMax: 512, description: 'Who did it.' },
  actor_type: { kind: 'text', required: false, charsMax: 128, description: 'What kind of who: user, service, job …' },
  source: { kind: 'text', required: false, charsMax: 512, description: 'Through what it was done.' },
  correlation_id: { kind: 'text', required: false, charsMax: 512, description: 'The request or trace it belongs to.' },
  metadata: { kind: 'json', required: false, charsMax: 0, description: 'Anything else: any JSON.' },
} as const satisfies Record<string, FieldSpec>;

export type EventFieldName = keyof typeof EVENT_FIELDS;

/** Fields the journal assigns; a caller that sends them gets told so. */
export const ASSIGNED_FIELDS: ReadonlySet<string> = new Set(['seq', 'recorded_at', 'event_hash', 'prev_hash', 'v']);

/** Entity types that begin so are the service's own, and refused at the door: nobody else says what it decided. */
export const RESERVED_TYPES = 'indelible.';
