import { join } from 'node:path';
import type { Clock, Journals } from '../../journal/index.ts';
import type { Embedder, Policies } from '../judging/index.ts';
import type { PolicySet } from '../policies/index.ts';
import { type JudgeObserver, WorkspaceJudge } from './workspace-judge.ts';
import { type AiParts, sharedPolicies, WorkspaceParts } from './workspace-parts.ts';

/** Until a workspace that could not be opened is tried again. */
const OPEN_RETRY_MS = 5_000;

export type ComplianceOptions = {
  journals: Journals;
  /** Directory of what is derived: positions and vectors. */
  dir: string;
  policies: PolicySet;
  ai: (workspace: string) => Promise<AiParts>;
  clock: Clock;
  /** Signals of a workspace judged at once. */
  concurrency: number;
  observer: JudgeObserver;
};

type Judged = { judge: WorkspaceJudge; parts: WorkspaceParts };

/** Signals taken up and not judged, since when the oldest is recorded, and positions of the journal not looked at yet. */
export type JudgeQueue = WorkspaceJudge['queue'];

/** Judges the signals of every workspace. */
export class ComplianceEngine {
  readonly #options: ComplianceOptions;
  readonly #judged = new Map<string, Promise<Judged>>();
  readonly #ready = new Map<string, Judged>();
  readonly #policiesFor: (embedder: Embedder) => Policies;
  /** Workspaces that could not be opened: the store was away. */
  readonly #openAgain = new Map<string, NodeJS.Timeout>();
  /** Whether every workspace that was there at the start was looked at. */
  #hasResumed = false;
  readonly #abort = new AbortController();

  constructor(options: ComplianceOptions) {
    this.#options = options;
    this.#policiesFor = sharedPolicies(options.policies);
  }

  get policies(): PolicySet {
    return this.#options.policies;
  }

  /** Takes up, workspace by workspace, what an earlier process left unjudged. */
  async resume(): Promise<void> {
    for (const workspace of this.#options.journals.workspaces()) {
      if (this.#abort.signal.aborted) return;
      await this.#open(workspace).catch(() => {});
    }
    this.#hasResumed = true;
  }

  /** There are new signals in the workspace. */
  wake(workspace: string): void {
    const ready = this.#ready.get(workspace);
    if (ready) ready.judge.wake();
    else if (!this.#abort.signal.aborted) {
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
    return this.#ready.get(workspace)?.parts.cachedVerdicts ?? 0;
  }

  /** Ends promptly. What is not judged is judged after the next start. */
  async stop(): Promise<void> {
    this.#abort.abort();
    for (const timer of this.#openAgain.values()) clearTimeout(timer);
    const opened = await Promise.allSettled(this.#judged.values());
    for (const result of opened) {
      if (result.status === 'rejected') continue;
      await result.value.judge.stop();
      await result.value.parts.close();
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
    if (this.#abort.signal.aborted) return;
    this.#options.observer.judgingFailed?.(workspace, error);
    clearTimeout(this.#openAgain.get(workspace));
    this.#openAgain.set(
      workspace,
      setTimeout(() => this.wake(workspace), OPEN_RETRY_MS),
    );
  }

  async #load(workspace: string): Promise<Judged> {
    const { journals, dir, policies, ai, clock, concurrency, observer } = this.#options;
    const parts = await WorkspaceParts.open({
      ...{ journals, workspace, ai, policiesFor: this.#policiesFor, signal: this.#abort.signal },
      dir: join(dir, workspace, 'vectors'),
      fault: observer.fault,
    });
    try {
      const judge = new WorkspaceJudge({
        ...{ journals, workspace, clock, concurrency, observer },
        bounds: policies,
        ports: () => parts.ports(),
        learn: (verdict, receipt) => parts.learn(verdict, receipt),
        positionPath: join(dir, workspace, 'judged.json'),
      });
      await judge.start();
      const judged = { judge, parts };
      this.#ready.set(workspace, judged);
      return judged;
    } catch (error) {
      await parts.close();
      throw error;
    }
  }
}
