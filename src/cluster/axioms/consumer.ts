import {
  AXIOMS,
  AXIOMS_HIGH,
  COMPLIANCE_GROUP,
  ensureGroup,
  NoGroupError,
  readNew,
  type Redis,
  type StreamEntry,
} from '../redis/index.ts';
import { Outage } from './outage.ts';
import { SignalDesk, type SignalDeskOptions } from './signal-desk.ts';
import { Backoff } from './try-again.ts';

/** Signals read at once from each stream: building their verdicts holds up the process for a few milliseconds. */
const READ_SIGNALS = 256;
/** Bytes that a read may bring of each stream, where signals are like those of the read before. */
const READ_BYTES = 16 * 1024 * 1024;
/** Signals on their way into the journal: while one group of them is published, the next one is made. */
const SETTLING_MAX = 4_000;
/** And bytes of them. */
const SETTLING_BYTES_MAX = 64 * 1024 * 1024;
const BLOCK_MS = 2_000;
/** With no room for flagged signals it is soon looked whether there is some. */
const BLOCK_WITHOUT_ROOM_MS = 50;

const STREAMS = [AXIOMS_HIGH, AXIOMS];

export type AxiomConsumerOptions = SignalDeskOptions & {
  /** For the reads alone, which wait; `stop` disconnects it. */
  blocking: Redis;
  /** How many entries to read at once, of at most so many. */
  readCount: (max: number) => number;
};

/**
 * Reads signals as one consumer of the group `compliance`, those over the threshold first, and sees to it that each gets
 * its verdict. What is not acknowledged when it stops, or dies, is left to the reclaimer, which counts how often it was
 * tried: whoever starts under the same name does not take it up, or a signal that ends its process would do so for ever.
 */
export class AxiomConsumer {
  readonly #options: AxiomConsumerOptions;
  readonly #abort = new AbortController();
  readonly #outage: Outage;
  readonly #desk: SignalDesk;
  readonly #backoff = new Backoff();
  readonly #work = new Set<Promise<void>>();
  #settling = 0;
  /** Of these, those of AXIOMS_HIGH: they are to be taken up where the flagged ones wait. */
  #settlingHigh = 0;
  #roomMade = Promise.withResolvers<void>();
  #settlingBytes = 0;
  /** Of a signal, in the last read that brought some. */
  #averageBytes = 0;
  /** Whether this process has seen the groups: where they are missing then, Redis has lost them. */
  #hasSeenGroups = false;
  #hasGroups = false;
  #isUnreadable = false;
  #loop: Promise<void> | undefined;

  constructor(options: AxiomConsumerOptions) {
    this.#options = options;
    this.#outage = new Outage(options.observer, this.#abort.signal);
    this.#desk = new SignalDesk(options, this.#outage, this.#abort.signal);
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Flagged signals that are taken up and not settled. */
  get waiting(): number {
    return this.#desk.waiting;
  }

  /**
   * Judges entries of a stream that this consumer was given in another way. Resolves once those below the threshold are
   * acknowledged, and the others are taken up. @throws where they have to be delivered again
   */
  handle(entries: readonly StreamEntry[], stream: string): Promise<void> {
    return this.#desk.handle(entries, stream);
  }

  /** Ends promptly. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#options.blocking.disconnect();
    this.#roomMade.resolve();
    await this.#loop;
    await Promise.all(this.#work);
    await this.#desk.close();
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        if (!this.#hasGroups) await this.#makeGroups();
        await this.#readOn();
        this.#readable();
      } catch (error) {
        if (error instanceof NoGroupError) this.#hasGroups = false;
        else await this.#unreadable(error);
      }
    }
  }

  #readable(): void {
    this.#backoff.reset();
    if (this.#isUnreadable) this.#outage.end();
    this.#isUnreadable = false;
  }

  async #unreadable(error: unknown): Promise<void> {
    const { signal } = this.#abort;
    if (signal.aborted) return;
    if (!this.#isUnreadable) this.#outage.begin(error);
    this.#isUnreadable = true;
    await this.#backoff.wait(signal).catch(() => {});
  }

  async #makeGroups(): Promise<void> {
    const { redis, observer } = this.#options;
    for (const stream of STREAMS) {
      const isNew = await ensureGroup(redis, stream, COMPLIANCE_GROUP);
      if (isNew) observer.groupMade?.(stream, this.#hasSeenGroups);
    }
    this.#hasSeenGroups = true;
    this.#hasGroups = true;
  }

  async #readOn(): Promise<void> {
    const { blocking: redis, consumer } = this.#options;
    const count = this.#count();
    const asked = { group: COMPLIANCE_GROUP, consumer, count };
    if (this.#hasRoom(count)) await this.#takeAll(await readNew(redis, { ...asked, streams: [AXIOMS_HIGH] }));
    const hasRoom = this.#hasRoom(count);
    const streams = hasRoom ? STREAMS : [AXIOMS];
    const blockMs = hasRoom ? BLOCK_MS : BLOCK_WITHOUT_ROOM_MS;
    await this.#takeAll(await readNew(redis, { ...asked, streams, blockMs }));
  }

  get #isFull(): boolean {
    return this.#settling > SETTLING_MAX || this.#settlingBytes > SETTLING_BYTES_MAX;
  }

  #hasRoom(count: number): boolean {
    return this.#desk.hasRoom(this.#settlingHigh + count);
  }

  #count(): number {
    const fitting = Math.floor(READ_BYTES / Math.max(this.#averageBytes, 1));
    return Math.max(1, Math.min(this.#options.readCount(READ_SIGNALS), fitting));
  }

  async #takeAll(found: ReadonlyMap<string, readonly StreamEntry[]>): Promise<void> {
    // In the order of STREAMS, whatever Redis answers in.
    for (const stream of STREAMS) await this.#take(found.get(stream) ?? [], stream);
  }

  /** Resolves once more may be read: while these are settled, the next ones are. */
  async #take(entries: readonly StreamEntry[], stream: string): Promise<void> {
    if (entries.length === 0) return;
    const bytes = bytesOf(entries);
    this.#averageBytes = bytes / entries.length;
    const high = stream === AXIOMS_HIGH ? entries.length : 0;
    this.#settling += entries.length;
    this.#settlingBytes += bytes;
    this.#settlingHigh += high;
    const work = this.handle(entries, stream)
      .catch((error: unknown) => {
        if (!this.#abort.signal.aborted) this.#options.observer.notHandled?.(stream, error);
      })
      .then(() => {
        this.#settling -= entries.length;
        this.#settlingBytes -= bytes;
        this.#settlingHigh -= high;
        this.#work.delete(work);
        this.#roomMade.resolve();
      });
    this.#work.add(work);
    while (this.#isFull && !this.#abort.signal.aborted) {
      this.#roomMade = Promise.withResolvers();
      await this.#roomMade.promise;
    }
  }
}

function bytesOf(entries: readonly StreamEntry[]): number {
  let bytes = 0;
  for (const { fields } of entries) for (const value of fields.values()) bytes += value.length;
  return bytes;
}
