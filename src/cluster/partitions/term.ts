import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AppendResult,
  type DraftBatch,
  type DraftEvent,
  IndelibleError,
  type Placed,
  type TermWriter,
  ZERO_HASH,
} from '../../../journal/index.ts';
import {
  ack,
  advanceCommitted,
  entryParts,
  type JournalEntry,
  JOURNAL_GROUP,
  journalStream,
  Malformed,
  type Redis,
  sendReply,
} from '../redis/index.ts';
import { draftsOf } from './entry-drafts.ts';
import { type Delivered, EntryReader, type ReaderObserver } from './entry-reader.ts';
import { type Done, InFlight } from './in-flight.ts';
import { Patience } from './patience.ts';
import { doneText, refusedText } from './reply-text.ts';
import { Suspects } from './suspects.ts';

/** Entries of one XACK: about as many ids. */
const ACK_ENTRIES = 1_000;
/** How long a term that ends in peace waits for its last commits. */
const DRAIN_MS = 20_000;
const LOOK_MS = 100;

/** An entry that is set aside, with what is needed to add it again. */
export type JournalLetter = {
  stream: string;
  id: string;
  workspace: string | undefined;
  kind: 'malformed' | 'poison' | 'conflict' | 'refused';
  reason: string;
  deliveries: number;
  fields: Readonly<Record<string, string | Buffer>>;
};

export type TermObserver = ReaderObserver & {
  /** Redis or the store does not answer; told once until it does again. */
  waiting?(partition: number, error: unknown): void;
  recorded?(events: number, queuedMs: number): void;
};

export type TermOptions = {
  partition: number;
  /** Whether there were terms of this partition before. */
  wasWritten: boolean;
  /** Whether the workspace's journal is one of this partition. */
  owns(workspace: string): boolean;
  /** Whether the lease is still held, by the own clock. */
  holds(): boolean;
  commands: Redis;
  /** A connection of its own: it blocks. */
  openReader(): Redis;
  /** The writer of this term's token. */
  openWriter(told: {
    onCommitted(workspaces: readonly string[]): void;
    failed(error: unknown): void;
  }): Promise<TermWriter>;
  readCount(max: number): number;
  deadLetter(letter: JournalLetter): Promise<void>;
  nowMs(): number;
  observer: TermObserver;
  onCommitted(workspaces: readonly string[]): void;
  /** The term cannot go on: its lease is to be given up. */
  onFailed(error: unknown): void;
};

/**
 * Writes the journals of one partition for as long as a lease lasts. The stream is their write-ahead log: an entry is
 * acknowledged when its events are committed, and what is not is delivered again, to this term or the next.
 */
export class PartitionTerm {
  readonly #options: TermOptions;
  readonly #stream: string;
  readonly #connection: Redis;
  readonly #reader: EntryReader;
  readonly #stopping = new AbortController();
  readonly #patience: Patience;
  readonly #flying = new InFlight();
  readonly #suspects: Suspects;
  #writer: TermWriter | undefined;
  #running: Promise<void> | undefined;
  #acknowledging: Promise<void> = Promise.resolve();
  #hasFailed = false;
  #settled = Promise.withResolvers<void>();

  constructor(options: TermOptions) {
    const { partition, observer, commands } = options;
    const stopping = this.#stopping.signal;
    this.#options = options;
    this.#stream = journalStream(partition);
    this.#connection = options.openReader();
    this.#patience = new Patience(stopping, (error) => observer.waiting?.(partition, error));
    this.#suspects = new Suspects(commands, partition);
    this.#reader = new EntryReader({
      ...options,
      ...{ reader: this.#connection, patience: this.#patience, stopping },
      isTaken: (id) => this.#flying.has(id),
    });
  }

  start(): void {
    this.#running = this.#run().catch((error: unknown) => this.#fail(error));
  }

  /** Reads nothing more, commits what was read, acknowledges it. What is not done by then is left to the next term. */
  async drain(): Promise<void> {
    if (this.#hasFailed) return this.abandon();
    this.#stop();
    await this.#running;
    const deadlineMs = performance.now() + DRAIN_MS;
    while (this.#flying.size > 0 && performance.now() < deadlineMs && this.#options.holds()) {
      this.#writer?.commitSoon();
      await Promise.race([this.#settled.promise, sleep(LOOK_MS)]);
    }
    await Promise.race([
      this.#acknowledging,
      sleep(Math.max(deadlineMs - performance.now(), 0), undefined, { ref: false }),
    ]);
    await this.#writer?.close();
  }

  /** The lease is lost: nothing is done any more, and what is under way is fenced by the table logs. */
  async abandon(): Promise<void> {
    this.#stop();
    void this.#running?.then(() => this.#writer?.close()).catch(() => {});
  }

  #fail(error: unknown): void {
    if (this.#isStopping) return;
    this.#hasFailed = true;
    // What comes after what failed must not be recorded before it.
    this.#stop();
    this.#options.onFailed(error);
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  #stop(): void {
    this.#stopping.abort();
    this.#connection.disconnect();
  }

  async #run(): Promise<void> {
    this.#writer = await this.#options.openWriter({
      onCommitted: (workspaces) => {
        this.#settle();
        this.#options.onCommitted(workspaces);
      },
      failed: (error) => {
        if (isLasting(error)) this.#fail(error);
      },
    });
    while (!this.#isStopping) {
      for (const delivered of await this.#reader.next()) {
        if (this.#isStopping) break;
        await this.#take(delivered);
      }
      await this.#patience.insistToTheLast(() => this.#suspects.flush());
    }
  }

  async #take({ taken, parts, delivered }: Delivered): Promise<void> {
    // Whoever slept through the lease says nothing to anybody: it is over in a moment.
    if (!this.#options.holds()) return this.#stop();
    if (taken.kind === 'whole') {
      if (this.#suspects.isSuspect(delivered)) await this.#try(taken.entry, taken.ids, delivered);
      else await this.#place(taken.entry, taken.ids, delivered);
      return;
    }
    for (const { id, fields } of parts) {
      const letter = { stream: this.#stream, id, workspace: undefined, kind: 'malformed' as const };
      const more = { reason: taken.reason, deliveries: delivered, fields: Object.fromEntries(fields) };
      await this.#patience.insist(() => this.#options.deadLetter({ ...letter, ...more }));
    }
    this.#passOver(taken.ids);
  }

  /**
   * Counted from before it is looked at until it has its place: a process that dies of it dies then. What takes time, and
   * in which processes die of other things, is done before: it is not the entry's.
   */
  async #try(entry: JournalEntry, ids: readonly string[], delivered: number): Promise<void> {
    const last = ids.at(-1) as string;
    if (this.#options.owns(entry.workspace)) await this.#patience.insist(() => this.#ready(entry.workspace));
    const tries = await this.#patience.insist(() => this.#suspects.begin(last));
    if (this.#suspects.isPoison(tries)) {
      const reason = `${tries - 1} processes ended while they had it`;
      await this.#setAside(entry, ids, { kind: 'poison', reason, delivered });
    } else {
      await this.#place(entry, ids, delivered).catch(async (error: unknown) => {
        // That the term is over says nothing of the entry.
        this.#suspects.end(last);
        await this.#suspects.flush().catch(() => {});
        throw error;
      });
    }
    this.#suspects.end(last);
  }

  /** Opens the journal. What is wrong with it is told when something is placed. @throws unavailable */
  async #ready(workspace: string): Promise<void> {
    try {
      await this.#writer?.ready(workspace);
    } catch (error) {
      if (error instanceof IndelibleError && error.kind === 'unavailable') throw error;
    }
  }

  async #place(entry: JournalEntry, ids: readonly string[], delivered: number): Promise<void> {
    let drafts: readonly DraftEvent[] | DraftBatch;
    try {
      drafts = draftsOf(entry);
      if (drafts.length === 0) return this.#passOver(ids, entry);
      if (!this.#options.owns(entry.workspace)) throw new Malformed('the workspace is one of another partition');
    } catch (error) {
      if (!(error instanceof Malformed) && !(error instanceof IndelibleError)) throw error;
      return this.#refuse(entry, ids, { error, kind: 'malformed', delivered });
    }
    while (!this.#isStopping) {
      try {
        const placed = await this.#placeDrafts(entry, drafts);
        this.#patience.calm();
        return this.#fly(entry, ids, placed);
      } catch (error) {
        if (!(error instanceof IndelibleError) || error.kind === 'fenced') throw error;
        if (error.kind === 'conflict') return this.#refuse(entry, ids, { error, kind: 'conflict', delivered });
        if (error.kind !== 'unavailable') return this.#refuse(entry, ids, { error, kind: 'refused', delivered });
        // The store is away, or does not keep up: what was acknowledged waits, and what comes after it too.
        await this.#patience.pause(error);
      }
    }
  }

  /** Without the events whose ids are taken, where the entry says so. */
  async #placeDrafts(entry: JournalEntry, drafts: readonly DraftEvent[] | DraftBatch): Promise<Placed> {
    const writer = this.#writer as TermWriter;
    const how = { ack: 'committed', create: true } as const;
    if (entry.onTaken === 'refuse') return writer.place(entry.workspace, drafts, how);
    for (let left = listOf(drafts); ; ) {
      try {
        return await writer.place(entry.workspace, left, how);
      } catch (error) {
        const index = takenIndex(error, left.length);
        if (index === undefined) throw error;
        left = left.toSpliced(index, 1);
      }
    }
  }

  #fly(entry: JournalEntry, ids: readonly string[], { result, lastSeq, written }: Placed): void {
    const { workspace, reply, acceptedMs } = entry;
    // The lines could not be written: what was placed on them is placed anew by the next term.
    written.catch((error: unknown) => this.#fail(error));
    const told = reply && (() => ({ ...reply, text: doneText(result) }));
    this.#flying.add({ ids, workspace, lastSeq, told });
    this.#options.observer.recorded?.(result.count, this.#options.nowMs() - acceptedMs);
    if (reply) this.#writer?.commitSoon();
    // A repeated entry may have been committed long ago.
    if (result.count === 0) this.#settle();
  }

  #settle(): void {
    const writer = this.#writer;
    if (!writer) return;
    const done = this.#flying.settle((workspace) => writer.committedSeq(workspace));
    if (done.entries.length === 0) return;
    this.#settled.resolve();
    this.#settled = Promise.withResolvers<void>();
    this.#acknowledging = this.#acknowledging.then(() => this.#acknowledge(done)).catch(() => {});
  }

  async #acknowledge({ entries, replies, throughId }: Done): Promise<void> {
    const { commands, partition } = this.#options;
    // Those who wait are told first: an entry that is delivered again is answered again.
    await this.#patience.insistToTheLast(() => Promise.all(replies.map((reply) => sendReply(commands, reply))));
    if (throughId !== undefined)
      await this.#patience.insistToTheLast(() => advanceCommitted(commands, partition, throughId));
    for (const ids of inPages(entries)) {
      await this.#patience.insistToTheLast(() => ack(commands, this.#stream, JOURNAL_GROUP, ids));
      this.#flying.acknowledged(ids);
    }
  }

  /** Whoever waits is told; where nobody does, the entry lies among the dead letters. */
  async #refuse(
    entry: JournalEntry,
    ids: readonly string[],
    { error, kind, delivered }: { error: Error; kind: 'malformed' | 'conflict' | 'refused'; delivered: number },
  ): Promise<void> {
    const { reply } = entry;
    if (!reply) return this.#setAside(entry, ids, { kind, reason: error.message, delivered });
    await this.#patience.insist(() => sendReply(this.#options.commands, { ...reply, text: refusedText(error) }));
    this.#passOver(ids);
  }

  async #setAside(
    entry: JournalEntry,
    ids: readonly string[],
    { kind, reason, delivered }: { kind: JournalLetter['kind']; reason: string; delivered: number },
  ): Promise<void> {
    const [fields = {}] = entryParts(entry, Number.POSITIVE_INFINITY);
    const { workspace } = entry;
    const letter = { stream: this.#stream, id: ids.at(-1) as string, workspace, kind, reason, fields };
    await this.#patience.insist(() => this.#options.deadLetter({ ...letter, deliveries: delivered }));
    this.#passOver(ids);
  }

  /** Done with, once everything before it is. */
  #passOver(ids: readonly string[], { reply }: Partial<Pick<JournalEntry, 'reply'>> = {}): void {
    const told = reply && (() => ({ ...reply, text: doneText(NOTHING) }));
    this.#flying.add({ ids, workspace: '', lastSeq: -1, told });
    if (reply) this.#writer?.commitSoon();
    this.#settle();
  }
}

const NOTHING: AppendResult = {
  count: 0,
  duplicates: 0,
  first_seq: null,
  last_seq: null,
  head_hash: ZERO_HASH,
  receipts: [],
};

/** Parts of one entry are acknowledged together: without the others they would be taken for malformed. */
function inPages(entries: Done['entries']): string[][] {
  const count = Math.ceil(entries.length / ACK_ENTRIES);
  return Array.from({ length: count }, (_, page) => entries.slice(page * ACK_ENTRIES, (page + 1) * ACK_ENTRIES).flat());
}

/** Whether sealing it again would fail again: the next term finds out what of it can be recorded. */
function isLasting(error: unknown): boolean {
  return error instanceof IndelibleError && (error.kind === 'fenced' || error.kind === 'corrupt');
}

function listOf(drafts: readonly DraftEvent[] | DraftBatch): readonly DraftEvent[] {
  return 'draft' in drafts ? Array.from({ length: drafts.length }, (_, index) => drafts.draft(index)) : drafts;
}

/** Of which draft a conflict tells. */
function takenIndex(error: unknown, count: number): number | undefined {
  if (!(error instanceof IndelibleError) || error.kind !== 'conflict') return undefined;
  const pointer = error.errors[0]?.pointer ?? '';
  if (count === 1) return 0;
  const index = /^\/(\d+)\//.exec(pointer)?.[1];
  return index === undefined ? undefined : Number(index);
}
