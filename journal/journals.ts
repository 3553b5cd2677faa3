import type { SegmentCache } from './cache/index.ts';
import type { CompactionReport } from './compact/index.ts';
import type { DraftBatch } from './drafts/index.ts';
import type { Engine } from './duckdb/index.ts';
import { invalid } from './errors.ts';
import type { Ack, AppendResult, DraftEvent, JournalEvent } from './event.ts';
import { LIMITS } from './limits.ts';
import type { JournalRetention } from './journal-retention.ts';
import type { JournalStats } from './journal-stats.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * The journals as everybody uses them. Two adapters: `LocalJournals`, whose write-ahead log is a file of this process,
 * and the cluster's (src/cluster), which hands events to a Redis Stream and reads what workers have committed.
 */
export interface Journals {
  readonly engine: Engine;
  /** For files that may be lost; emptied at every start. */
  readonly tempDir: string;
  /** For what is derived from the journals and kept beside them. */
  readonly storage: { store: ObjectStore; cache: SegmentCache; clock: Clock; random: Random };
  readonly retention: JournalRetention;
  /** Appends that are answered before the events have a position; undefined where there is no queue. */
  readonly queue: JournalQueue | undefined;

  /**
   * Records the drafts, all or none, after everything recorded before. What the receipts say stands for ever: where
   * positions are given at the commit, `durable` waits for it, and the receipts say `committed`.
   * @throws not-found, conflict, busy or unavailable with retryAfterS, fenced; then nothing was recorded (after
   * `unavailable` from a disk or a network: perhaps, and sending the same again is safe).
   */
  append(
    workspace: string,
    drafts: readonly DraftEvent[] | DraftBatch,
    options: { ack: Exclude<Ack, 'queued'>; create: boolean },
  ): Promise<AppendResult>;
  /** Commits now what is durable: of one workspace's events the count, or of all. */
  flush(workspace?: string): Promise<{ events: number }>;
  /** Merges segments, deletes what is no longer read. @throws as JournalCompaction.compact does. */
  compact(workspace: string): Promise<CompactionReport>;

  /** @throws not-found for a workspace that holds nothing. */
  snapshot(workspace: string): Promise<Snapshot>;
  /**
   * Resolves once snapshots hold what `after` names: a seq, or the `position` of a queued append. Snapshots taken then hold
   * everything that was committed before the call, whatever it names.
   * @throws invalid where it names nothing; unavailable where it does not come within some seconds
   */
  reached(workspace: string, after: string): Promise<void>;
  /** The event of this id, if it is durable. */
  find(workspace: string, eventId: string): Promise<JournalEvent | undefined>;
  /** The durable events that have one of these ids, by id. Ids that are not there cost next to nothing. */
  findAll(workspace: string, eventIds: readonly string[]): Promise<Map<string, JournalEvent>>;
  has(workspace: string): boolean;
  /** Workspaces that hold events, ascending, without the service's own. */
  workspaces(): string[];
  stats(workspace: string): Promise<JournalStats>;
  /** The last position that a snapshot would hold; -1: empty, or not there. */
  durableSeq(workspace: string): number;

  /** Calls the listener after the last position moved; returns how to stop that. */
  subscribe(workspace: string, listener: () => void): () => void;
  /** Calls the listener after events of a workspace were committed; returns how to stop that. */
  onCommitted(listener: (workspace: string) => void): () => void;

  /** Bytes of the write-ahead log that are not sealed. */
  readonly walBytes: number;
  /** Of all journals: files that wait for compaction. */
  readonly mergeableFiles: number;
  /** Local copies of the store's segments. */
  readonly cacheBytes: number;
  /** Events of all journals that are durable and not committed. */
  readonly lagEvents: number;

  /** Reads the index of ids of every journal, so that the first append does not wait for it. */
  warm(): Promise<void>;
  close(): Promise<void>;
}

/** Drafts that a queue took: durable, and recorded later, by whoever writes the journal. */
export type Queued = {
  queued: number;
  /** `reached` takes it. */
  position: string;
  /** In the order of the request. */
  receipts: { event_id: string; ack: 'queued' }[];
};

/** Takes events before they have a position in their journal. */
export interface JournalQueue {
  /**
   * Resolves once the drafts are in the queue, all or none, behind what was queued before for the workspace. An id that
   * is taken by other content is found out later: the whole append then lies among the dead letters.
   * @throws busy or unavailable with retryAfterS: perhaps nothing was queued, and sending the same again is safe.
   */
  enqueue(workspace: string, drafts: readonly DraftEvent[] | DraftBatch): Promise<Queued>;
}

/** What names a position: a seq. @throws invalid */
export function seqOf(after: string): number {
  if (/^(?:0|[1-9]\d{0,15})$/.test(after) && Number(after) <= LIMITS.seqMax) return Number(after);
  throw invalid([
    { pointer: '/after', message: 'is a seq of the workspace, or the position of an append that was queued' },
  ]);
}
