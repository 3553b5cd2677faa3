import type { RecordedEvent } from '../client/index.ts';

/** What the service calls the source of signals that name none. */
const UNKNOWN_SOURCE = 'unknown';

export type Fallback = { tier: string; cause: string; count: number };

type Verdict = {
  /** Without a seq where the signal was judged before it had one: then it is known by its source. */
  axiom: { seq?: number };
  tier: string;
  risk_level: string;
  routed_to_ai: boolean;
  failures?: { tier: string; cause: string }[];
  timings?: { waited: number; judged: number };
};

/** Counts the verdicts on the signals that were sent, in whatever order both become known. */
export class VerdictTally {
  readonly tiers: Record<string, number> = {};
  readonly risks: Record<string, number> = {};
  verdicts = 0;
  routed = 0;
  /** Signals that were newly recorded. */
  accepted = 0;
  readonly #fallbacks = new Map<string, Fallback>();
  /** Milliseconds from the record of a signal to its verdict. */
  readonly #times: number[] = [];
  readonly #sent: { firstSeq: number; lastSeq: number }[] = [];
  /** Verdicts on signals whose receipt has not come yet. */
  #early: Verdict[] = [];
  /** Sources of signals that were sent, and how many verdicts each may still get. */
  readonly #sources = new Map<string, number>();

  /** These were recorded, in a row. */
  sent(firstSeq: number, lastSeq: number, accepted: number): void {
    this.accepted += accepted;
    this.#sent.push({ firstSeq, lastSeq });
    const early = this.#early;
    this.#early = [];
    for (const verdict of early) this.#add(verdict, verdict.axiom.seq as number);
  }

  /** These are sent now. A source gets one verdict, signals without one get one each. */
  sending(sources: readonly (string | undefined)[]): void {
    for (const source of sources) {
      const name = source ?? UNKNOWN_SOURCE;
      this.#sources.set(name, name === UNKNOWN_SOURCE ? (this.#sources.get(name) ?? 0) + 1 : 1);
    }
  }

  /** So many of them were taken, and have no position yet. */
  queued(accepted: number): void {
    this.accepted += accepted;
  }

  /** An event of a verdict. */
  add(event: RecordedEvent): void {
    const verdict = event.new_value as unknown as Verdict;
    if (verdict.axiom.seq === undefined) this.#addOf(event.entity_id, verdict);
    else this.#add(verdict, verdict.axiom.seq);
  }

  get isComplete(): boolean {
    return this.verdicts >= this.accepted;
  }

  /** Share of the routed ones; null: there are none. */
  get cacheHitRate(): number | null {
    return this.routed === 0 ? null : (this.tiers.cache ?? 0) / this.routed;
  }

  get fallbacks(): Fallback[] {
    return [...this.#fallbacks.values()].sort((a, b) => b.count - a.count);
  }

  /** The nearest-rank percentile; null: there is no verdict. */
  percentileMs(share: number): number | null {
    const sorted = this.#times.toSorted((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
  }

  #addOf(source: string, verdict: Verdict): void {
    const left = this.#sources.get(source) ?? 0;
    if (left === 0) return;
    this.#sources.set(source, left - 1);
    this.#count(verdict);
  }

  #add(verdict: Verdict, seq: number): void {
    const last = this.#sent.at(-1);
    if (last === undefined || seq > last.lastSeq) {
      this.#early.push(verdict);
      return;
    }
    const range = this.#sent.findLast(({ firstSeq }) => firstSeq <= seq);
    if (range === undefined || seq > range.lastSeq) return;
    this.#count(verdict);
  }

  #count({ tier, risk_level, routed_to_ai, failures, timings }: Verdict): void {
    this.verdicts += 1;
    if (routed_to_ai) this.routed += 1;
    this.tiers[tier] = (this.tiers[tier] ?? 0) + 1;
    this.risks[risk_level] = (this.risks[risk_level] ?? 0) + 1;
    for (const failure of failures ?? []) {
      const id = `${failure.tier} ${failure.cause}`;
      this.#fallbacks.set(id, {
        tier: failure.tier,
        cause: failure.cause,
        count: (this.#fallbacks.get(id)?.count ?? 0) + 1,
      });
    }
    if (timings) this.#times.push(timings.waited + timings.judged);
  }
}
