import { Buffer } from 'node:buffer';
import type { HoldableFile } from '../cache/index.ts';
import { assert, IndelibleError } from '../errors.ts';
import type { JournalStart } from '../event.ts';
import { uuidV4 } from '../uuid.ts';
import {
  type Add,
  appendText,
  commitKey,
  createTableText,
  deleteText,
  type InitialRows,
  type MetaData,
  optimizeText,
  parseCommit,
  setPropertiesText,
  takeOverText,
} from './actions.ts';
import { JOURNAL_LAYOUT } from './layout.ts';
import { keyOf, TableLog } from './log.ts';
import type { TableOptions } from './options.ts';
import { orderedProperties, orderOf, settledProperties, startProperties } from './properties.ts';
import type { TableFile, TableState, Tombstone } from './state.ts';
import { fileBounds } from './stats.ts';

/** `overtaken`: the table moved so that this commit has no place in it any more; nothing was committed. */
export type CommitOutcome = 'committed' | 'overtaken';

/** What a removal changes: where the journal begins then, and the files for it. */
export type Removal = {
  /** As the table notes it. */
  order: string;
  start: JournalStart;
  removes: readonly Add[];
  adds: readonly Add[];
};

/**
 * A file that was uploaded longer ago is not committed: whoever cleans up may take it for one that never will be, and
 * waits at least twice as long for that.
 */
export const COMMIT_WITHIN_MS = 30 * 60 * 1000;

/** A checkpoint is due after this many commits. */
export const CHECKPOINT_COMMITS = 100;

/**
 * One Delta table: a journal, or what is derived from one. The commit point is the put-if-absent of `_delta_log/<version>.json`: before it nothing
 * has happened, after it the segment is part of the journal for ever. Calls follow one another: each sees the table as
 * the one before left it.
 */
export class DeltaTable {
  readonly #options: TableOptions;
  readonly #log: TableLog;
  #state: TableState;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: TableOptions, log: TableLog, state: TableState) {
    this.#options = options;
    this.#log = log;
    this.#state = state;
  }

  /**
   * Reads the table's log. undefined: the workspace has no table (create is not open).
   * @throws corrupt, fenced
   */
  static async open(options: TableOptions): Promise<DeltaTable | undefined> {
    const log = new TableLog(options);
    const state = await log.load();
    if (!state) return undefined;
    state.checkWhole();
    return new DeltaTable(options, log, state);
  }

  /**
   * Creates the table, with rows if there are any; where another process was faster, opens theirs. A writer with a token
   * has taken it over then.
   * @throws as open does; fenced where a higher token was faster
   */
  static async create(options: TableOptions, initial?: InitialRows): Promise<DeltaTable> {
    const { workspace, layout = JOURNAL_LAYOUT } = options;
    if (initial) checkAge(options, initial.adds);
    const text = createTableText({
      name: `${workspace}/${layout.dir}`.replace(/\/$/, ''),
      layout,
      initial,
      tableId: uuidV4(options.random),
      txnId: uuidV4(options.random),
      nowMs: options.clock.nowMs(),
    });
    await options.store.putIfAbsent(keyOf(options, commitKey(0)), Buffer.from(text));
    const table = await DeltaTable.open(options);
    if (!table)
      throw new IndelibleError('unavailable', `${options.workspace}: the table log was written but cannot be read`);
    if (options.token !== undefined) await table.takeOver();
    return table;
  }

  get version(): number {
    return this.#state.version;
  }

  /** The journal's last committed position; -1: none. */
  get lastSeq(): number {
    return this.#state.lastSeq;
  }

  /** The journal's first position. */
  get start(): JournalStart {
    return this.#state.start;
  }

  /** The text of a removal that was ordered and is not finished. */
  get order(): string | undefined {
    return orderOf(this.#metaData);
  }

  /** Live files, in no particular order. */
  files(): TableFile[] {
    return [...this.#state.files.values()];
  }

  isLive(path: string): boolean {
    return this.#state.files.has(path);
  }

  /** Files that were part of the table once and have not been forgotten. */
  tombstones(): ReadonlyMap<string, Tombstone> {
    return this.#state.tombstones;
  }

  /** The files of these tombstones are deleted. */
  forget(paths: Iterable<string>): void {
    for (const path of paths) this.#state.tombstones.delete(path);
  }

  /** Key of an object of this table in the store. */
  key(path: string): string {
    return keyOf(this.#options, path);
  }

  /** A file of the table as the segment cache wants it named. */
  holdable({ add }: TableFile): HoldableFile {
    return { key: this.key(add.path), sizeBytes: add.size };
  }

  /**
   * Makes the table this writer's: what a writer of a lower token has not committed by now, it never will.
   * @throws fenced where a higher token has it. Where the store fails the outcome is unknown: call it again.
   */
  async takeOver(): Promise<void> {
    const { token } = this.#options;
    assert(token !== undefined, 'who takes a table over has a token');
    await this.#commit({
      adds: [],
      isDone: () => this.#state.writerToken === token,
      isPossible: () => this.#state.writerToken < token,
      text: (commit) => takeOverText({ token, ...commit }),
    });
  }

  /**
   * Commits one segment that holds the events firstSeq … lastSeq, if the table ends just before them; undefined: only the
   * position moves. Conflicts with commits that leave the last position alone are rebased.
   * @throws where the store fails: the outcome is unknown. refresh() then tells, by the last position.
   */
  append(add: Add | undefined, firstSeq: number, lastSeq: number): Promise<CommitOutcome> {
    return this.#commit({
      adds: add ? [add] : [],
      // Without a file a position is nobody's: whoever moved it did it for all.
      isDone: () => (add ? this.isLive(add.path) : this.lastSeq >= lastSeq),
      isPossible: () => this.lastSeq === firstSeq - 1,
      text: (commit) => appendText({ add, lastSeq, ...commit }),
    });
  }

  /**
   * Puts files in the place of others that hold the same events, if those are all still part of the table.
   * @throws where the store fails: the outcome is unknown. refresh() then tells, by the new files.
   */
  optimize(removes: readonly Add[], adds: readonly [Add, ...Add[]]): Promise<CommitOutcome> {
    return this.#commit({
      adds,
      isDone: () => this.isLive(adds[0].path),
      isPossible: () => removes.every(({ path }) => this.isLive(path)),
      text: (commit) => optimizeText({ removes, adds, ...commit }),
    });
  }

  /**
   * Notes a removal in the place of another or of none, and lets the table lose rows until `settle`. Nothing is removed
   * yet. Where the table notes something else by now, or begins elsewhere, nothing is noted.
   */
  noteOrder(order: string, { instead, start }: { instead: string | undefined; start: JournalStart }) {
    return this.#setProperties({
      isDone: () => this.order === order,
      isPossible: () => this.order === instead && this.start.firstSeq === start.firstSeq,
      properties: (metaData) => orderedProperties(metaData, order),
    });
  }

  /**
   * Lets the journal begin later, as long as the table notes this order: `removes` are all files that hold events below the
   * start, `adds` what those hold from it on.
   * @throws corrupt where other events would be missing than those: nothing is committed. Where the store fails the
   * outcome is unknown: refresh() then tells, by `start`.
   */
  removeBelow({ order, start, removes, adds }: Removal): Promise<CommitOutcome> {
    const removed = new Set(removes.map(({ path }) => path));
    const { firstSeq } = start;
    return this.#commit({
      adds,
      isDone: () => this.start.firstSeq === firstSeq,
      isPossible: () =>
        this.order === order && this.start.firstSeq < firstSeq && removes.every(({ path }) => this.isLive(path)),
      text: (commit) => {
        const kept = this.files().filter(({ add }) => !removed.has(add.path));
        const rows = [...kept, ...adds.map((add) => ({ bounds: fileBounds(add.path, add.stats) }))].reduce(
          (sum, { bounds }) => sum + bounds.rows,
          0,
        );
        if (rows !== this.lastSeq + 1 - firstSeq) {
          throw new IndelibleError('corrupt', `${this.#options.workspace}: a removal would leave ${rows} events`);
        }
        const metaData = this.#metaData;
        return deleteText({
          firstSeq,
          removes,
          adds,
          metaData,
          properties: startProperties(metaData, start),
          ...commit,
        });
      },
    });
  }

  /** The table is append-only again, and does not note this order any more. One that was noted since stays. */
  async settle(order: string): Promise<void> {
    await this.#setProperties({
      isDone: () => this.order !== order,
      isPossible: () => this.order === order,
      properties: settledProperties,
    });
  }

  /**
   * Applies commits that appeared since.
   * @throws fenced where the table was upgraded; corrupt where it is no longer our events and nothing else
   */
  refresh(): Promise<void> {
    return this.#inTurn(() => this.#catchUp());
  }

  /** Writes a checkpoint if CHECKPOINT_COMMITS have come since the newest. Whether it did. */
  checkpoint(): Promise<boolean> {
    return this.#inTurn(async () => {
      await this.#catchUp();
      if (this.version - Math.max(this.#log.checkpointVersion, 0) < CHECKPOINT_COMMITS) return false;
      await this.#log.writeCheckpoint(this.#state);
      return true;
    });
  }

  /** Deletes entries of the log that a kept checkpoint stands for and nobody can be reading any more. How many. */
  cleanLog(graceMs: number): Promise<number> {
    return this.#inTurn(() => this.#log.clean(graceMs));
  }

  #commit(wanted: {
    adds: readonly Add[];
    /** Whether the table is as it is after this commit. */
    isDone(): boolean;
    isPossible(): boolean;
    text(commit: { readVersion: number; txnId: string; nowMs: number }): string;
  }): Promise<CommitOutcome> {
    const { clock, random, store } = this.#options;
    return this.#inTurn(async () => {
      await this.#catchUp();
      for (;;) {
        this.#checkWriter();
        if (!wanted.isPossible()) return 'overtaken';
        checkAge(this.#options, wanted.adds);
        const version = this.version + 1;
        const text = wanted.text({ readVersion: this.version, txnId: uuidV4(random), nowMs: clock.nowMs() });
        const result = await store.putIfAbsent(this.key(commitKey(version)), Buffer.from(text));
        if (result === 'written') this.#state.apply(parseCommit(version, text), clock.nowMs());
        // Someone's commit stands there: another writer's, or our own whose answer was lost.
        else await this.#catchUp();
        if (wanted.isDone()) return 'committed';
      }
    });
  }

  /** The state is the table's, as far as the next version: the put of that decides between this writer and the next. */
  #checkWriter(): void {
    const { workspace, token } = this.#options;
    const { writerToken } = this.#state;
    if (token === undefined || writerToken <= token) return;
    throw new IndelibleError('fenced', `${workspace}: writer ${writerToken} has taken over from writer ${token}`);
  }

  get #metaData(): MetaData {
    const { metaData } = this.#state;
    assert(metaData, 'a table has metadata');
    return metaData;
  }

  #setProperties(wanted: {
    isDone(): boolean;
    isPossible(): boolean;
    properties(metaData: MetaData): Record<string, string>;
  }): Promise<CommitOutcome> {
    return this.#commit({
      adds: [],
      isDone: wanted.isDone,
      isPossible: wanted.isPossible,
      text: (commit) =>
        setPropertiesText({ metaData: this.#metaData, properties: wanted.properties(this.#metaData), ...commit }),
    });
  }

  async #catchUp(): Promise<void> {
    this.#state = await this.#log.catchUp(this.#state);
    this.#state.checkWhole();
  }

  /** Seals and compaction share the table. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}

function checkAge({ clock, workspace }: TableOptions, adds: readonly Add[]): void {
  const uploadedMs = Math.min(...adds.map(({ modificationTime }) => modificationTime));
  if (clock.nowMs() - uploadedMs <= COMMIT_WITHIN_MS) return;
  throw new IndelibleError('unavailable', `${workspace}: files were uploaded too long ago to be committed`);
}
