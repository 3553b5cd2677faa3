import type { Verdict } from '../../../projections/index.ts';
import type { CachedVerdict, Partition, VerdictIndex } from '../../judging/index.ts';
import { entryOf } from '../../vectors/index.ts';

const ENTRIES_MAX = 2_000;
const KEPT_MS = 600_000;

/**
 * Verdicts of one workspace that were published and may not be committed yet: until they are, the index of vectors,
 * which is fed what is committed, does not know them. Only the same fingerprint is found here.
 */
export class RecentVerdicts {
  readonly #nowMs: () => number;
  /** The oldest first. */
  readonly #entries = new Map<string, { cached: CachedVerdict; keptMs: number }>();

  /** `nowMs`: of a clock that only runs forward. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Nothing, where the verdict is not to be reused. */
  keep(verdict: Verdict, eventId: string): void {
    const entry = entryOf(verdict, eventId, 0);
    if (!entry) return;
    const key = keyOf(entry.partition, entry.fingerprint);
    // The first stays, as in the index.
    if (!this.#entries.has(key)) this.#entries.set(key, { cached: entry.cached, keptMs: this.#nowMs() });
    this.#forgetOld();
  }

  /** The index with these before it. */
  inFrontOf(index: VerdictIndex): VerdictIndex {
    return {
      exact: (partition, fingerprint) => index.exact(partition, fingerprint) ?? this.#find(partition, fingerprint),
      nearest: (partition, vector, similarityMin) => index.nearest(partition, vector, similarityMin),
    };
  }

  #find(partition: Partition, fingerprint: string): CachedVerdict | undefined {
    this.#forgetOld();
    return this.#entries.get(keyOf(partition, fingerprint))?.cached;
  }

  #forgetOld(): void {
    const beforeMs = this.#nowMs() - KEPT_MS;
    for (const [key, { keptMs }] of this.#entries) {
      if (keptMs >= beforeMs && this.#entries.size <= ENTRIES_MAX) return;
      this.#entries.delete(key);
    }
  }
}

function keyOf({ embeddingModel, policyVersion, rule }: Partition, fingerprint: string): string {
  return JSON.stringify([embeddingModel, policyVersion, rule, fingerprint]);
}
