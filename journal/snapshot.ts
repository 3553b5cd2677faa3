import type { FileHolder, HeldFiles } from './cache/index.ts';
import type { JournalEvent, JournalStart } from './event.ts';

/** A committed Parquet segment as the table log describes it. Ranges are inclusive; strings may be prefixes. */
export type SegmentFile = {
  /** As the table log names it, below the journal's prefix: `data/ab/<uuid>.parquet`. */
  path: string;
  /** Object key in the store. */
  key: string;
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
 * the same answer. Until `release()`, which is called exactly once, none of its files is deleted from the store.
 */
export interface Snapshot extends FileHolder {
  readonly workspace: string;
  readonly start: JournalStart;
  /** Files hold exactly the events start.firstSeq … committedSeq; -1: none. */
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
  /** Tail events of one entity type with a seq of at least `fromSeq`, ascending. */
  tailOfType(entityType: string, fromSeq: number): Generator<JournalEvent>;
  /**
   * The tail as local NDJSON files in the format of the write-ahead log (docs/format.md), holding events of this
   * workspace only. They may hold events outside the snapshot: readers filter by committedSeq < seq ≤ durableSeq.
   */
  tailFiles(): Promise<readonly string[]>;
  /** Some of its files as local ones, until they are let go of or the snapshot is. */
  hold(files: readonly SegmentFile[]): Promise<HeldFiles>;
  release(): void;
}

/** A snapshot as plain data, for another process; good until the snapshot is released. */
export type SnapshotFiles = {
  workspace: string;
  start: JournalStart;
  committedSeq: number;
  durableSeq: number;
  /** Parquet files, local paths, ascending by firstSeq. */
  segments: { path: string; rows: number; firstSeq: number; lastSeq: number }[];
  /** NDJSON files of the tail, local paths. */
  tail: string[];
};

export async function snapshotFiles(snapshot: Snapshot): Promise<SnapshotFiles> {
  const { paths } = await snapshot.hold(snapshot.files);
  return {
    workspace: snapshot.workspace,
    start: snapshot.start,
    committedSeq: snapshot.committedSeq,
    durableSeq: snapshot.durableSeq,
    segments: snapshot.files.map((file, index) => ({
      path: paths[index] as string,
      rows: file.rows,
      firstSeq: file.firstSeq,
      lastSeq: file.lastSeq,
    })),
    tail: [...(await snapshot.tailFiles())],
  };
}
