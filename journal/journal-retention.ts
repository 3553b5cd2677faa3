import { join } from 'node:path';
import type { SegmentCache } from './cache/index.ts';
import type { Engine } from './duckdb/index.ts';
import { IndelibleError, invalid } from './errors.ts';
import type { AppendResult, DraftEvent, JournalStart } from './event.ts';
import type { Journal } from './journal.ts';
import type { JournalCompaction } from './journal-compaction.ts';
import type { JournalSet } from './journal-set.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { committedEvents, segmentFiles } from './read-committed.ts';
import {
  type Cut,
  filesBelow,
  firstSeqAt,
  keepRetired,
  type Order,
  type RemovalGate,
  type Removed,
  removalEvent,
  removeBelow,
  withdrawalEvent,
} from './retention/index.ts';
import type { SegmentJobs } from './segment-process/index.ts';
import type { DeltaTable } from './table/index.ts';
import { uuidV7 } from './uuid.ts';

export type RetentionRequest = {
  cut: Cut;
  reason: string;
  /** Whose order it is. */
  keyId: string;
  keyName: string;
};

export type RetentionReport = Removed & {
  /** Of the journal's oldest event, once these are removed. */
  first_seq: number;
  /** Events. */
  removed: number;
  /** event_hash at first_seq − 1, hex. */
  before_hash: string;
};

type Options = {
  set: JournalSet;
  engine: Engine;
  store: ObjectStore;
  cache: SegmentCache;
  clock: Clock;
  random: Random;
  tempDir: string;
  compaction: JournalCompaction;
  /** Whether this process writes the journals. */
  isWriter: boolean;
  append(workspace: string, drafts: DraftEvent[], options: { ack: 'durable'; create: false }): Promise<AppendResult>;
  flush(workspace: string): Promise<unknown>;
};

type Work = { journal: Journal; table: DeltaTable; jobs: SegmentJobs; gate: RemovalGate };

/**
 * Retention: removes a journal's oldest events by order. The order is noted in the table, recorded in the journal, and
 * carried out by one commit; killed in between it is finished by `resume`. One at a time, beside seals.
 */
export class JournalRetention {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = { ...options, tempDir: join(options.tempDir, 'retention') };
  }

  /**
   * Removes the committed events before the cut, after all that is durable was committed. `isDryRun`: tells what would
   * go.
   * @throws not-found; conflict where a hold forbids it; invalid where the cut lies beyond the end; fenced; unavailable
   * where the store fails: then the order may be noted, and the next call or `resume` finishes it.
   */
  async remove(
    workspace: string,
    request: RetentionRequest,
    gate: RemovalGate,
    isDryRun: boolean,
  ): Promise<RetentionReport> {
    // Before anything is done. Whoever does not write the journal learns its end by the flush.
    if (this.#options.isWriter)
      assertWithin(request.cut, (await this.#options.set.open(workspace, false)).journal.durableHead.seq);
    await gate(async () => {});
    return this.#exclusively(workspace, gate, async (work) => {
      const { journal, table } = work;
      assertWithin(request.cut, table.lastSeq);
      const begun = table.start;
      // Of an order that was cut short: told as this one's, which may be the same again.
      let done: Removed = { files_removed: 0, files_rewritten: 0 };
      if (!isDryRun && table.order !== undefined) done = await this.#carryOut(work, table.order);
      const from = table.start;
      const to = await this.#startAt(journal, table, request.cut);
      const { whole, cut } = filesBelow(table.files(), to.firstSeq);
      const report = (removed: Removed): RetentionReport => ({
        first_seq: to.firstSeq,
        removed: to.firstSeq - begun.firstSeq,
        files_removed: done.files_removed + removed.files_removed,
        files_rewritten: done.files_rewritten + removed.files_rewritten,
        before_hash: to.beforeHash,
      });
      const isReached = to.firstSeq === from.firstSeq;
      if (isReached || isDryRun) return report({ files_removed: whole.length, files_rewritten: cut.length });
      const { clock, random } = this.#options;
      const { reason, keyId: key_id, keyName: key_name } = request;
      const event_id = uuidV7(random, clock.nowMs());
      const order: Order = { event_id, from, to, reason, key_id, key_name };
      const text = JSON.stringify(order);
      if ((await table.noteOrder(text, { instead: undefined, start: from })) === 'overtaken') {
        const message = 'another process removes events of this journal: try again';
        throw new IndelibleError('unavailable', message, { retryAfterS: 1 });
      }
      return report(await this.#carryOut(work, text));
    });
  }

  /** Finishes what was ordered and not carried out; where a hold forbids it now, the order is withdrawn. */
  async resume(workspace: string, gate: RemovalGate): Promise<void> {
    const { journal } = await this.#options.set.open(workspace, false);
    // What was lost may have been the answer to its noting.
    await journal.table?.refresh();
    if (journal.fenced || journal.table?.order === undefined) return;
    await this.#exclusively(workspace, gate, async (work) => {
      if (work.table.order !== undefined) await this.#carryOut(work, work.table.order);
    });
  }

  async #exclusively<T>(workspace: string, gate: RemovalGate, run: (work: Work) => Promise<T>): Promise<T> {
    const { set, compaction, flush } = this.#options;
    const { journal } = await set.open(workspace, false);
    return compaction.exclusively(async (jobs) => {
      await flush(workspace);
      const { table } = journal;
      if (!table) throw new IndelibleError('not-found', `the workspace '${workspace}' holds no events`);
      await table.refresh();
      return run({ journal, table, jobs, gate });
    });
  }

  /** Where the journal begins after the cut: not before it begins now. */
  async #startAt(journal: Journal, table: DeltaTable, cut: Cut): Promise<JournalStart> {
    const { engine, cache } = this.#options;
    const files = segmentFiles(table);
    const firstSeq = 'seq' in cut ? cut.seq : await firstSeqAt(engine, cache, files, cut.before, table.lastSeq);
    if (firstSeq <= table.start.firstSeq) return table.start;
    const before = (await committedEvents(engine, cache, files, [firstSeq - 1])).get(firstSeq - 1);
    if (!before) throw new IndelibleError('corrupt', `${journal.workspace}: no segment holds seq ${firstSeq - 1}`);
    return { firstSeq, beforeHash: before.event_hash };
  }

  /**
   * Every step can be done again: killed after any of them, the next time does what is left. Another process may be doing
   * the same.
   */
  async #carryOut(work: Work, text: string): Promise<Removed> {
    const { journal, table, gate } = work;
    const { workspace } = journal;
    const order = parseOrder(workspace, text);
    let removed: Removed = { files_removed: 0, files_rewritten: 0 };
    if (order.is_withdrawn) {
      await this.#finishWithdrawal(work, text, order);
      return removed;
    }
    if (table.start.firstSeq < order.to.firstSeq) {
      try {
        await gate(async () => {});
        await this.#keepIds(table, workspace, order);
        await this.#record(workspace, removalEvent(workspace, order));
        const noted = { order: text, start: order.to };
        removed = await removeBelow({ ...this.#options, jobs: work.jobs }, table, noted, gate);
      } catch (error) {
        // A hold was made since: the order must not outlive it.
        if (error instanceof IndelibleError && error.kind === 'conflict') await this.#withdraw(work, text, order);
        throw error;
      }
    }
    await this.#finish(work, text);
    return removed;
  }

  async #withdraw(work: Work, text: string, order: Order): Promise<void> {
    const { table } = work;
    const withdrawn = JSON.stringify({ ...order, is_withdrawn: true });
    // It takes the place of a removal whose answer was lost and that may still be on its way, or that another process is
    // about to commit: or that one was first.
    await table.noteOrder(withdrawn, { instead: text, start: order.from });
    if (table.start.firstSeq >= order.to.firstSeq) await this.#finish(work, text);
    else await this.#finishWithdrawal(work, withdrawn, order);
  }

  /** Recorded in any case: the event of the order may be on its way in another process. */
  async #finishWithdrawal(work: Work, text: string, order: Order): Promise<void> {
    const { workspace } = work.journal;
    await this.#record(workspace, withdrawalEvent(workspace, order));
    await this.#finish(work, text);
  }

  async #finish({ journal, table }: Work, text: string): Promise<void> {
    journal.replaceFiles(segmentFiles(table));
    // A seal that is not told to the journal yet: it will bring the new files.
    if (journal.start.firstSeq < table.start.firstSeq) await this.#options.flush(journal.workspace);
    await table.settle(text);
  }

  async #keepIds(table: DeltaTable, workspace: string, { from, to }: Order): Promise<void> {
    // Another process has removed them.
    if (table.start.firstSeq !== from.firstSeq) return;
    const { whole, cut } = filesBelow(table.files(), to.firstSeq);
    const files = [...whole, ...cut].map((file) => table.holdable(file));
    await keepRetired(this.#options, workspace, files, { firstSeq: from.firstSeq, lastSeq: to.firstSeq - 1 });
  }

  /** Committed before anything is removed, so that the table never becomes empty. */
  async #record(workspace: string, draft: DraftEvent): Promise<void> {
    await this.#options.append(workspace, [draft], { ack: 'durable', create: false });
    // Not `ack: committed`, which waits for as long as the store is away.
    await this.#options.flush(workspace);
  }
}

function parseOrder(workspace: string, text: string): Order {
  try {
    return JSON.parse(text) as Order;
  } catch (cause) {
    throw new IndelibleError('corrupt', `${workspace}: the removal that its table notes cannot be read`, { cause });
  }
}

/** @throws invalid */
function assertWithin(cut: Cut, lastSeq: number): void {
  if (!('seq' in cut) || cut.seq <= lastSeq + 1) return;
  throw invalid([{ pointer: '/seq', message: `is beyond the end of the journal: the last seq is ${lastSeq}` }]);
}
