import { setTimeout as sleep } from 'node:timers/promises';
import { IndelibleError } from '../../../journal/index.ts';
import {
  ack,
  compareIds,
  deliveries,
  EntryAssembler,
  ensureGroup,
  hasPending,
  JOURNAL_CONSUMER,
  JOURNAL_GROUP,
  journalStream,
  NoGroupError,
  type Redis,
  readNew,
  readPending,
  type StreamEntry,
  type Taken,
} from '../redis/index.ts';
import type { Patience } from './patience.ts';

const BLOCK_MS = 2_000;
/** Entries read at once: each holds at most 256 KiB. */
const READ_ENTRIES = 256;
/** Entries come one by one, and to ask for each costs more than to record it: a few are waited for. */
const GATHER_MS = 20;

export type ReaderObserver = {
  /** The group was there before and is gone: Redis lost what it held. */
  groupMade?(partition: number): void;
  /** Redis says that entries which were delivered are not there any more. */
  entriesLost?(partition: number, ids: readonly string[]): void;
};

/** What is complete now, with the stream entries it came in and how often those were delivered. */
export type Delivered = { taken: Taken; parts: readonly StreamEntry[]; delivered: number };

export type EntryReaderOptions = {
  partition: number;
  /** Whether there were terms of this partition before. */
  wasWritten: boolean;
  commands: Redis;
  /** A connection of its own: it blocks. */
  reader: Redis;
  readCount(max: number): number;
  /** Whether an entry was read before and is being worked on. */
  isTaken(id: string): boolean;
  patience: Patience;
  stopping: AbortSignal;
  observer: ReaderObserver;
};

/**
 * Reads the entries of a partition in their order: first what an earlier term was given and did not finish, then what is
 * new. After a read that failed it begins with what is pending again, since Redis may have answered it; and also where
 * something was delivered that did not arrive here: a connection of ours that Redis still took for open, or a writer
 * that is late and does not know it, was given it.
 */
export class EntryReader {
  readonly #options: EntryReaderOptions;
  readonly #stream: string;
  #assembler = new EntryAssembler();
  /** Entries whose rest has not come, by id. */
  readonly #parts = new Map<string, StreamEntry>();
  /** Whether there was a group, in this term or one before. */
  #wasThere: boolean;
  /** The last entry that was read: what was delivered behind it and is not here has gone astray. */
  #lastId: string | undefined;
  /** The last read brought some, and not as many as there can be. */
  #isFlowing = false;
  /** Where to go on in what is pending; undefined: it was all read. */
  #pendingAfter: string | undefined = '0';

  constructor(options: EntryReaderOptions) {
    this.#options = options;
    this.#wasThere = options.wasWritten;
    this.#stream = journalStream(options.partition);
  }

  /** What came, perhaps nothing. Waits while Redis is away. */
  async next(): Promise<Delivered[]> {
    const { patience, stopping } = this.#options;
    try {
      const delivered = this.#pendingAfter === undefined ? await this.#new() : await this.#pending(this.#pendingAfter);
      patience.calm();
      this.#wasThere = true;
      return delivered;
    } catch (error) {
      if (stopping.aborted) return [];
      if (!(error instanceof IndelibleError) || error.kind !== 'unavailable') throw error;
      this.#pendingAfter = '0';
      if (error instanceof NoGroupError) await this.#makeGroup();
      else await patience.pause(error);
      return [];
    }
  }

  async #makeGroup(): Promise<void> {
    const { commands, partition, patience, observer } = this.#options;
    try {
      if (!(await ensureGroup(commands, this.#stream, JOURNAL_GROUP))) return;
      this.#lastId = undefined;
      // Of a partition that nobody wrote before nothing can be lost.
      if (this.#wasThere) observer.groupMade?.(partition);
      this.#wasThere = true;
    } catch (error) {
      await patience.pause(error);
    }
  }

  async #new(): Promise<Delivered[]> {
    const { reader, commands, readCount, stopping } = this.#options;
    const stream = this.#stream;
    const consumer = { group: JOURNAL_GROUP, consumer: JOURNAL_CONSUMER };
    const wanted = { streams: [stream], count: readCount(READ_ENTRIES), blockMs: BLOCK_MS };
    if (this.#isFlowing) await sleep(GATHER_MS, undefined, { signal: stopping });
    const entries = (await readNew(reader, { ...consumer, ...wanted })).get(stream) ?? [];
    this.#isFlowing = entries.length > 0 && entries.length < wanted.count;
    const between = { afterId: this.#lastId, beforeId: entries[0]?.id };
    if (await hasPending(commands, { stream, ...consumer, ...between })) {
      // In their order: what was read now is pending too.
      this.#pendingAfter = '0';
      return [];
    }
    this.#lastId = entries.at(-1)?.id ?? this.#lastId;
    return this.#assembled(entries, new Map());
  }

  async #pending(afterId: string): Promise<Delivered[]> {
    const { commands, partition, readCount, observer } = this.#options;
    const stream = this.#stream;
    if (afterId === '0') {
      this.#assembler = new EntryAssembler();
      this.#parts.clear();
    }
    const wanted = { stream, group: JOURNAL_GROUP, consumer: JOURNAL_CONSUMER, count: readCount(READ_ENTRIES) };
    const page = await readPending(commands, { ...wanted, afterId });
    if (page.deleted.length > 0) {
      observer.entriesLost?.(partition, page.deleted);
      await ack(commands, stream, JOURNAL_GROUP, page.deleted);
    }
    const entries = page.entries.filter(({ id }) => !this.#options.isTaken(id));
    const ids = entries.map(({ id }) => id);
    const counts = ids.length === 0 ? new Map() : await deliveries(commands, stream, JOURNAL_GROUP, ids);
    this.#pendingAfter = page.lastId === afterId ? undefined : page.lastId;
    if (this.#lastId === undefined || compareIds(page.lastId, this.#lastId) > 0) this.#lastId = page.lastId;
    return this.#assembled(entries, counts);
  }

  #assembled(entries: readonly StreamEntry[], counts: ReadonlyMap<string, number>): Delivered[] {
    const all: Delivered[] = [];
    for (const entry of entries) {
      this.#parts.set(entry.id, entry);
      for (const taken of this.#assembler.take(entry)) {
        const parts = taken.ids.map((id) => this.#parts.get(id) as StreamEntry);
        for (const id of taken.ids) this.#parts.delete(id);
        all.push({ taken, parts, delivered: Math.max(1, ...taken.ids.map((id) => counts.get(id) ?? 1)) });
      }
    }
    return all;
  }
}
