import { Buffer } from 'node:buffer';
import { IndelibleError } from '../errors.ts';
import type { Clock, ObjectStore, Random } from '../ports.ts';
import { uuidV4 } from '../uuid.ts';
import {
  APP_ID,
  type Add,
  appendText,
  type Commit,
  commitKey,
  commitVersion,
  createTableText,
  parseCommit,
} from './actions.ts';
import { type FileBounds, fileBounds } from './stats.ts';

export type TableFile = { add: Add; bounds: FileBounds };

/** `overtaken`: the table's last position is not where this segment begins; nothing was committed. */
export type AppendOutcome = 'committed' | 'overtaken';

type TableOptions = { store: ObjectStore; workspace: string; clock: Clock; random: Random };

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * One journal's Delta table. The commit point is the put-if-absent of `_delta_log/<version>.json`: before it nothing
 * has happened, after it the segment is part of the journal for ever.
 */
export class DeltaTable {
  readonly #options: TableOptions;
  readonly #files = new Map<string, TableFile>();
  #version = -1;
  #lastSeq = -1;

  private constructor(options: TableOptions) {
    this.#options = options;
  }

  /** Reads the table's log. undefined: the workspace has no table (create is not open). */
  static async open(options: TableOptions): Promise<DeltaTable | undefined> {
    const table = new DeltaTable(options);
    const versions: number[] = [];
    for await (const object of options.store.list(`${options.workspace}/_delta_log/`)) {
      const version = commitVersion(object.key);
      if (version !== undefined) versions.push(version);
    }
    if (versions.length === 0) return undefined;
    for (const version of versions) {
      if (version !== table.#version + 1) {
        throw new IndelibleError(
          'corrupt',
          `${options.workspace}: ${commitKey(table.#version + 1)} is missing from the table log`,
        );
      }
      const commit = await table.#readCommit(version);
      if (!commit)
        throw new IndelibleError('corrupt', `${options.workspace}: ${commitKey(version)} cannot be read back`);
      table.#apply(commit);
    }
    table.#checkWhole();
    return table;
  }

  /** Creates the table; where another process was faster, opens theirs. */
  static async create(options: TableOptions): Promise<DeltaTable> {
    const text = createTableText({
      name: options.workspace,
      tableId: uuidV4(options.random),
      txnId: uuidV4(options.random),
      nowMs: options.clock.nowMs(),
    });
    await options.store.putIfAbsent(`${options.workspace}/${commitKey(0)}`, Buffer.from(text));
    const table = await DeltaTable.open(options);
    if (!table)
      throw new IndelibleError('unavailable', `${options.workspace}: the table log was written but cannot be read`);
    return table;
  }

  get version(): number {
    return this.#version;
  }

  /** The journal's last committed position; -1: none. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Live files, in no particular order. */
  files(): TableFile[] {
    return [...this.#files.values()];
  }

  /** Key of an object of this table in the store. */
  key(path: string): string {
    return `${this.#options.workspace}/${path}`;
  }

  /**
   * Commits one segment that holds the events firstSeq … lastSeq, if the table ends just before them. Conflicts with
   * commits that leave the last position alone are rebased.
   * @throws where the store fails: the outcome is unknown. refresh() then tells, by the last position.
   */
  async append(add: Add, firstSeq: number, lastSeq: number): Promise<AppendOutcome> {
    const { clock, random, store } = this.#options;
    await this.refresh();
    while (this.#lastSeq === firstSeq - 1) {
      const version = this.#version + 1;
      const txnId = uuidV4(random);
      const text = appendText({ add, lastSeq, readVersion: this.#version, txnId, nowMs: clock.nowMs() });
      const result = await store.putIfAbsent(this.key(commitKey(version)), Buffer.from(text));
      if (result === 'written') this.#apply(parseCommit(version, text));
      // Someone's commit stands there: another writer's, or our own whose answer was lost.
      else await this.refresh();
      if (this.#files.has(add.path)) return 'committed';
    }
    return 'overtaken';
  }

  /**
   * Applies commits that appeared since.
   * @throws fenced where the table was upgraded; corrupt where it is no longer our events and nothing else
   */
  async refresh(): Promise<void> {
    for (;;) {
      const commit = await this.#readCommit(this.#version + 1);
      if (!commit) break;
      this.#apply(commit);
    }
    this.#checkWhole();
  }

  /** The files hold the events 0 … lastSeq: whoever removed events or added rows of their own shows here. */
  #checkWhole(): void {
    let rows = 0;
    for (const { bounds } of this.#files.values()) rows += bounds.rows;
    if (rows === this.#lastSeq + 1) return;
    throw new IndelibleError(
      'corrupt',
      `${this.#options.workspace}: the table holds ${rows} events, its log says ${this.#lastSeq + 1}: another program wrote to it`,
    );
  }

  async #readCommit(version: number): Promise<Commit | undefined> {
    const bytes = await this.#options.store.get(this.key(commitKey(version)));
    return bytes && parseCommit(version, decoder.decode(bytes));
  }

  #apply(commit: Commit): void {
    const { workspace } = this.#options;
    if (commit.protocol && (commit.protocol.minReaderVersion > 1 || commit.protocol.minWriterVersion > 2)) {
      throw new IndelibleError(
        'fenced',
        `${workspace}: the table was upgraded to a protocol this version cannot write`,
      );
    }
    for (const remove of commit.removes) this.#files.delete(remove.path);
    for (const add of commit.adds) this.#files.set(add.path, { add, bounds: fileBounds(add.path, add.stats) });
    for (const txn of commit.txns) if (txn.appId === APP_ID) this.#lastSeq = Math.max(this.#lastSeq, txn.version);
    this.#version = commit.version;
  }
}
