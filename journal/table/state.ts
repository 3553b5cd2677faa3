import { IndelibleError } from '../errors.ts';
import { GENESIS, type JournalStart } from '../event.ts';
import {
  type Action,
  type Add,
  APP_ID,
  type Commit,
  type MetaData,
  type Protocol,
  type Remove,
  type Txn,
  WRITER_APP_ID,
} from './actions.ts';
import { JOURNAL_LAYOUT, type TableLayout } from './layout.ts';
import { startOf } from './properties.ts';
import { type FileBounds, fileBounds } from './stats.ts';

export type TableFile = { add: Add; bounds: FileBounds };
/** A file that is no longer part of the table; queries that began before may still read it. */
export type Tombstone = Remove & { deletionTimestamp: number };

/** What the table log says up to a version. */
export class TableState {
  readonly #workspace: string;
  readonly #layout: TableLayout;
  readonly files = new Map<string, TableFile>();
  readonly tombstones = new Map<string, Tombstone>();
  readonly #txns = new Map<string, Txn>();
  #protocol: Protocol | undefined;
  #metaData: MetaData | undefined;
  #start: JournalStart = GENESIS;
  version = -1;

  constructor(workspace: string, layout: TableLayout = JOURNAL_LAYOUT) {
    this.#workspace = workspace;
    this.#layout = layout;
  }

  /** The journal's last committed position; -1: none. */
  get lastSeq(): number {
    return this.#txns.get(APP_ID)?.version ?? -1;
  }

  /** Token of the writer that took the table over last; -1: none ever did. */
  get writerToken(): number {
    return this.#txns.get(WRITER_APP_ID)?.version ?? -1;
  }

  /** The journal's first position. */
  get start(): JournalStart {
    return this.#start;
  }

  get metaData(): MetaData | undefined {
    return this.#metaData;
  }

  /** @throws fenced where the table was upgraded; corrupt where a file has no statistics. */
  apply(commit: Commit, nowMs: number): void {
    const { protocol } = commit;
    if (protocol && (protocol.minReaderVersion > 1 || protocol.minWriterVersion > 2)) {
      throw new IndelibleError(
        'fenced',
        `${this.#workspace}: the table was upgraded to a protocol this version cannot write`,
      );
    }
    for (const remove of commit.removes) {
      this.files.delete(remove.path);
      // A removal that tells no time counts from when we saw it.
      const deletionTimestamp = remove.deletionTimestamp ?? nowMs;
      this.tombstones.set(remove.path, { ...remove, deletionTimestamp });
    }
    for (const add of commit.adds) {
      this.tombstones.delete(add.path);
      this.files.set(add.path, { add, bounds: fileBounds(add.path, add.stats, this.#layout.bounds) });
    }
    for (const txn of commit.txns) {
      const known = this.#txns.get(txn.appId);
      if (!known || known.version < txn.version) this.#txns.set(txn.appId, txn);
    }
    this.#protocol = protocol ?? this.#protocol;
    if (commit.metaData) {
      this.#metaData = commit.metaData;
      this.#start = startOf(this.#workspace, commit.metaData);
    }
    this.version = commit.version;
  }

  /** A journal's files hold the events firstSeq … lastSeq: whoever removed events or added rows of their own shows here. */
  checkWhole(): void {
    if (!this.#layout.isGapFree) return;
    const { firstSeq } = this.#start;
    let rows = 0;
    let lowestSeq = firstSeq;
    for (const { bounds } of this.files.values()) {
      rows += bounds.rows;
      lowestSeq = Math.min(lowestSeq, bounds.firstSeq);
    }
    const events = this.lastSeq + 1 - firstSeq;
    if (rows === events && lowestSeq === firstSeq) return;
    throw new IndelibleError(
      'corrupt',
      `${this.#workspace}: the table holds ${rows} events from seq ${lowestSeq} on, its log says ${events} from seq ${firstSeq} on: another program wrote to it`,
    );
  }

  /** All of it as the actions of a checkpoint. */
  actions(): Action[] {
    const actions: Action[] = [];
    if (this.#protocol) actions.push({ protocol: this.#protocol });
    if (this.#metaData) actions.push({ metaData: this.#metaData });
    for (const txn of this.#txns.values()) actions.push({ txn });
    for (const remove of this.tombstones.values()) actions.push({ remove: { ...remove, dataChange: false } });
    for (const { add } of this.files.values()) actions.push({ add: { ...add, dataChange: false } });
    return actions;
  }
}
