import {
  assert,
  DeltaTable,
  type HoldableFile,
  IndelibleError,
  type InitialRows,
  type Snapshot,
} from '../../journal/index.ts';
import type { Projection } from '../definition.ts';
import { foldRange, inSteps } from './fold.ts';
import { mergeFiles } from './merge.ts';
import type { Storage } from './storage.ts';
import { tidyVersions } from './tidy.ts';
import { currentOf, layoutOf, storedVersions } from './versions.ts';

/** A file of a table as its readers need it. */
export type RowsFile = HoldableFile & {
  rows: number;
  firstSeq: number;
  lastSeq: number;
  min: Readonly<Record<string, string>>;
  max: Readonly<Record<string, string>>;
};

/** What a table holds at a position. Its files stay until `release()`, which is called once. */
export type TableView = {
  /** Every event up to here is in the rows; -1: none. */
  position: number;
  /** 0: there is no table yet. */
  version: number;
  /** Ascending by seq, without a seq in two. */
  files: readonly RowsFile[];
  release(): void;
};

export type Folded = { events: number; rows: number };

/** A fold without a row is committed after so many events; before, only this process remembers it, if it is alone. */
const EMPTY_COMMIT_EVENTS = 100_000;

/** A shared table that was looked at longer ago is looked at again before it is read. */
const STALE_MS = 1_000;

/**
 * One projection of one workspace: its current version, how it grows, and what its readers hold. The position in the
 * table log is moved by the commit that adds the rows: what a crash, or an answer that was lost, left behind is found
 * there by the next call.
 */
export class ProjectionTable {
  readonly workspace: string;
  readonly projection: Projection;
  readonly #storage: Storage;
  readonly #graceMs: number;
  readonly #isShared: boolean;
  #version = 0;
  #table: DeltaTable | undefined;
  /** When it was read from the store last. */
  #locatedMs: number | undefined;
  /** Folded without a row, and not committed. */
  #foldedSeq = -1;
  #tidiedMs: number | undefined;
  readonly #pinned = new Map<string, number>();
  #turn: Promise<unknown> = Promise.resolve();
  #tidying: Promise<unknown> = Promise.resolve();
  #isClosing = false;

  /** `isShared`: several processes fold and read it, and need to see how far it is. */
  constructor(options: {
    storage: Storage;
    workspace: string;
    projection: Projection;
    graceMs: number;
    isShared: boolean;
  }) {
    this.workspace = options.workspace;
    this.projection = options.projection;
    this.#storage = options.storage;
    this.#graceMs = options.graceMs;
    this.#isShared = options.isShared;
  }

  /** Every event up to here is in the rows, as far as this process knows. */
  get position(): number {
    return Math.max(this.#table?.lastSeq ?? -1, this.#foldedSeq);
  }

  get version(): number {
    return this.#version;
  }

  /** Folds what the snapshot has committed. @throws where the store fails: nothing, or all of a step, is done */
  foldTo(snapshot: Snapshot): Promise<Folded> {
    return this.inTurn(() => this.fold(snapshot));
  }

  /** Takes over what another process committed. @throws as foldTo */
  refresh(): Promise<void> {
    return this.inTurn(() => this.locate());
  }

  /** What is there now; read from the store the first time, and where it is shared now and then. @throws unavailable where that fails, corrupt, fenced */
  async view(): Promise<TableView> {
    if (this.#isStale()) await this.refresh().catch(cannotRead);
    const files = this.#files();
    for (const { key } of files) this.#pinned.set(key, (this.#pinned.get(key) ?? 0) + 1);
    return { position: this.position, version: this.#version, files, release: () => this.#unpin(files) };
  }

  /** Merges small files, and deletes what nobody reads any more, where either is due; beside folds. @throws as foldTo */
  tidy(): Promise<void> {
    const done = this.#tidying.then(async () => {
      const table = this.#table;
      if (!table) return;
      const layout = layoutOf(this.projection, this.#version);
      await mergeFiles(this.#storage, this.projection, table, { layout, isStopping: () => this.#isClosing });
      if (this.#isClosing) return;
      await table.checkpoint();
      const nowMs = this.#storage.clock.nowMs();
      if (this.#tidiedMs !== undefined && nowMs - this.#tidiedMs < this.#graceMs / 4) return;
      await tidyVersions(this.#storage, {
        ...{ workspace: this.workspace, name: this.projection.name, version: this.#version, table },
        graceMs: this.#graceMs,
        inUse: (key) => this.#pinned.has(key) || this.#storage.cache.isHeld(key),
      });
      this.#tidiedMs = nowMs;
    });
    this.#tidying = done.catch(() => {});
    return done;
  }

  /** Lets the step that is under way end; no other begins. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([this.#turn, this.#tidying]);
  }

  /** Calls follow one another: each sees the table as the one before left it. `work` uses what is marked so. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** In turn only: takes over what this or another process committed, a newer version too. */
  async locate(): Promise<void> {
    const { store, clock } = this.#storage;
    const locatedMs = clock.nowMs();
    const newest = currentOf(await storedVersions(store, this.workspace, this.projection.name));
    if (newest !== this.#version) {
      const table = await DeltaTable.open(this.#tableOptions(newest));
      assert(table, 'a version that has a log is a table');
      this.#use(newest, table);
    } else {
      await this.#table?.refresh();
    }
    this.#locatedMs = locatedMs;
  }

  /** In turn only: as foldTo. */
  async fold(snapshot: Snapshot): Promise<Folded> {
    await this.locate();
    const folded = { events: 0, rows: 0 };
    // Of events that retention removed before they were folded nothing is left.
    const next = () => Math.max(this.position + 1, snapshot.start.firstSeq);
    await inSteps(next, snapshot.committedSeq, async (fromSeq, toSeq) => {
      if (this.#isClosing) throw new IndelibleError('unavailable', 'the service is shutting down', { retryAfterS: 5 });
      folded.rows += await this.#foldStep({ snapshot, fromSeq, toSeq });
      folded.events += toSeq - fromSeq + 1;
    });
    return folded;
  }

  /**
   * In turn only: makes a version from files that are uploaded, and swaps to it: the commit that creates its table is
   * the swap. False: another process has made this version.
   */
  async swapTo(version: number, initial: InitialRows): Promise<boolean> {
    const table = await DeltaTable.create(this.#tableOptions(version), initial);
    this.#use(version, table);
    return initial.adds.every(({ path }) => table.isLive(path)) && table.lastSeq >= initial.lastSeq;
  }

  async #foldStep(range: { snapshot: Snapshot; fromSeq: number; toSeq: number }): Promise<number> {
    const { toSeq } = range;
    const version = Math.max(this.#version, 1);
    const layout = layoutOf(this.projection, version);
    const key = (path: string) => `${this.workspace}/${layout.dir}${path}`;
    const committedSeq = this.#table?.lastSeq ?? -1;
    const written = await foldRange(this.#storage, this.projection, range, this.#files(), { layout, key });
    if (!written && !this.#isShared && toSeq - committedSeq < EMPTY_COMMIT_EVENTS) {
      this.#foldedSeq = toSeq;
      return 0;
    }
    if (!this.#table) this.#use(version, await DeltaTable.create(this.#tableOptions(version)));
    const table = this.#table as DeltaTable;
    // Only upon what was read for the fold. Where another process came in between, the next step begins after it.
    const outcome = await table.append(written?.add, committedSeq + 1, toSeq);
    return outcome === 'committed' && written ? written.rows : 0;
  }

  #use(version: number, table: DeltaTable): void {
    this.#version = version;
    this.#table = table;
    this.#foldedSeq = -1;
  }

  #tableOptions(version: number) {
    return { ...this.#storage, workspace: this.workspace, layout: layoutOf(this.projection, version) };
  }

  /** Others merge files and delete what they replaced: whoever never looks again reads what is gone. */
  #isStale(): boolean {
    if (this.#locatedMs === undefined) return true;
    return this.#isShared && Math.abs(this.#storage.clock.nowMs() - this.#locatedMs) > STALE_MS;
  }

  #files(): RowsFile[] {
    const table = this.#table;
    if (!table) return [];
    const files = table.files().map((file) => ({ ...table.holdable(file), ...file.bounds }));
    return files.sort((a, b) => a.firstSeq - b.firstSeq);
  }

  #unpin(files: readonly RowsFile[]): void {
    for (const { key } of files) {
      const readers = this.#pinned.get(key) ?? 0;
      assert(readers > 0, 'the files of a view are pinned');
      if (readers === 1) this.#pinned.delete(key);
      else this.#pinned.set(key, readers - 1);
    }
  }
}

function cannotRead(cause: unknown): never {
  if (cause instanceof IndelibleError) throw cause;
  throw new IndelibleError('unavailable', 'the projection cannot be read at the moment', { cause, retryAfterS: 5 });
}
