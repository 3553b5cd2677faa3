/** What goes over the wire, as docs and `/openapi.json` describe it. */
import type { Ack, AppendResult, Receipt } from '../../journal/index.ts';

export type { Ack, AppendResult, Receipt };

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
  type?: string;
  field?: string;
  /** occurred_at ≥ from, RFC 3339. */
  from?: string;
  /** occurred_at < to, RFC 3339. */
  to?: string;
};

export type HistoryQuery = Filters & { order?: 'asc' | 'desc'; limit?: number; cursor?: string };
export type RecentQuery = Filters & {
  entity?: string;
  actor?: string;
  action?: string;
  limit?: number;
  cursor?: string;
};
export type ExportFormat = 'csv' | 'ndjson' | 'parquet' | 'arrow';
export type ExportQuery = Filters & {
  format?: ExportFormat;
  /** csv only. raw is RFC 4180; spreadsheet adds a BOM and disarms formulas. */
  profile?: 'raw' | 'spreadsheet';
  entity?: string;
  actor?: string;
  action?: string;
};

export type Page = { events: RecordedEvent[]; next_cursor: string | null; complete_through: number };

export type EntityState = Record<string, unknown>;
export type Stats = Record<string, unknown> & {
  buffered_events: number;
  flush_threshold: number;
  persisted_files: number;
  total_events: number;
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

export type Verification = {
  valid: boolean;
  events: number;
  head_hash?: string;
  first_bad?: { seq: number; reason: string };
} & Record<string, unknown>;

export type Role = 'writer' | 'reader' | 'auditor' | 'operator';
export type KeyInfo = { id: string; workspace: string | null; role: Role; name: string | null; created_at: string };

export type IngestFormat = 'ndjson' | 'csv' | 'parquet';
export type IngestQuery = {
  /** Shown in the ingest's own event. */
  name?: string;
  format?: IngestFormat;
  /** With entity_type and id_column each row is an entity; without, each row is an event. */
  entityType?: string;
  idColumn?: string;
  timestampColumn?: string;
  action?: string;
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
