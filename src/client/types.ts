/** What goes over the wire, as docs and `/openapi.json` describe it. */
import type { Ack, AppendResult, Queued, Receipt } from '../../journal/index.ts';

export type { Ack, AppendResult, Queued, Receipt };

/** Of an event that is queued: `position` is for the `after` of a read, which then sees the event. */
export type QueuedReceipt = { event_id: string; ack: 'queued'; position: string };
/** What an append answers, and what one event gets, by what was waited for. */
export type AppendResultOf<A extends Ack> = A extends 'queued' ? Queued : AppendResult;
export type ReceiptOf<A extends Ack> = A extends 'queued' ? QueuedReceipt : Receipt;

/** What is low is the first to be refused where there is more than the service can take. */
export type Priority = 'normal' | 'low';

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

/** An event as the caller says it. An absent value is not the same as null. Times are RFC 3339. */
export type EventInput = {
  /** Unique in its workspace for ever. The client makes a UUIDv7, so that sending again is safe. */
  event_id?: string;
  /** When it happened; default: when it is recorded. */
  occurred_at?: string;
  /** Another name for occurred_at. */
  timestamp?: string;
  workspace_id?: string;
  entity_type: string;
  entity_id: string;
  /** `*`, the default, is the whole entity. */
  field?: string;
  /** insert, update, delete, ingest, or a verb of your own. */
  action: string;
  old_value?: JsonValue;
  new_value?: JsonValue;
  actor: string;
  actor_type?: string;
  source?: string;
  correlation_id?: string;
  metadata?: JsonValue;
};

export type RecordedEvent = Omit<EventInput, 'timestamp'> & {
  /** Position in the journal: 0, 1, 2 … without gaps. */
  seq: number;
  event_id: string;
  occurred_at: string;
  recorded_at: string;
  workspace_id: string;
  field: string;
  /** Lower-case hex; so is prev_hash, which comes with single events and exports. */
  event_hash: string;
  prev_hash?: string;
};

export type Filters = {
  type?: string | undefined;
  field?: string | undefined;
  /** occurred_at ≥ from, RFC 3339. */
  from?: string | undefined;
  /** occurred_at < to, RFC 3339. */
  to?: string | undefined;
};

export type EventFilters = Filters & {
  entity_id?: string | undefined;
  action?: string | undefined;
  actor?: string | undefined;
  source?: string | undefined;
  correlation_id?: string | undefined;
};

export type Paging = { limit?: number | undefined; cursor?: string | undefined };
export type HistoryQuery = Filters & Paging & { order?: 'asc' | 'desc' | undefined };
export type RecentQuery = EventFilters & Paging;
export type ExportFormat = 'csv' | 'ndjson' | 'parquet' | 'arrow';
export type ExportQuery = EventFilters & {
  format?: ExportFormat | undefined;
  /** csv only. raw is RFC 4180; spreadsheet adds a BOM and disarms formulas. */
  profile?: 'raw' | 'spreadsheet' | undefined;
};

export type Page = { events: RecordedEvent[]; next_cursor: string | null; complete_through: number };

export type EntityState = {
  entity_id: string;
  entity_type: string | null;
  /** false before the first event and after a deletion. */
  exists: boolean;
  fields: Record<string, { value?: JsonValue; seq: number; occurred_at: string; actor: string }>;
  events: number;
  first_seq: number | null;
  last_seq: number | null;
  complete_through: number;
};
export type Stats = Record<string, unknown> & {
  buffered_events: number;
  flush_threshold: number;
  persisted_files: number;
  /** Without those that retention removed. */
  total_events: number;
  /** Of the oldest event. */
  first_seq: number;
  durable_seq: number;
};

/** What a compaction did. */
export type Compaction = {
  merges: number;
  /** Rewritten into other files. */
  events: number;
  files_before: number;
  files_after: number;
  bytes_before: number;
  bytes_after: number;
  deleted_files: number;
  deleted_bytes: number;
  deleted_log_entries: number;
};

export type SqlParam = string | number | boolean | null;
export type SqlFormat = 'json' | 'ndjson' | 'csv' | 'arrow';
export type SqlResult = {
  columns: { name: string; type: string }[];
  rows: JsonValue[][];
  row_count: number;
  /** The row limit cut the answer short. */
  truncated: boolean;
  snapshot: { committed_seq: number; durable_seq: number };
};

export type SqlStream = {
  /** Errors where the answer is not complete; it never just ends. */
  body: ReadableStream<Uint8Array>;
  /** undefined: the service did not say. */
  rows: number | undefined;
  /** The row limit cut the answer short. */
  truncated: boolean;
};

export type Verification = {
  valid: boolean;
  events: number;
  /** event_hash of the newest event; 64 zeros for an empty journal. */
  head_hash: string;
  first_seq: number | null;
  last_seq: number | null;
  first_bad?: { seq: number; reason: string };
};

/** `before`: a time of recording, RFC 3339; or `seq`, a position. */
export type RetentionOrder = ({ before: string } | { seq: number }) & {
  /** It is recorded. */
  reason: string;
  /** Only tell what would be removed. */
  dryRun?: boolean;
};

/** What retention removed. */
export type Retention = {
  /** Of the oldest event that stays. */
  first_seq: number;
  removed: number;
  files_removed: number;
  files_rewritten: number;
  /** event_hash at first_seq − 1. */
  before_hash: string;
};

/** Times are RFC 3339. null: it stands. */
export type Hold = {
  workspace: string;
  name: string;
  reason: string;
  made_at: string;
  made_by: string;
  released_at: string | null;
  released_by: string | null;
};

export type Role = 'writer' | 'reader' | 'auditor' | 'operator';
/** Times are RFC 3339. `workspace` is null for operators. */
export type KeyInfo = {
  id: string;
  workspace: string | null;
  role: Role;
  name: string;
  created_at: string;
  created_by: string;
  revoked_at: string | null;
};
export type WorkspaceInfo = { id: string; created_at: string; created_by: string; closed_at: string | null };

export type IngestFormat = 'ndjson' | 'csv' | 'parquet';
export type IngestQuery = {
  /** Shown in the ingest's own event. */
  name?: string | undefined;
  format?: IngestFormat | undefined;
  /** With entity_type and id_column each row is an entity; without, each row is an event. */
  entityType?: string | undefined;
  idColumn?: string | undefined;
  timestampColumn?: string | undefined;
  action?: string | undefined;
  /** What the answer waits for; default `durable`. */
  ack?: Exclude<Ack, 'queued'> | undefined;
  /** Default `low`. */
  priority?: Priority | undefined;
};
export type IngestProgress = { rows: number; bytes: number; bytes_total: number };
export type IngestResult = {
  rows: number;
  count: number;
  duplicates: number;
  first_seq: number | null;
  last_seq: number | null;
} & Record<string, unknown>;

/** RFC 9457. */
export type Problem = {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  request_id?: string;
  errors?: { pointer: string; message: string }[];
} & Record<string, unknown>;
