import { setImmediate as othersTurn } from 'node:timers/promises';
import type { Snapshot } from '../../journal/index.ts';
import { type ComplianceRow, complianceRowOf } from '../compliance-events.ts';
import { UNKNOWN_SOURCE, VERDICT_TYPE } from '../signals.ts';

/** Events of the tail that are looked at before others get their turn. */
const EVENTS_AT_ONCE = 512;

/**
 * The rows of verdicts that are durable and not in the table yet, of one workspace. Each event of the tail is read once,
 * each source looked up once: what was the first stays the first.
 */
export class FreshVerdicts {
  #rows: ComplianceRow[] = [];
  /** Events after this position and up to `throughSeq` were read. */
  #afterSeq = -1;
  #throughSeq = -1;
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * Rows with position < seq ≤ the snapshot's last, ascending.
   * @param takenOf which of these sources the table has a row of
   */
  rows(
    snapshot: Snapshot,
    position: number,
    takenOf: (rows: readonly ComplianceRow[]) => Promise<ReadonlySet<string>>,
  ): Promise<ComplianceRow[]> {
    const work = this.#turn.then(async () => {
      await this.#read(snapshot, position, takenOf);
      // Of a reader whose snapshot is older than that of one before.
      return this.#rows.filter(({ seq }) => seq > position && seq <= snapshot.durableSeq);
    });
    this.#turn = work.catch(() => {});
    return work;
  }

  async #read(
    snapshot: Snapshot,
    position: number,
    takenOf: (rows: readonly ComplianceRow[]) => Promise<ReadonlySet<string>>,
  ): Promise<void> {
    if (position < this.#afterSeq) {
      // A reader whose table is older than that of one before: its rows were let go, its tail still has them.
      this.#rows = [];
      this.#throughSeq = position;
    }
    this.#afterSeq = position;
    this.#rows = this.#rows.filter(({ seq }) => seq > position);
    const fromSeq = Math.max(this.#throughSeq, position) + 1;
    const found: ComplianceRow[] = [];
    const sources = new Set(this.#rows.map(({ source_id }) => source_id));
    // All of those are kept.
    sources.delete(UNKNOWN_SOURCE);
    let looked = 0;
    for (const event of snapshot.tailOfType(VERDICT_TYPE, fromSeq)) {
      looked += 1;
      if (looked % EVENTS_AT_ONCE === 0) await othersTurn();
      if (sources.has(event.entity_id)) continue;
      if (event.entity_id !== UNKNOWN_SOURCE) sources.add(event.entity_id);
      found.push(complianceRowOf(event));
    }
    const taken = found.length === 0 ? new Set<string>() : await takenOf(found);
    for (const row of found) if (row.source_id === UNKNOWN_SOURCE || !taken.has(row.source_id)) this.#rows.push(row);
    this.#throughSeq = Math.max(this.#throughSeq, snapshot.durableSeq);
  }
}
