import { setImmediate as yieldTurn } from 'node:timers/promises';
import type { Clock, Journals, Receipt } from '../../journal/index.ts';
import { AXIOM_TYPE, axiomOf, type RecordedAxiom, type Verdict, verdictId } from '../../projections/index.ts';
import { type Bounds, clearedVerdict, type JudgePorts, judge } from '../judging/index.ts';
import { type Position, readPosition, writePosition } from './position.ts';
import { readSignals } from './signal-reader.ts';
import { VerdictWriter } from './verdict-writer.ts';

/** Signals taken up at once: building their verdicts holds up the process for a few milliseconds. */
const BATCH_SIGNALS = 256;
/** Signals that wait for the cache or the model, held in memory; beyond them the journal keeps the rest. */
const WAITING_MAX = 10_000;
const POSITION_SAVE_MS = 5_000;

/** What is told of the work, for logs and measures. */
export type JudgeObserver = {
  judged?(workspace: string, verdict: Verdict, receipt: Receipt): void;
  /** A signal whose source has its verdict already, or whose verdict came second. */
  repeated?(workspace: string, axiom: RecordedAxiom): void;
  judgingFailed?(workspace: string, error: unknown): void;
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
  readonly #waiting: Open[] = [];
  #running = 0;
  /** Signals alike are judged one after another: the second finds the verdict on the first. */
  readonly #byFingerprint = new Map<string, Promise<void>>();
  /** Signals below the threshold, while a batch of them is recorded. */
  #recording: Promise<void> = Promise.resolve();
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
    this.#writer = new VerdictWriter({ journals, workspace, signal: this.#abort.signal, onRetry, onWritten: learn });
  }

  /** Takes up where an earlier process left off. */
  async start(): Promise<void> {
    const { positionPath, journals, workspace } = this.#options;
    this.#nextSeq = (await readPosition(positionPath, journals, workspace)) + 1;
    this.#loop = this.#run();
  }

  /** There may be signals. */
  wake(): void {
    this.#woken.resolve();
  }

  /** Signals taken up and not judged, since when the oldest of them is recorded, and positions not looked at yet. */
  get queue(): { signals: number; oldestAt: string | null; unreadSeqs: number } {
    const { journals, workspace } = this.#options;
    const [oldest] = this.#undone;
    return {
      signals: this.#undone.size,
      oldestAt: oldest?.axiom.recorded_at ?? null,
      unreadSeqs: Math.max(journals.durableSeq(workspace) + 1 - this.#nextSeq, 0),
    };
  }

  /** Ends promptly: what is not judged stays in the journal for the next start. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.wake();
    this.#roomMade.resolve();
    await this.#loop;
    await this.#recording;
    await this.#savePosition();
  }

  async #run(): Promise<void> {
    const { journals, workspace, observer } = this.#options;
    const { signal } = this.#abort;
    try {
      while (!signal.aborted) {
        this.#woken = Promise.withResolvers();
        const page = await readSignals(journals, workspace, { entityType: AXIOM_TYPE, fromSeq: this.#nextSeq });
        if (page.throughSeq < this.#nextSeq) {
          if (signal.aborted) return;
          await this.#woken.promise;
          continue;
        }
        for (let at = 0; at < page.events.length && !signal.aborted; at += BATCH_SIGNALS) {
          await this.#take(page.events.slice(at, at + BATCH_SIGNALS).map(axiomOf));
          await yieldTurn();
        }
        if (signal.aborted) return;
        this.#nextSeq = page.throughSeq + 1;
        await this.#saveSometimes();
      }
    } catch (error) {
      if (!signal.aborted) observer.judgingFailed?.(workspace, error);
    }
  }

  /** A few signals, in order: judged already, cleared at once, or to be judged. */
  async #take(axioms: readonly RecordedAxiom[]): Promise<void> {
    const { journals, workspace, clock, bounds, observer } = this.#options;
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
        this.#waiting.push(open);
      } else {
        const waitedMs = clock.nowMs() - Date.parse(axiom.recorded_at);
        cleared.push({ open, verdict: clearedVerdict(axiom, bounds, waitedMs) });
      }
    }
    // One batch is being recorded while the next is made, no more.
    await this.#recording;
    this.#recording = this.#record(cleared);
    this.#startWaiting();
    while (this.#waiting.length > WAITING_MAX && !this.#abort.signal.aborted) {
      this.#roomMade = Promise.withResolvers();
      await this.#roomMade.promise;
    }
  }

  #end(open: Open): void {
    this.#undone.delete(open);
    this.#underWay.delete(open.id);
  }

  /** Never rejects: what could not be recorded stays undone. */
  async #record(verdicts: readonly { open: Open; verdict: Verdict }[]): Promise<void> {
    const { workspace, observer } = this.#options;
    try {
      const decided = verdicts.map(({ open, verdict }) => ({ verdict, correlationId: open.axiom.correlation_id }));
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
      if (!this.#abort.signal.aborted) observer.judgingFailed?.(workspace, error);
    }
  }

  #startWaiting(): void {
    while (this.#running < this.#options.concurrency && !this.#abort.signal.aborted) {
      const open = this.#waiting.shift();
      if (!open) break;
      this.#running += 1;
      void this.#judge(open).finally(() => {
        this.#running -= 1;
        this.#startWaiting();
      });
    }
    if (this.#waiting.length <= WAITING_MAX / 2) this.#roomMade.resolve();
  }

  /** Never rejects. */
  async #judge(open: Open): Promise<void> {
    const { workspace, clock, observer } = this.#options;
    const { signal } = this.#abort;
    const { axiom } = open;
    try {
      const ports = await this.#options.ports();
      const fingerprint = ports.fingerprintOf(axiom);
      const before = this.#byFingerprint.get(fingerprint);
      const mine = (async () => {
        await before;
        const waitedMs = clock.nowMs() - Date.parse(axiom.recorded_at);
        const verdict = await judge(axiom, ports, waitedMs, signal);
        await this.#record([{ open, verdict }]);
      })();
      const settled = mine.catch(() => {});
      this.#byFingerprint.set(fingerprint, settled);
      await mine.finally(() => {
        if (this.#byFingerprint.get(fingerprint) === settled) this.#byFingerprint.delete(fingerprint);
      });
    } catch (error) {
      if (!signal.aborted) observer.judgingFailed?.(workspace, error);
    }
  }

  async #saveSometimes(): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#savedMs < POSITION_SAVE_MS) return;
    this.#savedMs = nowMs;
    await this.#savePosition();
  }

  /** The last signal before which nothing is undone. */
  async #savePosition(): Promise<void> {
    const [oldest] = this.#undone;
    const judged = oldest ? oldest.before : this.#last;
    if (judged && judged.seq !== this.#savedSeq) {
      await writePosition(this.#options.positionPath, judged);
      this.#savedSeq = judged.seq;
    }
  }
}
