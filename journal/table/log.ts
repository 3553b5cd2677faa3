import { IndelibleError } from '../errors.ts';
import type { StoredObject } from '../ports.ts';
import { uuidV4 } from '../uuid.ts';
import { type Commit, checkpointKey, commitKey, LAST_CHECKPOINT_KEY, logEntry, parseCommit } from './actions.ts';
import {
  checkpointBytes,
  lastCheckpointBytes,
  lastCheckpointVersion,
  parseCheckpoint,
  type Scratch,
} from './checkpoint.ts';
import { JOURNAL_LAYOUT } from './layout.ts';
import { TableState } from './state.ts';
import type { TableOptions } from './options.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

type Listing = { commits: number[]; checkpoints: number[] };

/** Key of an object of the table in the store. */
export function keyOf({ workspace, layout = JOURNAL_LAYOUT }: TableOptions, path: string): string {
  return `${workspace}/${layout.dir}${path}`;
}

/** The objects of `_delta_log/`: commits, checkpoints and the pointer to the newest of those. */
export class TableLog {
  readonly #options: TableOptions;
  /** Of the newest checkpoint that is known; -1: none. */
  checkpointVersion = -1;

  constructor(options: TableOptions) {
    this.#options = options;
  }

  /**
   * The table as its log tells it. undefined: there is no log.
   * @throws corrupt where a commit is missing that no checkpoint stands for
   */
  async load(): Promise<TableState | undefined> {
    const hint = lastCheckpointVersion(await this.#options.store.get(this.#key(LAST_CHECKPOINT_KEY)));
    if (hint !== undefined) {
      const state = await this.#replay(await this.#list(hint));
      if (state instanceof TableState) return state;
    }
    // The pointer is a hint: where it leads nowhere, the log itself tells.
    const listing = await this.#list(0);
    if (listing.commits.length === 0 && listing.checkpoints.length === 0) return undefined;
    const state = await this.#replay(listing);
    if (state instanceof TableState) return state;
    throw new IndelibleError('corrupt', `${this.#options.workspace}: ${state.missing} is missing from the table log`);
  }

  /** Applies the commits after `state`, or gives a new state where those were cleaned away. */
  async catchUp(state: TableState): Promise<TableState> {
    const from = this.#key(commitKey(state.version));
    for await (const { key } of this.#options.store.list(this.#prefix, from)) {
      const entry = logEntry(key);
      if (entry?.kind !== 'commit') continue;
      const commit = entry.version === state.version + 1 ? await this.#readCommit(entry.version) : undefined;
      // A gap. To commit into it would be to commit into the past.
      if (!commit) return this.#reload(state);
      state.apply(commit, this.#options.clock.nowMs());
    }
    return state;
  }

  async #reload(state: TableState): Promise<TableState> {
    const loaded = await this.load();
    if (loaded && loaded.version >= state.version) return loaded;
    const missing = commitKey(state.version + 1);
    throw new IndelibleError('corrupt', `${this.#options.workspace}: ${missing} is missing from the table log`);
  }

  /** Killed between the two writes, the pointer names the checkpoint before: nothing is lost by that. */
  async writeCheckpoint(state: TableState): Promise<void> {
    const { store } = this.#options;
    const actions = state.actions();
    const bytes = await checkpointBytes(this.#scratch(), actions);
    await store.putIfAbsent(this.#key(checkpointKey(state.version)), bytes);
    const pointer = this.#key(LAST_CHECKPOINT_KEY);
    const named = lastCheckpointVersion(await store.get(pointer)) ?? -1;
    if (named < state.version) await store.put(pointer, lastCheckpointBytes(state.version, actions, bytes.length));
    this.checkpointVersion = state.version;
  }

  /**
   * Deletes commits and checkpoints older than the newest checkpoint that is itself older than the grace period, that
   * the pointer does not lie behind, and that can be read back.
   */
  async clean(graceMs: number): Promise<number> {
    const { store, clock } = this.#options;
    const named = lastCheckpointVersion(await store.get(this.#key(LAST_CHECKPOINT_KEY)));
    if (named === undefined) return 0;
    const old: StoredObject[] = [];
    for await (const object of store.list(this.#prefix)) {
      if (logEntry(object.key) && object.modifiedMs < clock.nowMs() - graceMs) old.push(object);
    }
    const entries = old.map(({ key }) => ({ key, ...logEntry(key) }));
    const kept = entries.findLast((entry) => entry.kind === 'checkpoint' && (entry.version as number) <= named);
    const expired = kept ? entries.filter((entry) => (entry.version as number) < (kept.version as number)) : [];
    if (!kept || expired.length === 0 || !(await this.#fromCheckpoint(kept.version as number))) return 0;
    for (const { key } of expired) await store.delete(key);
    return expired.length;
  }

  get #prefix(): string {
    return this.#key('_delta_log/');
  }

  #key(path: string): string {
    return keyOf(this.#options, path);
  }

  #emptyState(): TableState {
    return new TableState(this.#options.workspace, this.#options.layout);
  }

  #scratch(): Scratch {
    const { engine, tempDir, random } = this.#options;
    return { engine, dir: tempDir, name: `checkpoint-${uuidV4(random)}` };
  }

  /** From this version on. */
  async #list(version: number): Promise<Listing> {
    const listing: Listing = { commits: [], checkpoints: [] };
    const before = this.#key(commitKey(version).replace(/json$/, ''));
    for await (const { key } of this.#options.store.list(this.#prefix, before)) {
      const entry = logEntry(key);
      if (entry?.kind === 'commit') listing.commits.push(entry.version);
      else if (entry?.kind === 'checkpoint') listing.checkpoints.push(entry.version);
    }
    return listing;
  }

  /** The newest checkpoint that can be read, or the beginning, and every commit after it. */
  async #replay({ commits, checkpoints }: Listing): Promise<TableState | { missing: string }> {
    let missing: string | undefined;
    for (const version of [...checkpoints.reverse(), -1]) {
      const state = version === -1 ? this.#emptyState() : await this.#fromCheckpoint(version);
      if (!state) continue;
      const gap = await this.#applyAll(
        state,
        commits.filter((commit) => commit > version),
      );
      if (gap === undefined && state.version >= 0) {
        this.checkpointVersion = version;
        return state;
      }
      missing ??= commitKey(gap ?? 0);
    }
    return { missing: missing ?? commitKey(0) };
  }

  /** The first version that is not there, undefined if all are. */
  async #applyAll(state: TableState, versions: readonly number[]): Promise<number | undefined> {
    for (const version of versions) {
      const commit = version === state.version + 1 ? await this.#readCommit(version) : undefined;
      if (!commit) return state.version + 1;
      state.apply(commit, this.#options.clock.nowMs());
    }
    return undefined;
  }

  async #fromCheckpoint(version: number): Promise<TableState | undefined> {
    const bytes = await this.#options.store.get(this.#key(checkpointKey(version)));
    const commit = bytes && (await parseCheckpoint(this.#scratch(), version, bytes));
    if (!commit) return undefined;
    const state = this.#emptyState();
    state.apply(commit, this.#options.clock.nowMs());
    return state;
  }

  async #readCommit(version: number): Promise<Commit | undefined> {
    const bytes = await this.#options.store.get(this.#key(commitKey(version)));
    return bytes && parseCommit(version, decoder.decode(bytes));
  }
}
