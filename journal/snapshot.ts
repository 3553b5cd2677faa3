import type { JournalEvent } from './event.ts';

/** A committed Parquet segment as the table log describes it. Ranges are inclusive; strings may be prefixes. */
export type SegmentFile = {
  /** Object key below the journal's prefix, e.g. `data/ab/<uuid>.parquet`. */
  path: string;
  /** Where DuckDB reads it on this machine. */
  localPath: string;
  rows: number;
  sizeBytes: number;
  firstSeq: number;
  lastSeq: number;
  /** Bounds of the columns as the Delta statistics give them; absent where a column is all null. */
  min: Readonly<Record<string, string>>;
  max: Readonly<Record<string, string>>;
};

/**
 * One consistent view of a journal: committed files plus the durable tail. Immutable; the same snapshot always gives
 * the same answer. Holds its files until `release()`.
 */
export interface Snapshot {
  readonly workspace: string;
  /** Files hold exactly the events 0 … committedSeq; -1: none. */
  readonly committedSeq: number;
  /** The tail holds exactly the events committedSeq+1 … durableSeq; -1: the journal is empty. */
  readonly durableSeq: number;
  readonly files: readonly SegmentFile[];
  /** Events of the tail with fromSeq ≤ seq ≤ toSeq, ascending. */
  tailEvents(fromSeq?: number, toSeq?: number): Generator<JournalEvent>;
  /** The same, newest first. */
  tailEventsDescending(): Generator<JournalEvent>;
  /** Tail events that belong to the entity (any entity_type), ascending. */
  tailOfEntity(entityId: string): Generator<JournalEvent>;
  /**
   * The tail as local NDJSON files in the format of the write-ahead log (docs/format.md), holding events of this
   * workspace only. They may hold events outside the snapshot: readers filter by committedSeq < seq ≤ durableSeq.
   */
  tailFiles(): Promise<readonly string[]>;
  release(): void;
}

/** A snapshot as plain data, for another process. */
export type SnapshotFiles = {
  workspace: string;
  committedSeq: number;
  durableSeq: number;
  /** Parquet files, local paths, ascending by firstSeq. */
  segments: { path: string; rows: number; firstSeq: number; lastSeq: number }[];
  /** NDJSON files of the tail, local paths. */
  tail: string[];
};

export async function snapshotFiles(snapshot: Snapshot): Promise<SnapshotFiles> {
  return {
    workspace: snapshot.workspace,
    committedSeq: snapshot.committedSeq,
    durableSeq: snapshot.durableSeq,
    segments: snapshot.files.map((file) => ({
      path: file.localPath,
      rows: file.rows,
      firstSeq: file.firstSeq,
      lastSeq: file.lastSeq,
    })),
    tail: [...(await snapshot.tailFiles())],
  };
}
