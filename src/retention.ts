import { type Cut, IndelibleError, type Journals, type RemovalGate, type RetentionReport } from '../journal/index.ts';
import { EMPTY_HOLD_TABLE, foldHolds, type HoldRecord, type HoldTable, holdId } from '../projections/index.ts';
import type { Principal, RetentionService } from './http/index.ts';
import { SystemFollower } from './system-journal.ts';

/** Retention and the legal holds that forbid it: every hold is an event of `_system`, the table is folded from them. */
export class Retention implements RetentionService {
  readonly #journals: Journals;
  readonly #fold: (workspace: string) => Promise<void>;
  readonly #system: SystemFollower;
  #table: HoldTable = EMPTY_HOLD_TABLE;

  private constructor(
    journals: Journals,
    fold: (workspace: string) => Promise<void>,
    onFollowFailed: ((error: unknown) => void) | undefined,
  ) {
    this.#journals = journals;
    this.#fold = fold;
    this.#system = new SystemFollower({
      ...{ journals, types: ['hold'], onFailed: onFollowFailed },
      fold: (events) => {
        this.#table = foldHolds(this.#table, events);
      },
    });
  }

  /**
   * Folds the table from the `_system` journal, and follows that.
   * @param fold takes what is committed of a workspace into its projections: rows outlive the events they came from
   * @param onFollowFailed holds of other processes could not be read: they are shown once that succeeds
   */
  static async open(
    journals: Journals,
    fold: (workspace: string) => Promise<void>,
    onFollowFailed?: (error: unknown) => void,
  ): Promise<Retention> {
    const retention = new Retention(journals, fold, onFollowFailed);
    await retention.#system.start();
    return retention;
  }

  /** Hears no more of what other processes change. */
  close(): void {
    this.#system.close();
  }

  holds(workspace: string): readonly HoldRecord[] {
    return [...this.#table.holds.values()].filter((hold) => hold.workspace === workspace);
  }

  addHold(workspace: string, wanted: { name: string; reason: string }, by: Principal): Promise<HoldRecord> {
    const id = holdId(workspace, wanted.name);
    return this.#system.change(async () => {
      const known = this.#table.holds.get(id);
      const stands = known?.released_at === null;
      if (stands && known.reason !== wanted.reason) {
        throw new IndelibleError('conflict', `hold '${wanted.name}' stands for another reason: take another name`);
      }
      if (!stands) await this.#record(id, { workspace, ...wanted }, by);
      // Waits for a commit that was let through before, and withdraws an order: once this is answered nothing goes.
      await this.resume(workspace);
      return this.#table.holds.get(id) as HoldRecord;
    });
  }

  releaseHold(workspace: string, name: string, by: Principal): Promise<HoldRecord> {
    const id = holdId(workspace, name);
    return this.#system.change(async () => {
      const known = this.#table.holds.get(id);
      if (known === undefined) throw new IndelibleError('not-found', `no hold '${name}'`);
      // An order that the hold stopped must not be carried out when it is gone.
      await this.resume(workspace);
      if (known.released_at === null) await this.#record(id, null, by);
      return this.#table.holds.get(id) as HoldRecord;
    });
  }

  remove(
    workspace: string,
    request: { cut: Cut; reason: string; isDryRun: boolean },
    by: Principal,
  ): Promise<RetentionReport> {
    const { isDryRun, ...asked } = request;
    const order = { ...asked, keyId: by.keyId, keyName: by.name };
    return this.#journals.retention.remove(workspace, order, this.#gate(workspace), isDryRun);
  }

  /** Finishes a removal that was cut short, or withdraws it where a hold stands. */
  async resume(workspace: string): Promise<void> {
    try {
      // Another process may have made it a moment ago.
      (await this.#journals.snapshot(workspace)).release();
      await this.#journals.retention.resume(workspace, this.#gate(workspace));
    } catch (error) {
      // Withdrawn; or nothing is there that could be removed.
      if (!(error instanceof IndelibleError) || !['conflict', 'not-found'].includes(error.kind)) throw error;
    }
  }

  /** The same for every workspace, in the background. */
  async resumeAll(signal: AbortSignal, onFailed: (error: unknown, workspace: string) => void): Promise<void> {
    for (const workspace of this.#journals.workspaces()) {
      if (signal.aborted) return;
      await this.resume(workspace).catch((error: unknown) => onFailed(error, workspace));
    }
  }

  #gate(workspace: string): RemovalGate {
    return async (commit) => {
      // An order is withdrawn also while nobody folds.
      await this.#system.catchUp();
      this.#forbidHeld(workspace);
      await this.#fold(workspace);
      // Of every process: whoever makes a hold after this look finds the order in the table.
      await this.#system.catchUp();
      this.#forbidHeld(workspace);
      // Begun before anything else can be: whoever then asks the table waits until it is over.
      return commit();
    };
  }

  /** @throws conflict where a hold stands */
  #forbidHeld(workspace: string): void {
    const hold = this.holds(workspace).find(({ released_at }) => released_at === null);
    if (hold)
      throw new IndelibleError('conflict', `the hold '${hold.name}' stands: nothing of '${workspace}' is removed`);
  }

  #record(id: string, value: Record<string, unknown> | null, by: Principal): Promise<void> {
    return this.#system.record({ type: 'hold', id, action: value === null ? 'delete' : 'insert', value }, by);
  }
}
