import type { DraftBatch } from './drafts/index.ts';
import { assert, IndelibleError } from './errors.ts';
import {
  type DraftEvent,
  EVENT_COLUMNS,
  GENESIS,
  type JournalEvent,
  type JournalStart,
  type Receipt,
  ZERO_HASH,
} from './event.ts';
import { IdIndex } from './id-index.ts';
import { LIMITS } from './limits.ts';
import type { Random } from './ports.ts';
import type { RetiredEvent } from './retention/index.ts';
import type { SegmentFile } from './snapshot.ts';
import { Tail } from './tail.ts';
import type { DeltaTable } from './table/index.ts';
import { uuidV7 } from './uuid.ts';
import type { RecoveredLine, Wal } from './wal/index.ts';

/** The newest event of a chain: where the next one is linked. seq -1 with 64 zeros is the empty journal. */
export type Head = { seq: number; hash: string; recordedAt: string };
export const EMPTY_HEAD: Head = { seq: -1, hash: ZERO_HASH, recordedAt: '' };

/** Committed events that were looked at, by seq. */
export type KnownEvents = ReadonlyMap<number, JournalEvent | RetiredEvent>;

/** What an append will do, decided before anything is changed. */
export type AppendPlan = {
  /** For each draft: the event it repeats, the index of the draft before it that it repeats, or undefined: it is new. */
  repeats: (JournalEvent | number | undefined)[];
  /** Positions of committed events that must be looked at first. */
  missing: number[];
  /** Events that are new. */
  added: number;
};

/**
 * One workspace's journal in memory: its head, its index of ids, its durable tail, its committed files.
 * Only synchronous code changes it, so that a plan holds until the stage that follows it.
 */
export class Journal {
  readonly workspace: string;
  readonly ids: IdIndex;
  readonly #random: Random;
  readonly tail: Tail;
  /** The newest staged event. */
  head: Head;
  /** The newest event on disk. */
  durableHead: Head;
  /** The newest event in the store. */
  committedHead: Head;
  table: DeltaTable | undefined;
  files: readonly SegmentFile[];
  /** Where the files begin. */
  start: JournalStart;
  /** Lists of files that open snapshots read, with how many do. */
  readonly #pinned = new Map<readonly SegmentFile[], number>();
  /** Set once another writer was found at this journal: appends stop. */
  fenced: IndelibleError | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #commitWaiters: { seq: number; wake: PromiseWithResolvers<void> }[] = [];

  constructor(options: {
    workspace: string;
    random: Random;
    head: Head;
    table: DeltaTable | undefined;
    files: readonly SegmentFile[];
  }) {
    this.workspace = options.workspace;
    this.#random = options.random;
    this.ids = new IdIndex(options.random.bytes(8));
    this.tail = new Tail(options.head.seq + 1);
    this.head = options.head;
    this.durableHead = options.head;
    this.committedHead = options.head;
    this.table = options.table;
    this.files = options.files;
    this.start = options.table?.start ?? GENESIS;
  }

  /**
   * What is new and what repeats an event that is there. `known`: committed events already looked at, by seq.
   * @throws conflict where an id is taken by other content, or by an event that was removed.
   */
  plan(batch: DraftBatch, known: KnownEvents): AppendPlan {
    const plan: AppendPlan = { repeats: [], missing: [], added: 0 };
    const inBatch = new Map<string, number>();
    for (let i = 0; i < batch.length; i++) {
      const eventId = batch.eventId(i);
      // An id we make is new: nobody has to be asked.
      const repeated = eventId === null ? undefined : this.#repeated(eventId, known, plan.missing);
      const earlier = eventId === null ? undefined : inBatch.get(eventId);
      if (repeated && 'isRetired' in repeated) throw retired(i, batch.length, repeated);
      if (repeated) {
        if (!sameContent(batch.draft(i), repeated)) throw conflict(i, batch.length, eventId);
      } else if (earlier !== undefined) {
        if (!sameDraft(batch.draft(i), batch.draft(earlier))) throw conflict(i, batch.length, eventId);
      } else {
        if (eventId !== null) inBatch.set(eventId, i);
        plan.added += 1;
      }
      plan.repeats.push(repeated ?? earlier);
    }
    return plan;
  }

  #repeated(eventId: string, known: KnownEvents, missing: number[]) {
    for (const seq of this.ids.candidates(eventId)) {
      // Left behind by a write that failed: the position is free, or taken by another event.
      if (seq > this.head.seq) continue;
      const event = this.tail.event(seq) ?? known.get(seq);
      if (!event) missing.push(seq);
      else if (event.event_id === eventId) return event;
    }
    return undefined;
  }

  /** Gives the new events their positions, links them, and stages them in the write-ahead log. */
  stage(
    batch: DraftBatch,
    plan: AppendPlan,
    wal: Wal,
    now: { ms: number; text: string },
    ack: Receipt['ack'],
  ): Receipt[] {
    if (this.head.seq + plan.added > LIMITS.seqMax) {
      throw new IndelibleError('too-large', `a journal holds at most ${LIMITS.seqMax + 1} events`);
    }
    const recordedAt = laterOf(now.text, this.head.recordedAt);
    assert(recordedAt >= this.durableHead.recordedAt, 'I2: recorded_at never runs backwards');
    const receipts: Receipt[] = [];
    for (let i = 0; i < batch.length; i++) {
      const repeat = plan.repeats[i];
      if (repeat === undefined) {
        receipts.push(this.#stageOne(batch, i, wal, now.ms, recordedAt, ack));
      } else if (typeof repeat === 'number') {
        receipts.push(receipts[repeat] as Receipt);
      } else {
        const { event_id, seq, event_hash, recorded_at } = repeat;
        receipts.push({ event_id, seq, event_hash, recorded_at, ack });
      }
    }
    return receipts;
  }

  #stageOne(
    batch: DraftBatch,
    index: number,
    wal: Wal,
    nowMs: number,
    recordedAt: string,
    ack: Receipt['ack'],
  ): Receipt {
    const seq = this.head.seq + 1;
    const eventId = batch.eventId(index) ?? uuidV7(this.#random, nowMs);
    const assigned = { seq, eventId, recordedAt, workspace: this.workspace, prevHash: this.head.hash };
    const line = wal.stage(this.workspace, seq, batch.canonical(index, assigned));
    this.tail.push(seq, line, batch.entityId(index));
    this.ids.add(eventId, seq);
    this.head = { seq, hash: line.eventHash, recordedAt };
    return { event_id: eventId, seq, event_hash: line.eventHash, recorded_at: recordedAt, ack };
  }

  /** Takes an event that an earlier process made durable. Its hash was checked; here its place in the chain is. */
  recover(line: RecoveredLine): void {
    if (line.seq !== this.head.seq + 1 || line.prevHash !== this.head.hash) {
      throw new IndelibleError(
        line.seq === this.head.seq + 1 ? 'fenced' : 'corrupt',
        `${this.workspace}: the write-ahead log continues at seq ${line.seq} after ${line.prevHash.slice(0, 12)}…, ` +
          `the journal ends at seq ${this.head.seq} with ${this.head.hash.slice(0, 12)}…: another writer used this store, ` +
          'or a file is missing. Nothing was changed',
      );
    }
    this.tail.push(line.seq, line, line.entityId);
    this.ids.add(line.eventId, line.seq);
    this.head = { seq: line.seq, hash: line.eventHash, recordedAt: line.recordedAt };
    this.durableHead = this.head;
  }

  becameDurable(seq: number): void {
    // Positions staged since are not part of this group: the head of the group is looked up, not the newest.
    const event = seq === this.head.seq ? this.head : headOf(this.tail.event(seq));
    assert(event, 'a durable event is in the tail');
    this.durableHead = event;
    for (const listener of this.#listeners) callSafely(listener);
  }

  rollBack(): void {
    this.tail.rollBackTo(this.durableHead.seq + 1);
    this.head = this.durableHead;
  }

  becameCommitted(head: Head, files: readonly SegmentFile[]): void {
    assert(this.#isWhole(head, files), `I1: the files hold every event up to seq ${head.seq}`);
    this.committedHead = head;
    this.#setFiles(files);
    this.tail.dropThrough(head.seq);
    for (const waiter of this.#commitWaiters.filter(({ seq }) => seq <= head.seq)) waiter.wake.resolve();
    this.#keepWaiters((seq) => seq > head.seq);
  }

  /**
   * Takes what another writer committed; this process stages nothing here. False: the files are of another moment than
   * the head, and the next look will tell.
   */
  follow(head: Head, files: readonly SegmentFile[]): boolean {
    assert(this.head === this.committedHead, 'what is followed is not written');
    if (head.seq <= this.head.seq || !this.#isWhole(head, files)) return false;
    this.head = head;
    this.durableHead = head;
    this.committedHead = head;
    this.#setFiles(files);
    for (const listener of this.#listeners) callSafely(listener);
    return true;
  }

  /**
   * The table's files now: the same events in others, or no longer the oldest. Where a commit has brought more, the
   * sealer is about to tell.
   */
  replaceFiles(files: readonly SegmentFile[]): void {
    if (this.#isWhole(this.committedHead, files)) this.#setFiles(files);
  }

  #isWhole(head: Head, files: readonly SegmentFile[]): boolean {
    const rows = files.reduce((sum, file) => sum + file.rows, 0);
    return rows === head.seq + 1 - (this.table?.start ?? GENESIS).firstSeq;
  }

  #setFiles(files: readonly SegmentFile[]): void {
    this.files = files;
    this.start = this.table?.start ?? GENESIS;
  }

  /** A snapshot reads these files until `unpin`. */
  pin(files: readonly SegmentFile[]): void {
    this.#pinned.set(files, (this.#pinned.get(files) ?? 0) + 1);
  }

  unpin(files: readonly SegmentFile[]): void {
    const snapshots = this.#pinned.get(files) ?? 0;
    assert(snapshots > 0, 'files that a snapshot reads are pinned');
    if (snapshots === 1) this.#pinned.delete(files);
    else this.#pinned.set(files, snapshots - 1);
  }

  /** Whether the object is part of the journal, or of a snapshot that is open: such a one is not deleted. */
  inUse(key: string): boolean {
    return [this.files, ...this.#pinned.keys()].some((files) => files.some((file) => file.key === key));
  }

  fence(error: IndelibleError): void {
    this.fenced = error;
    for (const waiter of this.#commitWaiters) waiter.wake.reject(error);
    this.#keepWaiters(() => false);
  }

  /** Resolves once the event is in the store. */
  committed(seq: number): Promise<void> {
    if (this.fenced) return Promise.reject(this.fenced);
    if (seq <= this.committedHead.seq) return Promise.resolve();
    const wake = Promise.withResolvers<void>();
    this.#commitWaiters.push({ seq, wake });
    return wake.promise;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #keepWaiters(keep: (seq: number) => boolean): void {
    const kept = this.#commitWaiters.filter(({ seq }) => keep(seq));
    this.#commitWaiters.splice(0, this.#commitWaiters.length, ...kept);
  }
}

/** Times in canonical form sort as text. */
function laterOf(a: string, b: string): string {
  return a < b ? b : a;
}

/** What goes wrong with a reader that was waiting must not stop the log. */
function callSafely(listener: () => void): void {
  try {
    listener();
  } catch {
    // The reader finds out by itself: it hears of no event.
  }
}

function headOf(event: JournalEvent | undefined): Head | undefined {
  return event && { seq: event.seq, hash: event.event_hash, recordedAt: event.recorded_at };
}

/** What the caller says of an event, its id and time aside: those are compared in their own way. */
type ContentField = Exclude<keyof DraftEvent, 'event_id' | 'occurred_at'>;
const NOT_CONTENT = new Set<string>(['seq', 'event_id', 'occurred_at', 'recorded_at', 'workspace_id', 'event_hash']);
const CONTENT_FIELDS = EVENT_COLUMNS.filter((name): name is ContentField => !NOT_CONTENT.has(name));

/** Whether the draft says what the recorded event says. A draft without a time repeats one that was given its own. */
function sameContent(draft: DraftEvent, event: JournalEvent): boolean {
  if (draft.occurred_at === null ? event.occurred_at !== event.recorded_at : draft.occurred_at !== event.occurred_at)
    return false;
  return CONTENT_FIELDS.every((name) => draft[name] === event[name]);
}

function sameDraft(a: DraftEvent, b: DraftEvent): boolean {
  return a.occurred_at === b.occurred_at && CONTENT_FIELDS.every((name) => a[name] === b[name]);
}

function conflict(index: number, count: number, eventId: string | null): IndelibleError {
  return idTaken(index, count, `'${eventId}' is taken by an event with other content: send this one under another id`);
}

function retired(index: number, count: number, { event_id, seq }: RetiredEvent): IndelibleError {
  const message = `'${event_id}' was recorded as seq ${seq} and removed by retention: an id is never used again`;
  return idTaken(index, count, message);
}

function idTaken(index: number, count: number, message: string): IndelibleError {
  const pointer = count === 1 ? '/event_id' : `/${index}/event_id`;
  return new IndelibleError('conflict', `event_id ${message}`, { errors: [{ pointer, message }] });
}
