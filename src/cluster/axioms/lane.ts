import { type ComplianceEvents, UNKNOWN_SOURCE, type Verdict } from '../../../projections/index.ts';
import { FlaggedQueue, type JudgeObserver, type WorkspaceParts } from '../../compliance/index.ts';
import { AiError, type JudgePorts, type Model } from '../../judging/index.ts';
import { RecentVerdicts } from './recent-verdicts.ts';
import type { Signal } from './signal.ts';
import { tryAgain } from './try-again.ts';

/** The index of verdicts is at most so much older than what this process knows of the journal. */
const FEED_MS = 3_000;

export type LaneOptions = {
  workspace: string;
  /** Signals judged at once. */
  concurrency: number;
  /** Opens what the workspace's signals are judged with. */
  open: (workspace: string) => Promise<WorkspaceParts>;
  rows: Pick<ComplianceEvents, 'bySource' | 'byAxiom'>;
  waitedMs: (signal: Signal) => number;
  /** Resolves once it is published and acknowledged. */
  settle: (signal: Signal, verdict: Verdict | undefined) => Promise<void>;
  /** Hears of each signal that is settled, or given up until it is delivered again. */
  left: (signal: Signal) => void;
  signal: AbortSignal;
  observer: JudgeObserver;
};

/** Where the flagged signals of one workspace wait for the cache and the model, and hold up nobody else. */
export class Lane {
  readonly #options: LaneOptions;
  readonly #queue: FlaggedQueue<Signal>;
  readonly #recent = new RecentVerdicts(() => performance.now());
  /** Found to have a verdict when the model was to be asked. */
  readonly #judged = new Set<Signal>();
  #parts: Promise<WorkspaceParts> | undefined;
  #feeding: Promise<void> | undefined;
  #fedMs = 0;

  constructor(options: LaneOptions) {
    this.#options = options;
    const { workspace, concurrency, signal, waitedMs, left, observer } = options;
    this.#queue = new FlaggedQueue({
      ...{ concurrency, signal, waitedMs },
      ports: (open) => this.#ports(open),
      record: (open, verdict) => this.#record(open, verdict),
      failed: (open, error) => {
        if (!signal.aborted) observer.judgingFailed?.(workspace, error);
        left(open);
      },
      roomMade: () => {},
    });
  }

  add(signal: Signal): void {
    this.#queue.add(signal);
  }

  /** After the signal has aborted. */
  async close(): Promise<void> {
    await this.#queue.settled();
    const parts = await this.#parts?.catch(() => undefined);
    await parts?.close();
  }

  async #ports(signal: Signal): Promise<JudgePorts> {
    this.#parts ??= this.#open();
    const parts = await this.#parts;
    await this.#feed(parts);
    const { index, model, ...ports } = await parts.ports();
    return { ...ports, index: this.#recent.inFrontOf(index), model: model && this.#unlessJudged(model, signal) };
  }

  /**
   * Before a model is asked it is looked whether the source has its row: Redis may have forgotten, or another worker may
   * have been quicker. What the next tier then says is not recorded.
   */
  #unlessJudged(model: Model, signal: Signal): Model {
    return {
      driver: model.driver,
      name: model.name,
      answer: async (prompt, abort) => {
        if (!(await this.#hasRow(signal))) return model.answer(prompt, abort);
        this.#judged.add(signal);
        throw new AiError('refused', 'the source has its verdict');
      },
    };
  }

  async #record(signal: Signal, verdict: Verdict): Promise<void> {
    const { workspace, settle, left, observer } = this.#options;
    // One that would be taken from itself was delivered again.
    const isRepeated = this.#judged.delete(signal) || verdict.cached_from === signal.verdictId;
    await settle(signal, isRepeated ? undefined : verdict);
    if (isRepeated) observer.repeated?.(workspace, signal.axiom);
    else this.#recent.keep(verdict, signal.verdictId);
    left(signal);
  }

  /** Where that cannot be told, it is judged: the journal takes one verdict of a source. */
  async #hasRow({ workspace, axiom }: Signal): Promise<boolean> {
    const { rows, observer } = this.#options;
    try {
      if (axiom.source_id === UNKNOWN_SOURCE) return (await rows.byAxiom(workspace, axiom.event_id)) !== undefined;
      return (await rows.bySource(workspace, axiom.source_id, { limit: 1 })).rows.length > 0;
    } catch (error) {
      if (!isNotFound(error)) observer.fault?.(workspace, error);
      return false;
    }
  }

  /** Again and again until it succeeds: the store may be away. @throws where the service stops */
  async #open(): Promise<WorkspaceParts> {
    const { workspace, open, signal, observer } = this.#options;
    const parts = await tryAgain(() => open(workspace), {
      signal,
      onRetry: (error) => observer.judgingFailed?.(workspace, error),
      mayPass: () => true,
    });
    this.#fedMs = performance.now();
    return parts;
  }

  /** What was committed meanwhile, here and by others. Where the store is away, what is known has to do. */
  async #feed(parts: WorkspaceParts): Promise<void> {
    if (performance.now() - this.#fedMs < FEED_MS) return;
    const { workspace, observer } = this.#options;
    this.#feeding ??= parts
      .catchUp()
      .catch((error: unknown) => observer.fault?.(workspace, error))
      .finally(() => {
        this.#fedMs = performance.now();
        this.#feeding = undefined;
      });
    await this.#feeding;
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'kind' in error && error.kind === 'not-found';
}
