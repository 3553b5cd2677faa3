import { setTimeout as sleep } from 'node:timers/promises';
import { IndelibleError, type Journals, type Receipt } from '../../journal/index.ts';
import { type Verdict, verdictDraft } from '../../projections/index.ts';
import { GroupWriter } from './group-writer.ts';

/** The first wait and the longest before what failed is tried again. */
export const RETRY_MS_MIN = 50;
export const RETRY_MS_MAX = 5_000;

/** undefined: another verdict on the same source was recorded first, and stays. */
export type Written = Receipt | undefined;

/** A verdict and its id, for the correlation_id of its signal. */
export type Decided = { verdict: Verdict; id: string; correlationId: string | null };

/** Verdicts of one append, unless a single group has more. */
const APPEND_VERDICTS = 2_000;

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
  readonly #groups: GroupWriter<Decided, Written>;

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
    const limits = [{ of: () => 1, max: APPEND_VERDICTS }];
    this.#groups = new GroupWriter({ write: (decided) => this.#append(decided), limits });
  }

  /** Resolves once the verdicts are durable, in their order. @throws where the service stops, or the journal is fenced */
  write(decided: readonly Decided[]): Promise<Written[]> {
    return this.#groups.write(decided);
  }

  async #append(batch: readonly Decided[]): Promise<Written[]> {
    for (let retryMs = RETRY_MS_MIN; ; retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)) {
      try {
        const drafts = batch.map(({ verdict, id, correlationId }) => verdictDraft(verdict, correlationId, id));
        const { receipts } = await this.#journals.append(this.#workspace, drafts, { ack: 'durable', create: false });
        for (const [index, { verdict }] of batch.entries()) this.#onWritten(verdict, receipts[index] as Receipt);
        return receipts;
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
  async #appendEach(batch: readonly Decided[]): Promise<Written[]> {
    if (batch.length === 1) return [undefined];
    const written: Written[] = [];
    for (const one of batch) written.push(...(await this.#append([one])));
    return written;
  }
}
