import { join } from 'node:path';
import { type Clock, IndelibleError, type Journals, type Receipt } from '../../journal/index.ts';
import { VERDICT_TYPE, type Verdict, verdictOf } from '../../projections/index.ts';
import { AiError, type Embedder, type JudgePorts, type Model, type Policies } from '../judging/index.ts';
import { type PolicySet, policiesOf } from '../policies/index.ts';
import { encodeVector, entryOf, fingerprintOf, localEmbedder, VerdictVectors } from '../vectors/index.ts';
import { readSignals } from './signal-reader.ts';
import { type JudgeObserver, WorkspaceJudge } from './workspace-judge.ts';

/** Committed verdicts that may be reused; most were given without asking anybody and say nothing of a fingerprint. */
const REUSABLE = `contains(new_value, '"fingerprint":')`;

/** Until a workspace that could not be opened is tried again. */
const OPEN_RETRY_MS = 5_000;

/** What serves a workspace now; undefined: no key is configured. */
export type AiParts = { model: Model | undefined; embedder: Embedder | undefined };

export type ComplianceOptions = {
  journals: Journals;
  /** Directory of what is derived: positions and vectors. */
  dir: string;
  policies: PolicySet;
  ai: (workspace: string) => Promise<AiParts>;
  clock: Clock;
  /** Signals of a workspace judged at once. */
  concurrency: number;
  observer: JudgeObserver & { fault?(workspace: string, error: unknown): void };
};

type Judged = { judge: WorkspaceJudge; index: VerdictVectors };

/** Signals taken up and not judged, since when the oldest is recorded, and positions of the journal not looked at yet. */
export type JudgeQueue = WorkspaceJudge['queue'];

/** Judges the signals of every workspace. */
export class ComplianceEngine {
  readonly #options: ComplianceOptions;
  readonly #judged = new Map<string, Promise<Judged>>();
  readonly #ready = new Map<string, Judged>();
  /** Passages are embedded once for each embedder. */
  readonly #policies = new WeakMap<Embedder, Policies>();
  /** Workspaces that could not be opened: the store was away. */
  readonly #openAgain = new Map<string, NodeJS.Timeout>();
  /** Whether every workspace that was there at the start was looked at. */
  #hasResumed = false;
  #isStopping = false;

  constructor(options: ComplianceOptions) {
    this.#options = options;
  }

  get policies(): PolicySet {
    return this.#options.policies;
  }

  /** Takes up, workspace by workspace, what an earlier process left unjudged. */
  async resume(): Promise<void> {
    for (const workspace of this.#options.journals.workspaces()) {
      if (this.#isStopping) return;
      await this.#open(workspace).catch(() => {});
    }
    this.#hasResumed = true;
  }

  /** There are new signals in the workspace. */
  wake(workspace: string): void {
    const ready = this.#ready.get(workspace);
    if (ready) ready.judge.wake();
    else if (!this.#isStopping) {
      this.#open(workspace).then(
        ({ judge }) => judge.wake(),
        () => {},
      );
    }
  }

  queue(workspace: string): JudgeQueue {
    const ready = this.#ready.get(workspace);
    if (ready) return ready.judge.queue;
    // A workspace that came after the start and was never woken has no signals.
    const isAwaited = !this.#hasResumed || this.#judged.has(workspace) || this.#openAgain.has(workspace);
    const unreadSeqs = isAwaited ? this.#options.journals.durableSeq(workspace) + 1 : 0;
    return { signals: 0, oldestAt: null, unreadSeqs };
  }

  /** Of all workspaces. */
  get signalsWaiting(): number {
    let signals = 0;
    for (const { judge } of this.#ready.values()) signals += judge.queue.signals;
    return signals;
  }

  /** Verdicts that can be reused. */
  cachedVerdicts(workspace: string): number {
    return this.#ready.get(workspace)?.index.size ?? 0;
  }

  /** Ends promptly. What is not judged is judged after the next start. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const timer of this.#openAgain.values()) clearTimeout(timer);
    const opened = await Promise.allSettled(this.#judged.values());
    for (const result of opened) {
      if (result.status === 'rejected') continue;
      await result.value.judge.stop();
      await result.value.index.close();
    }
  }

  #open(workspace: string): Promise<Judged> {
    const opening = this.#judged.get(workspace);
    if (opening) return opening;
    const opened = this.#load(workspace);
    this.#judged.set(workspace, opened);
    opened.catch((error: unknown) => this.#notOpened(workspace, error));
    return opened;
  }

  /** Signals wait there: the next one tries again, and where none comes, time does. */
  #notOpened(workspace: string, error: unknown): void {
    this.#judged.delete(workspace);
    if (this.#isStopping) return;
    this.#options.observer.judgingFailed?.(workspace, error);
    clearTimeout(this.#openAgain.get(workspace));
    this.#openAgain.set(
      workspace,
      setTimeout(() => this.wake(workspace), OPEN_RETRY_MS),
    );
  }

  async #load(workspace: string): Promise<Judged> {
    const { journals, dir, clock, concurrency, observer } = this.#options;
    const index = await VerdictVectors.open({ dir: join(dir, workspace, 'vectors') });
    try {
      await this.#catchUp(workspace, index);
      // An index that was not fed everything must not be given later verdicts: what lies between would be missing.
      if (this.#isStopping) throw new IndelibleError('unavailable', 'the service stops');
      const judge = new WorkspaceJudge({
        ...{ journals, workspace, clock, concurrency, observer },
        bounds: this.#options.policies,
        ports: () => this.#ports(workspace, index),
        learn: (verdict, receipt) => this.#learn(workspace, index, verdict, receipt),
        positionPath: join(dir, workspace, 'judged.json'),
      });
      await judge.start();
      const judged = { judge, index };
      this.#ready.set(workspace, judged);
      return judged;
    } catch (error) {
      await index.close();
      throw error;
    }
  }

  /** Feeds the index what it has not seen of the journal: everything, where it was lost. */
  async #catchUp(workspace: string, index: VerdictVectors): Promise<void> {
    const { journals } = this.#options;
    // A snapshot opens the journal: before that its last position is not known, and the index would seem to be beyond it.
    const snapshot = await journals.snapshot(workspace);
    snapshot.release();
    // Another journal's, of the same name.
    if (index.lastSeq > snapshot.durableSeq) index.clear();
    for (;;) {
      const wanted = { entityType: VERDICT_TYPE, fromSeq: index.lastSeq + 1, moreSql: REUSABLE };
      const { count, events, throughSeq } = await readSignals(journals, workspace, wanted);
      if (throughSeq < wanted.fromSeq || this.#isStopping) return;
      for (const event of events(0, count)) {
        const entry = entryOf(verdictOf(event), event.event_id, event.seq);
        if (entry) index.add(entry.seq, entry.partition, entry.fingerprint, entry.vector, entry.cached);
      }
      index.noteSeq(throughSeq);
    }
  }

  async #ports(workspace: string, index: VerdictVectors): Promise<JudgePorts> {
    const { policies: set, observer } = this.#options;
    const { model, embedder = localEmbedder } = await this.#ai(workspace);
    let policies = this.#policies.get(embedder);
    if (!policies) {
      policies = policiesOf(set, embedder);
      this.#policies.set(embedder, policies);
    }
    return {
      nowMs: () => performance.now(),
      ...{ policies, fingerprintOf, embedder, index, model, encodeVector },
      onFault: (error) => observer.fault?.(workspace, error),
    };
  }

  /** A key that cannot be read is a model that cannot be reached: the rules answer, and only for now. */
  async #ai(workspace: string): Promise<AiParts> {
    const { ai, observer } = this.#options;
    try {
      return await ai(workspace);
    } catch (error) {
      observer.fault?.(workspace, error);
      const answer = async () => {
        throw new AiError('unreachable', "the store of the workspace's key did not answer");
      };
      return { model: { driver: 'none', name: 'none', answer }, embedder: undefined };
    }
  }

  /** What the index cannot take is not reused, until it is read from the journal again. */
  #learn(workspace: string, index: VerdictVectors, verdict: Verdict, receipt: Receipt): void {
    try {
      const entry = entryOf(verdict, receipt.event_id, receipt.seq);
      if (entry) index.add(entry.seq, entry.partition, entry.fingerprint, entry.vector, entry.cached);
      else index.noteSeq(receipt.seq);
    } catch (error) {
      this.#options.observer.fault?.(workspace, error);
    }
  }
}
