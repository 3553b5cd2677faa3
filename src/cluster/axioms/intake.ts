import { type Clock, type DraftEvent, type Random, uuidV7 } from '../../../journal/index.ts';
import type { Axiom } from '../../../projections/index.ts';
import { AXIOMS, AXIOMS_HIGH, addAll, axiomFields, type Redis } from '../redis/index.ts';

export type AxiomQueueOptions = {
  redis: Redis;
  /** Of the policies: signals from this score on go before the others. */
  threshold: number;
  clock: Clock;
  random: Random;
};

/** Takes signals in for the compliance workers. */
export class AxiomQueue {
  readonly #options: AxiomQueueOptions;

  constructor(options: AxiomQueueOptions) {
    this.#options = options;
  }

  /**
   * Adds the signals to the streams, all or none. Whether one of them was recorded before is found out later: nothing
   * is said of duplicates and positions.
   * @throws unavailable: perhaps they were added, and sending those that have an id again is safe
   */
  async enqueue(
    workspace: string,
    drafts: readonly DraftEvent[],
  ): Promise<{ accepted: number; duplicates: null; first_seq: null; last_seq: null }> {
    const { redis, threshold, clock, random } = this.#options;
    const acceptedMs = clock.nowMs();
    const added = drafts.map((draft) => {
      // From here on it may be delivered twice: what makes it one is its id.
      const identified = { ...draft, event_id: draft.event_id ?? uuidV7(random, acceptedMs) };
      const stream = scoreOf(draft) >= threshold ? AXIOMS_HIGH : AXIOMS;
      return { stream, fields: axiomFields({ workspace, draft: identified, acceptedMs }) };
    });
    await addAll(redis, added);
    return { accepted: drafts.length, duplicates: null, first_seq: null, last_seq: null };
  }
}

function scoreOf({ new_value }: DraftEvent): number {
  const { anomaly_score = 0 } = JSON.parse(new_value ?? '{}') as Partial<Axiom>;
  return anomaly_score;
}
