import { IndelibleError, type Journals } from '../../journal/index.ts';
import { VERDICT_TYPE, type Verdict, verdictOf } from '../../projections/index.ts';
import { AiError, type Embedder, type JudgePorts, type Model, type Policies } from '../judging/index.ts';
import { type PolicySet, policiesOf } from '../policies/index.ts';
import { encodeVector, entryOf, fingerprintOf, localEmbedder, VerdictVectors } from '../vectors/index.ts';
import { readSignals } from './signal-reader.ts';

/** Committed verdicts that may be reused; most were given without asking anybody and say nothing of a fingerprint. */
const REUSABLE = `contains(new_value, '"fingerprint":')`;

/** What serves a workspace now; undefined: no key is configured. */
export type AiParts = { model: Model | undefined; embedder: Embedder | undefined };

export type WorkspacePartsOptions = {
  journals: Journals;
  workspace: string;
  /** Directory of the index of vectors, which is derived. */
  dir: string;
  policiesFor: (embedder: Embedder) => Policies;
  ai: (workspace: string) => Promise<AiParts>;
  /** Aborts when the service stops. */
  signal: AbortSignal;
  /** Hears of what no tier is known to fail with, and of a key that cannot be read. */
  fault?: ((workspace: string, error: unknown) => void) | undefined;
};

/** The policies for each embedder: their passages are embedded once, whichever workspaces use it. */
export function sharedPolicies(set: PolicySet): (embedder: Embedder) => Policies {
  const known = new WeakMap<Embedder, Policies>();
  return (embedder) => {
    let policies = known.get(embedder);
    if (!policies) {
      policies = policiesOf(set, embedder);
      known.set(embedder, policies);
    }
    return policies;
  };
}

/** What the signals of one workspace are judged with: its index of verdicts, fed from the journal, and its model. */
export class WorkspaceParts {
  readonly #options: WorkspacePartsOptions;
  readonly #index: VerdictVectors;

  private constructor(options: WorkspacePartsOptions, index: VerdictVectors) {
    this.#options = options;
    this.#index = index;
  }

  /** Opens the index, with every verdict of the journal in it. @throws as the journal does; unavailable while stopping */
  static async open(options: WorkspacePartsOptions): Promise<WorkspaceParts> {
    const parts = new WorkspaceParts(options, await VerdictVectors.open({ dir: options.dir }));
    try {
      await parts.catchUp();
      // An index that was not fed everything must not be given later verdicts: what lies between would be missing.
      if (options.signal.aborted) throw new IndelibleError('unavailable', 'the service stops');
      return parts;
    } catch (error) {
      await parts.close();
      throw error;
    }
  }

  /** Verdicts that can be reused. */
  get cachedVerdicts(): number {
    return this.#index.size;
  }

  /** Feeds the index what it has not seen of the journal: everything, where it was lost. */
  async catchUp(): Promise<void> {
    const { journals, workspace, signal } = this.#options;
    const index = this.#index;
    const durableSeq = await this.#durableSeq();
    // Another journal's, of the same name.
    if (index.lastSeq > durableSeq) index.clear();
    if (durableSeq === -1) return;
    for (;;) {
      const wanted = { entityType: VERDICT_TYPE, fromSeq: index.lastSeq + 1, moreSql: REUSABLE };
      const { count, events, throughSeq } = await readSignals(journals, workspace, wanted);
      if (throughSeq < wanted.fromSeq || signal.aborted) return;
      for (const event of events(0, count)) this.#add(verdictOf(event), event.event_id, event.seq);
      index.noteSeq(throughSeq);
    }
  }

  /** What a decision is made with now: the workspace's key may change. Never rejects. */
  async ports(): Promise<JudgePorts> {
    const { workspace, policiesFor, fault } = this.#options;
    const { model, embedder = localEmbedder } = await this.#ai();
    return {
      nowMs: () => performance.now(),
      policies: policiesFor(embedder),
      ...{ fingerprintOf, embedder, model, encodeVector },
      index: this.#index,
      onFault: (error) => fault?.(workspace, error),
    };
  }

  /**
   * Takes a verdict that was recorded now; they come in the order of the journal. What the index cannot take is not
   * reused, until it is read from the journal again.
   */
  learn(verdict: Verdict, recorded: { event_id: string; seq: number }): void {
    const { workspace, fault } = this.#options;
    try {
      if (!this.#add(verdict, recorded.event_id, recorded.seq)) this.#index.noteSeq(recorded.seq);
    } catch (error) {
      fault?.(workspace, error);
    }
  }

  close(): Promise<void> {
    return this.#index.close();
  }

  /**
   * A snapshot opens the journal: before that its last position is not known, and the index would seem to be beyond it.
   * -1: it holds nothing yet.
   */
  async #durableSeq(): Promise<number> {
    const { journals, workspace } = this.#options;
    try {
      const snapshot = await journals.snapshot(workspace);
      snapshot.release();
      return snapshot.durableSeq;
    } catch (error) {
      if (error instanceof IndelibleError && error.kind === 'not-found') return -1;
      throw error;
    }
  }

  #add(verdict: Verdict, eventId: string, seq: number): boolean {
    const entry = entryOf(verdict, eventId, seq);
    if (entry) this.#index.add(entry.seq, entry.partition, entry.fingerprint, entry.vector, entry.cached);
    return entry !== undefined;
  }

  /** A key that cannot be read is a model that cannot be reached: the rules answer, and only for now. */
  async #ai(): Promise<AiParts> {
    const { workspace, ai, fault } = this.#options;
    try {
      return await ai(workspace);
    } catch (error) {
      fault?.(workspace, error);
      const answer = async () => {
        throw new AiError('unreachable', "the store of the workspace's key did not answer");
      };
      return { model: { driver: 'none', name: 'none', answer }, embedder: undefined };
    }
  }
}
