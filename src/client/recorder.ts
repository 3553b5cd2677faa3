import { abortedError, IndelibleClientError } from './errors.ts';
import type { Timer } from './timer.ts';

export type RecorderOptions = {
  /** Events and bytes of one request. */
  maxBatchEvents: number;
  maxBatchBytes: number;
  /** How long the first event of a batch waits for others. */
  maxDelayMs: number;
  /** Events taken and not yet answered. */
  maxBufferedEvents: number;
  /** Beyond maxBufferedEvents record() waits for room, or fails. */
  overflow: 'wait' | 'reject';
  timer: Timer;
};

/** One event on its way: its JSON, made when it was taken, so that later changes of the object do no harm. */
export type PendingEvent<R> = {
  line: string;
  bytes: number;
  resolve(receipt: R): void;
  reject(error: unknown): void;
};

type Waiting<R> = {
  line: string;
  signal: AbortSignal | undefined;
  resolve(receipt: R): void;
  reject(error: unknown): void;
};

/** Sends a batch and settles each of its events; it never throws. */
export type SendBatch<R> = (batch: readonly PendingEvent<R>[]) => Promise<void>;

/**
 * Collects single events into batches. One batch is on its way at a time, so events are recorded in the order in which
 * they were taken. `R` is what an event gets: its receipt.
 */
export class Recorder<R> {
  readonly #options: RecorderOptions;
  readonly #send: SendBatch<R>;
  #queue: PendingEvent<R>[] = [];
  #queuedBytes = 0;
  /** Taken and not settled: queued or on their way. */
  #buffered = 0;
  /** Callers for whom there was no room yet, in their order. */
  readonly #waiting: Waiting<R>[] = [];
  readonly #unsettled = new Set<Promise<R>>();
  #cancelLinger: (() => void) | undefined;
  #sending = false;
  /** Events that a flush wants out before lingering is allowed again. */
  #urgent = 0;
  #closed = false;

  constructor(options: RecorderOptions, send: SendBatch<R>) {
    this.#options = options;
    this.#send = send;
  }

  /** Events taken and not yet answered. */
  get buffered(): number {
    return this.#buffered;
  }

  /**
   * Resolves with the receipt once the service took the event.
   * An abort takes the event back only while it is not on its way; afterwards it may be recorded all the same.
   * @throws IndelibleClientError any kind
   */
  async record(line: string, signal?: AbortSignal): Promise<R> {
    if (this.#closed) throw new IndelibleClientError('closed', 'the client is closed');
    if (signal?.aborted) throw abortedError(signal);
    const hasRoom = this.#buffered < this.#options.maxBufferedEvents && this.#waiting.length === 0;
    if (!hasRoom && this.#options.overflow === 'reject') {
      throw new IndelibleClientError('buffer-full', `${this.#buffered} events are waiting: slow down`);
    }
    const settled = new Promise<R>((resolve, reject) => {
      if (hasRoom) this.#take({ line, signal, resolve, reject });
      else this.#wait({ line, signal, resolve, reject });
    });
    this.#unsettled.add(settled);
    try {
      return await settled;
    } finally {
      this.#unsettled.delete(settled);
    }
  }

  /** Sends what was taken so far; resolves when each of those events has its receipt or its error. */
  async flush(): Promise<void> {
    this.#urgent = this.#queue.length + this.#waiting.length;
    this.#sendSoon();
    await Promise.allSettled([...this.#unsettled]);
  }

  /** No more events; then a flush. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  #take({ line, signal, resolve, reject }: Waiting<R>): void {
    this.#buffered += 1;
    const settle = () => {
      signal?.removeEventListener('abort', onAbort);
      this.#buffered -= 1;
      this.#giveRoom();
    };
    const pending: PendingEvent<R> = {
      line,
      bytes: encoder.encode(line).length + 1,
      resolve: (receipt) => {
        settle();
        resolve(receipt);
      },
      reject: (error) => {
        settle();
        reject(error);
      },
    };
    const onAbort = () => {
      const error = abortedError(signal);
      const index = this.#queue.indexOf(pending);
      if (index === -1) {
        reject(error);
        return;
      }
      this.#queue.splice(index, 1);
      this.#queuedBytes -= pending.bytes;
      pending.reject(error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#queue.push(pending);
    this.#queuedBytes += pending.bytes;
    this.#sendSoon();
  }

  #wait({ line, signal, resolve, reject }: Waiting<R>): void {
    const waiting: Waiting<R> = { line, signal, resolve, reject };
    signal?.addEventListener(
      'abort',
      () => {
        const index = this.#waiting.indexOf(waiting);
        if (index === -1) return;
        this.#waiting.splice(index, 1);
        reject(abortedError(signal));
      },
      { once: true },
    );
    this.#waiting.push(waiting);
  }

  /** The freed place goes to the longest waiting caller, before any newcomer. */
  #giveRoom(): void {
    const next = this.#waiting.shift();
    if (next) this.#take(next);
  }

  #sendSoon(): void {
    if (this.#sending || this.#queue.length === 0) return;
    const full =
      this.#queue.length >= this.#options.maxBatchEvents ||
      this.#queuedBytes >= this.#options.maxBatchBytes ||
      this.#buffered >= this.#options.maxBufferedEvents;
    if (full || this.#urgent > 0 || this.#closed || this.#options.maxDelayMs === 0) {
      void this.#sendBatch();
      return;
    }
    this.#cancelLinger ??= this.#options.timer.after(this.#options.maxDelayMs, () => {
      this.#cancelLinger = undefined;
      if (!this.#sending && this.#queue.length > 0) void this.#sendBatch();
    });
  }

  async #sendBatch(): Promise<void> {
    this.#cancelLinger?.();
    this.#cancelLinger = undefined;
    this.#sending = true;
    const batch = this.#cutBatch();
    this.#urgent = Math.max(0, this.#urgent - batch.length);
    await this.#send(batch);
    this.#sending = false;
    this.#sendSoon();
  }

  #cutBatch(): PendingEvent<R>[] {
    let count = 0;
    let bytes = 0;
    for (const pending of this.#queue) {
      const fits = count < this.#options.maxBatchEvents && bytes + pending.bytes <= this.#options.maxBatchBytes;
      if (count > 0 && !fits) break;
      count += 1;
      bytes += pending.bytes;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }
}

const encoder = new TextEncoder();
