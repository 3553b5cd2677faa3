import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import type { SegmentCache } from './cache/index.ts';
import { CommittedIds } from './committed-ids.ts';
import type { Engine } from './duckdb/index.ts';
import { assert, IndelibleError } from './errors.ts';
import { type JournalEvent, SYSTEM_WORKSPACE, WORKSPACE_PATTERN } from './event.ts';
import { EMPTY_HEAD, Journal, type KnownEvents } from './journal.ts';
import type { Clock, ObjectStore, Random } from './ports.ts';
import { committedEvents, committedHead, segmentFiles } from './read-committed.ts';
import { type RetiredEvent, retiredEvents } from './retention/index.ts';
import { DeltaTable } from './table/index.ts';
import { TailFiles } from './tail-files.ts';
import type { RecoveredLine } from './wal/index.ts';

export type OpenJournal = {
  journal: Journal;
  tailFiles: TailFiles;
  /** Resolves once the index knows every committed event_id, those of removed events too. @throws unavailable */
  idsReady(): Promise<void>;
};

type JournalSetOptions = {
  engine: Engine;
  store: ObjectStore;
  cache: SegmentCache;
  clock: Clock;
  random: Random;
  tempDir: string;
  /** Others write the journals of this set; they are read only. */
  isFollowing?: boolean;
  /** Of a writer of a cluster: it takes over every journal that it opens. */
  token?: number;
};

const WORKSPACES_PREFIX = '_indelible/workspaces/';

function workspaceKey(workspace: string): string {
  return `${WORKSPACES_PREFIX}${workspace}.json`;
}

/** Names a workspace in the store: before its table is made, where a write-ahead log tells what is to be in it. */
export async function nameWorkspace(store: ObjectStore, workspace: string): Promise<void> {
  await store.putIfAbsent(workspaceKey(workspace), Buffer.from(`${JSON.stringify({ workspace })}\n`));
}

/** Workspaces that have a table in the store, the service's own too, ascending. */
export async function listWorkspaces(store: ObjectStore): Promise<string[]> {
  const workspaces: string[] = [];
  for await (const { key } of store.list(WORKSPACES_PREFIX)) {
    workspaces.push(key.slice(WORKSPACES_PREFIX.length).replace(/\.json$/, ''));
  }
  return workspaces;
}

/** The journals of a process, each opened when it is first asked for. */
export class JournalSet {
  readonly #options: JournalSetOptions;
  readonly #opening = new Map<string, Promise<OpenJournal>>();
  readonly #open = new Map<string, OpenJournal>();
  readonly #existing = new Set<string>();

  constructor(options: JournalSetOptions) {
    this.#options = options;
  }

  async listExisting(): Promise<void> {
    for (const workspace of await listWorkspaces(this.#options.store)) this.#existing.add(workspace);
  }

  /** Workspaces that hold events, ascending. */
  existing(): string[] {
    return [...this.#existing].sort();
  }

  has(workspace: string): boolean {
    return this.#existing.has(workspace);
  }

  /** A journal that is open. */
  get(workspace: string): Journal {
    const open = this.#open.get(workspace);
    assert(open, `the journal of ${workspace} is open`);
    return open.journal;
  }

  all(): Journal[] {
    return [...this.#open.values()].map(({ journal }) => journal);
  }

  /** The open journal, without a wait where it is open already. */
  peek(workspace: string): OpenJournal | undefined {
    return this.#open.get(workspace);
  }

  /**
   * @throws not-found where there is no such workspace and `create` is not set; corrupt where there is one and its table
   * is gone.
   */
  open(workspace: string, create: boolean, isInWal = false): Promise<OpenJournal> {
    // A journal may be open whose first append failed: it does not exist yet.
    if (!create && !this.#existing.has(workspace)) {
      return Promise.reject(new IndelibleError('not-found', `there is no workspace '${workspace}'`));
    }
    // It becomes a path and a part of every line: the door lets nothing else through.
    assert(WORKSPACE_PATTERN.test(workspace) || workspace === SYSTEM_WORKSPACE, `'${workspace}' is a workspace id`);
    const opening = this.#opening.get(workspace);
    if (opening) return opening;
    const opened = orUnavailable(workspace, 'opened', this.#load(workspace, isInWal));
    this.#opening.set(workspace, opened);
    opened.catch(() => this.#opening.delete(workspace));
    return opened;
  }

  async #load(workspace: string, isInWal: boolean): Promise<OpenJournal> {
    const { engine, cache, random, tempDir } = this.#options;
    const table = await this.#table(workspace);
    // Create is not open. A workspace is named in the store before its table is made, while the log holds its events.
    if (!table && !isInWal && this.#existing.has(workspace)) {
      throw tableGone(workspace);
    }
    const files = table ? segmentFiles(table) : [];
    const isEmpty = !table || table.lastSeq === -1;
    const head = isEmpty ? EMPTY_HEAD : await committedHead(engine, cache, files, table.lastSeq);
    const journal = new Journal({ workspace, random, head, table, files });
    const ids = new CommittedIds(this.#options, journal, this.#options.isFollowing ?? false);
    const open: OpenJournal = {
      journal,
      tailFiles: new TailFiles(join(tempDir, 'tail'), workspace),
      idsReady: () => orUnavailable(workspace, 'read', ids.ready()),
    };
    this.#open.set(workspace, open);
    return open;
  }

  /**
   * The table of the workspace; a writer with a token takes it over, or makes it. The others see a workspace by its name,
   * which is therefore given last.
   */
  async #table(workspace: string): Promise<DeltaTable | undefined> {
    const { token, store } = this.#options;
    const options = { ...this.#options, workspace };
    if (token === undefined) return DeltaTable.open(options);
    const isNamed = (await store.get(workspaceKey(workspace))) !== undefined;
    const table = await DeltaTable.open(options);
    if (!table && isNamed) throw tableGone(workspace);
    if (table) await table.takeOver();
    const taken = table ?? (await DeltaTable.create(options));
    if (!isNamed) await nameWorkspace(store, workspace);
    return taken;
  }

  /**
   * Brings a journal that others write up to its table. Calls of one journal follow one another.
   * @returns whether it has grown
   */
  async refresh({ journal }: OpenJournal): Promise<boolean> {
    const { engine, cache } = this.#options;
    journal.table ??= await DeltaTable.open({ ...this.#options, workspace: journal.workspace });
    const { table } = journal;
    if (!table) return false;
    await table.refresh();
    const files = segmentFiles(table);
    if (table.lastSeq === journal.committedHead.seq) {
      journal.replaceFiles(files);
      return false;
    }
    return journal.follow(await committedHead(engine, cache, files, table.lastSeq), files);
  }

  /** Whether there is such a workspace by now, where somebody else may have made it. */
  async discover(workspace: string): Promise<boolean> {
    if (!this.#existing.has(workspace) && (await this.#options.store.get(workspaceKey(workspace))))
      this.#existing.add(workspace);
    return this.#existing.has(workspace);
  }

  /**
   * Events by position: committed ones, or what is kept of removed ones.
   * @throws corrupt where one is neither; unavailable
   */
  lookUp(journal: Journal, seqs: readonly number[]): Promise<KnownEvents> {
    return orUnavailable(journal.workspace, 'read', this.#lookUp(journal, seqs));
  }

  async #lookUp(journal: Journal, seqs: readonly number[]): Promise<KnownEvents> {
    const { engine, cache } = this.#options;
    const found = await committedEvents(engine, cache, journal.files, seqs);
    const rest = seqs.filter((seq) => !found.has(seq));
    const retired = await retiredEvents(this.#options, journal.workspace, rest);
    const lost = rest.find((seq) => !retired.has(seq));
    if (lost === undefined) return new Map<number, JournalEvent | RetiredEvent>([...found, ...retired]);
    throw new IndelibleError('corrupt', `${journal.workspace}: seq ${lost} is committed but in no segment`);
  }

  /** The durable events that have one of these ids, by id. */
  async find({ journal, idsReady }: OpenJournal, eventIds: readonly string[]): Promise<Map<string, JournalEvent>> {
    await idsReady();
    const found = new Map<string, JournalEvent>();
    const wanted = new Set(eventIds);
    const add = (event: JournalEvent) => {
      if (wanted.has(event.event_id)) found.set(event.event_id, event);
    };
    const committed: number[] = [];
    for (const eventId of wanted) {
      for (const seq of journal.ids.candidates(eventId)) {
        if (seq > journal.durableHead.seq) continue;
        const event = journal.tail.event(seq);
        if (event) add(event);
        else committed.push(seq);
      }
    }
    const { engine, cache } = this.#options;
    for (const event of (await committedEvents(engine, cache, journal.files, committed)).values()) add(event);
    return found;
  }

  /** An event of this workspace is recorded: it exists. */
  exists(workspace: string): void {
    this.#existing.add(workspace);
  }

  /** Takes a line that an earlier process made durable; a promise only where the journal has to be opened first. */
  recover(line: RecoveredLine): Promise<void> | undefined {
    this.#existing.add(line.workspace);
    const open = this.#open.get(line.workspace);
    if (!open) return this.open(line.workspace, true, true).then(({ journal }) => recoverLine(journal, line));
    recoverLine(open.journal, line);
    return undefined;
  }
}

function tableGone(workspace: string): IndelibleError {
  return new IndelibleError('corrupt', `${workspace}: the workspace exists and its table log is gone: restore it`);
}

/** What the store or the engine fails with is their affair: it may go well the next time. */
function orUnavailable<T>(workspace: string, done: 'opened' | 'read', work: Promise<T>): Promise<T> {
  return work.catch((cause: unknown) => {
    if (cause instanceof IndelibleError) throw cause;
    throw new IndelibleError('unavailable', `the journal of ${workspace} cannot be ${done}`, { cause, retryAfterS: 5 });
  });
}

function recoverLine(journal: Journal, line: RecoveredLine): void {
  const { committedHead: committed } = journal;
  if (line.seq < committed.seq) return;
  if (line.seq > committed.seq) {
    journal.recover(line);
  } else if (line.eventHash !== committed.hash) {
    throw new IndelibleError(
      'fenced',
      `${line.workspace}: seq ${line.seq} in the store is another event than in the write-ahead log: another writer used this ` +
        'store. Nothing was changed; see "Two writers" in docs/operations.md',
    );
  }
}
