import { setTimeout as sleep } from 'node:timers/promises';
import { IndelibleError, type Journals, type Receipt } from '../../journal/index.ts';
import { type Verdict, verdictDraft } from '../../projections/index.ts';

/** The first wait and the longest before what failed is tried again. */
export const RETRY_MS_MIN = 50;
export const RETRY_MS_MAX = 5_000;

/** undefined: another verdict on the same source was recorded first, and stays. */
export type Written = Receipt | undefined;

export type Decided = { verdict: Verdict; correlationId: string | null };

type Waiting = { decided: Decided; done: PromiseWithResolvers<Written> };

/**
 * Records verdicts of one workspace: what comes while an append is under way goes with the next. The journal takes one
 * verdict for each source (its event_id follows from it), so a second one finds the first: layer two of three.
 */
export class VerdictWriter {
  readonly #journals: Journals;
  readonly #workspace: string;
  readonly #signal: AbortSignal;
  readonly #onRetry: (error: unknown) => void;
  readonly #onWritten: (verdict: Verdict, receipt: Receipt) => void;
  readonly #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(options: {
    journals: Journals;
    workspace: string;
    signal: AbortSignal;
    onRetry: (error: unknown) => void;
    /** In the order of the journal. */
    onWritten: (verdict: Verdict, receipt: Receipt) => void;
  }) {
    this.#journals = options.journals;
    this.#workspace = options.workspace;
    this.#signal = options.signal;
    this.#onRetry = options.onRetry;
    this.#onWritten = options.onWritten;
  }

  /** Resolves once the verdicts are durable, in their order. @throws where the service stops, or the journal is fenced */
  write(verdicts: readonly Decided[]): Promise<Written[]> {
    const waiting = verdicts.map((decided) => ({ decided, done: Promise.withResolvers<Written>() }));
    this.#waiting.push(...waiting);
    if (!this.#isRunning) void this.#run();
    return Promise.all(waiting.map(({ done }) => done.promise));
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // What else this turn of the event loop has to say goes with it.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, 1_000);
      try {
        await this.#append(batch);
      } catch (error) {
        for (const { done } of batch) done.reject(error);
      }
    }
    this.#isRunning = false;
  }

  async #append(batch: readonly Waiting[]): Promise<void> {
    for (let retryMs = RETRY_MS_MIN; ; retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)) {
      try {
        const drafts = batch.map(({ decided }) => verdictDraft(decided.verdict, decided.correlationId));
        const { receipts } = await this.#journals.append(this.#workspace, drafts, { ack: 'durable', create: false });
        for (const [index, { decided, done }] of batch.entries()) {
          const receipt = receipts[index] as Receipt;
          this.#onWritten(decided.verdict, receipt);
          done.resolve(receipt);
        }
        return;
      } catch (error) {
        const kind = error instanceof IndelibleError ? error.kind : undefined;
        if (kind === 'conflict') return this.#appendEach(batch);
        // The store is away and the log full, or the disk refused: what is not recorded is not judged.
        if (this.#signal.aborted || (kind !== 'unavailable' && kind !== 'busy')) throw error;
        this.#onRetry(error);
        await sleep(retryMs, undefined, { signal: this.#signal });
      }
    }
  }

  /** One of them, or more, came too late: all others are recorded. */
  async #appendEach(batch: readonly Waiting[]): Promise<void> {
    if (batch.length > 1) {
      for (const one of batch) await this.#append([one]);
      return;
    }
    batch[0]?.done.resolve(undefined);
  }
}
