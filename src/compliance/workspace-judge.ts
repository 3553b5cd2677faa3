import { setTimeout as sleep, setImmediate as yieldTurn } from 'node:timers/promises';
import { type Clock, IndelibleError, type Journals, type Receipt } from '../../journal/index.ts';
import {
  AXIOM_TYPE,
  axiomOf,
  type RecordedAxiom,
  type TakenAxiom,
  type Verdict,
  verdictId,
} from '../../projections/index.ts';
import { type Bounds, clearedVerdict, type JudgePorts } from '../judging/index.ts';
import { FlaggedQueue } from './flagged-queue.ts';
import { type Position, readPosition, writePosition } from './position.ts';
import { readSignals, type SignalPage } from './signal-reader.ts';
import { RETRY_MS_MAX, RETRY_MS_MIN, VerdictWriter } from './verdict-writer.ts';

/** Signals taken up at once: building their verdicts holds up the process for a few milliseconds. */
const BATCH_SIGNALS = 256;
/** Signals that wait for the cache or the model, held in memory; beyond them the journal keeps the rest. */
const WAITING_MAX = 10_000;
/** Verdicts that are being recorded: while the log syncs one group of them, the next one is made. */
const RECORDING_MAX = 4_000;
const POSITION_SAVE_MS = 5_000;

/** What is told of the work, for logs and measures. */
export type JudgeObserver = {
  /** `receipt`: undefined where the verdict has no position yet. */
  judged?(workspace: string, verdict: Verdict, receipt: Receipt | undefined): void;
  /** A signal whose source has its verdict already, or whose verdict came second. */
  repeated?(workspace: string, axiom: TakenAxiom): void;
  judgingFailed?(workspace: string, error: unknown): void;
  /** What no tier is known to fail with, and a key that cannot be read. */
  fault?(workspace: string, error: unknown): void;
};

export type WorkspaceJudgeOptions = {
  journals: Journals;
  workspace: string;
  clock: Clock;
  bounds: Bounds;
  /** The parts a decision is made with now: the workspace's key may change. Never rejects. */
  ports: () => Promise<JudgePorts>;
  /** Is given every recorded verdict, in the order of the journal: others may be taken from it. */
  learn: (verdict: Verdict, receipt: Receipt) => void;
  /** Signals judged at once. */
  concurrency: number;
  positionPath: string;
  observer: JudgeObserver;
};

/** A signal that is being judged. `before`: the one taken up just before it. */
type Open = { axiom: RecordedAxiom; id: string; before: Position | undefined };

/**
 * Judges the signals of one workspace in the order of the journal, which is the queue: a signal that was not judged when
 * the process ended is found again after its start. Signals below the threshold go the fast way, in batches; the others
 * wait for the cache and the model, and hold up nobody.
 */
export class WorkspaceJudge {
  readonly #options: WorkspaceJudgeOptions;
  readonly #writer: VerdictWriter;
  readonly #abort = new AbortController();
  #nextSeq = 0;
  /** Signals taken up and not judged yet, in the order of the journal. */
  readonly #undone = new Set<Open>();
  /** Ids of verdicts that are on their way. */
  readonly #underWay = new Set<string>();
  readonly #flagged: FlaggedQueue<Open>;
  /** Verdicts of signals below the threshold that are not durable yet. */
  #recording = 0;
  /** What is under way; none of it rejects. */
  readonly #work = new Set<Promise<void>>();
  /** Read before it is asked for. */
  #ahead: { fromSeq: number; page: Promise<SignalPage> } | undefined;
  /** What was recorded since the last signal is none. */
  #isIdle = false;
  #woken = Promise.withResolvers<void>();
  #roomMade = Promise.withResolvers<void>();
  #loop: Promise<void> | undefined;
  /** The signal taken up last. */
  #last: Position | undefined;
  #savedMs = 0;
  #savedSeq = -1;

  constructor(options: WorkspaceJudgeOptions) {
    const { journals, workspace, observer, learn } = options;
    this.#options = options;
    const onRetry = (error: unknown) => observer.judgingFailed?.(workspace, error);
    const { signal } = this.#abort;
    this.#writer = new VerdictWriter({ journals, workspace, signal, onRetry, onWritten: learn });
    this.#flagged = new FlaggedQueue({
      ...{ signal, concurrency: options.concurrency },
      ports: () => options.ports(),
      waitedMs: ({ axiom }) => this.#waitedMs(axiom),
      record: (open, verdict) => this.#record([{ open, verdict }]),
      failed: (_, error) => this.#failed(error),
      roomMade: () => this.#roomMade.resolve(),
    });
  }

  /** Takes up where an earlier process left off. */
  async start(): Promise<void> {
    const { positionPath, journals, workspace } = this.#options;
    this.#nextSeq = (await readPosition(positionPath, journals, workspace)) + 1;
    this.#loop = this.#run();
  }

  /** There may be signals. */
  wake(): void {
    this.#isIdle = false;
    this.#woken.resolve();
  }

  /** Signals taken up and not judged, since when the oldest of them is recorded, and positions not looked at yet. */
  get queue(): { signals: number; oldestAt: string | null; unreadSeqs: number } {
    const { journals, workspace } = this.#options;
    const [oldest] = this.#undone;
    return {
      signals: this.#undone.size,
      oldestAt: oldest?.axiom.recorded_at ?? null,
      unreadSeqs: this.#isIdle ? 0 : Math.max(journals.durableSeq(workspace) + 1 - this.#nextSeq, 0),
    };
  }

  /** Ends promptly: what is not judged stays in the journal for the next start. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.wake();
    this.#roomMade.resolve();
    await this.#loop;
    await Promise.all(this.#work);
    await this.#flagged.settled();
    await this.#savePosition();
  }

  /** Never rejects. What cannot be read now is read later: the store may be away. */
  async #run(): Promise<void> {
    const { signal } = this.#abort;
    let retryMs = RETRY_MS_MIN;
    while (!signal.aborted) {
      try {
        await this.#readOn();
        retryMs = RETRY_MS_MIN;
      } catch (error) {
        this.#failed(error);
        await sleep(retryMs, undefined, { signal }).catch(() => {});
        retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
      }
    }
  }

  /** The next page of signals; where there is none, waits for one. */
  async #readOn(): Promise<void> {
    const { signal } = this.#abort;
    const page = await this.#page();
    if (page.throughSeq < this.#nextSeq) {
      if (!signal.aborted) await this.#idle();
      return;
    }
    this.#readAhead(page);
    for (let at = 0; at < page.count; at += BATCH_SIGNALS) {
      if (signal.aborted) return;
      const axioms = page.events(at, at + BATCH_SIGNALS).map(axiomOf);
      await this.#take(axioms);
      this.#nextSeq = (axioms.at(-1) as RecordedAxiom).seq + 1;
      await yieldTurn();
    }
    if (signal.aborted) return;
    this.#nextSeq = page.throughSeq + 1;
    await this.#saveSometimes();
  }

  #page(): Promise<SignalPage> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead?.fromSeq === this.#nextSeq) return ahead.page;
    return this.#read(this.#nextSeq);
  }

  /** While these are judged the next ones are read, where it is likely that there are some. */
  #readAhead({ count, throughSeq }: SignalPage): void {
    if (count === 0 || throughSeq >= this.#options.journals.durableSeq(this.#options.workspace)) return;
    const page = this.#read(throughSeq + 1);
    // Whoever takes it hears of its failure.
    page.catch(() => {});
    this.#ahead = { fromSeq: throughSeq + 1, page };
  }

  #read(fromSeq: number): Promise<SignalPage> {
    const { journals, workspace } = this.#options;
    this.#woken = Promise.withResolvers();
    return readSignals(journals, workspace, { entityType: AXIOM_TYPE, fromSeq });
  }

  async #idle(): Promise<void> {
    this.#isIdle = true;
    await this.#woken.promise;
    this.#isIdle = false;
  }

  /** Tells of a failure. Of a journal that another writer has taken nothing more is judged here. */
  #failed(error: unknown): void {
    if (this.#abort.signal.aborted) return;
    const { observer, workspace } = this.#options;
    observer.judgingFailed?.(workspace, error);
    if (!(error instanceof IndelibleError) || error.kind !== 'fenced') return;
    this.#abort.abort();
    this.wake();
    this.#roomMade.resolve();
  }

  /** A few signals, in order: judged already, cleared at once, or to be judged. */
  async #take(axioms: readonly RecordedAxiom[]): Promise<void> {
    const { journals, workspace, bounds, observer } = this.#options;
    const ids = axioms.map(verdictId);
    // Layer one of three: nobody is asked about what is judged.
    const judged = await journals.findAll(workspace, ids);
    const cleared: { open: Open; verdict: Verdict }[] = [];
    for (const [index, axiom] of axioms.entries()) {
      const id = ids[index] as string;
      const before = this.#last;
      this.#last = { seq: axiom.seq, event_id: axiom.event_id };
      if (judged.has(id) || this.#underWay.has(id)) {
        observer.repeated?.(workspace, axiom);
        continue;
      }
      const open = { axiom, id, before };
      this.#undone.add(open);
      this.#underWay.add(id);
      if (axiom.anomaly_score >= bounds.threshold) {
        this.#flagged.add(open);
      } else {
        cleared.push({ open, verdict: clearedVerdict(axiom, bounds, this.#waitedMs(axiom)) });
      }
    }
    if (cleared.length > 0) this.#track(this.#recordCleared(cleared));
    while (this.#isFull && !this.#abort.signal.aborted) {
      this.#roomMade = Promise.withResolvers();
      await this.#roomMade.promise;
    }
  }

  get #isFull(): boolean {
    return this.#flagged.waiting > WAITING_MAX || this.#recording > RECORDING_MAX;
  }

  #track(work: Promise<void>): void {
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }

  /** Never rejects. */
  async #recordCleared(cleared: readonly { open: Open; verdict: Verdict }[]): Promise<void> {
    this.#recording += cleared.length;
    await this.#record(cleared);
    this.#recording -= cleared.length;
    this.#roomMade.resolve();
  }

  /** Since it was recorded. A clock that was put back says nothing of that: recorded_at does not follow it. */
  #waitedMs({ recorded_at }: RecordedAxiom): number {
    return Math.max(this.#options.clock.nowMs() - Date.parse(recorded_at), 0);
  }

  #end(open: Open): void {
    this.#undone.delete(open);
    this.#underWay.delete(open.id);
  }

  /** Never rejects: what could not be recorded stays undone. */
  async #record(verdicts: readonly { open: Open; verdict: Verdict }[]): Promise<void> {
    const { workspace, observer } = this.#options;
    try {
      const decided = verdicts.map(({ open: { id, axiom }, verdict }) => ({
        ...{ verdict, id },
        correlationId: axiom.correlation_id,
      }));
      const written = await this.#writer.write(decided);
      for (const [index, { open, verdict }] of verdicts.entries()) {
        const receipt = written[index];
        this.#end(open);
        if (!receipt) {
          observer.repeated?.(workspace, open.axiom);
          continue;
        }
        observer.judged?.(workspace, verdict, receipt);
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  async #saveSometimes(): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#savedMs < POSITION_SAVE_MS) return;
    this.#savedMs = nowMs;
    await this.#savePosition();
  }

  /** The last signal before which nothing is undone. A hint: where it cannot be written, the work goes on. */
  async #savePosition(): Promise<void> {
    const { positionPath, observer, workspace } = this.#options;
    const [oldest] = this.#undone;
    const judged = oldest ? oldest.before : this.#last;
    if (!judged || judged.seq === this.#savedSeq) return;
    try {
      await writePosition(positionPath, judged);
      this.#savedSeq = judged.seq;
    } catch (error) {
      observer.judgingFailed?.(workspace, error);
    }
  }
}
