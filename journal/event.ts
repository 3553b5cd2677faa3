/**
 * A validated event on its way in: what the caller said, checked and in canonical form, before the journal
 * gives it a position. Absent is `null`; values are compact JSON text, so JSON null is the text 'null'.
 */
export type DraftEvent = {
  /** null: the journal makes a UUIDv7. */
  event_id: string | null;
  /** UTC with microseconds, `2026-01-02T03:04:05.000000Z`. null: the time of recording. */
  occurred_at: string | null;
  entity_type: string;
  entity_id: string;
  field: string;
  action: string;
  old_value: string | null;
  new_value: string | null;
  actor: string;
  actor_type: string | null;
  source: string | null;
  correlation_id: string | null;
  metadata: string | null;
};

/** A recorded event. Field names are the column names of the Parquet segments (docs/format.md). */
export type JournalEvent = Omit<DraftEvent, 'event_id' | 'occurred_at'> & {
  /** Position in the journal: 0, 1, 2 … without gaps. */
  seq: number;
  event_id: string;
  occurred_at: string;
  /** UTC with microseconds; never runs backwards in a journal. */
  recorded_at: string;
  workspace_id: string;
  /** RFC 6962 leaf hash of the canonical event, lower-case hex. */
  event_hash: string;
};

/** Columns in the order of the table's schema; event_hash is BLOB(32) at rest, hex in memory. */
export const EVENT_COLUMNS = [
  'seq',
  'event_id',
  'occurred_at',
  'recorded_at',
  'workspace_id',
  'entity_type',
  'entity_id',
  'field',
  'action',
  'old_value',
  'new_value',
  'actor',
  'actor_type',
  'source',
  'correlation_id',
  'metadata',
  'event_hash',
] as const;

/**
 * What the caller may rely on: `queued` is in the queue of a cluster, `durable` is fsynced in the write-ahead log with
 * its position, `committed` is in the object store.
 */
export type Ack = 'queued' | 'durable' | 'committed';

export type Receipt = {
  event_id: string;
  seq: number;
  event_hash: string;
  recorded_at: string;
  ack: Exclude<Ack, 'queued'>;
};

export type AppendResult = {
  /** Events newly recorded by this request. */
  count: number;
  /** Events of this request that were recorded before; their first receipts are repeated. */
  duplicates: number;
  /** Positions of the newly recorded events; null where there are none. */
  first_seq: number | null;
  last_seq: number | null;
  /** event_hash of the newest durable event of the journal once this request was. */
  head_hash: string;
  /** In the order of the request. */
  receipts: Receipt[];
};

/** Workspace ids are safe in paths and URLs. Ids that begin with `_` are the service's own and refused at the door. */
export const WORKSPACE_PATTERN = /^[a-z0-9][a-z0-9_-]{0,62}$/;
export const SYSTEM_WORKSPACE = '_system';

export const ZERO_HASH = '0'.repeat(64);

/** Where a journal begins: at seq 0, or where retention cut it. `beforeHash`: event_hash at firstSeq − 1, hex. */
export type JournalStart = { firstSeq: number; beforeHash: string };
export const GENESIS: JournalStart = { firstSeq: 0, beforeHash: ZERO_HASH };
