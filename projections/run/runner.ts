import { setTimeout as sleep } from 'node:timers/promises';
import { assert, type DraftEvent, IndelibleError, type Journals, SYSTEM_WORKSPACE } from '../../journal/index.ts';
import { PROJECTIONS } from '../catalogue.ts';
import type { Certificate } from './certificate.ts';
import { ProjectionTable, type TableView } from './projection-table.ts';
import { Rebuild, type RebuildOptions } from './rebuild.ts';
import { storageOf } from './storage.ts';

export type ProjectionObserver = {
  folded?(folded: { workspace: string; projection: string; ms: number; events: number; rows: number }): void;
  foldFailed?(error: unknown, workspace: string): void;
};

export type RunnerOptions = {
  journals: Journals;
  /** Fold by itself whatever is committed; otherwise only when a reader asks. */
  isAutomatic: boolean;
  /**
   * Whose projections this process folds, where several processes share them: it may change, see `wakeAll`. Of others it
   * waits until somebody has. Default: it folds all, and nobody else does.
   */
  folds?: ((workspace: string) => boolean) | undefined;
  /** How long replaced files and versions stay: as CompactionSettings.graceMs. */
  graceMs: number;
  /** A fold that failed is tried again after this long, then after twice as long, and so on. */
  retryMs: number;
  observer: ProjectionObserver;
};

/** entity_type of what is recorded of a rebuild. */
const PROJECTION_TYPE = 'indelible.projection';
const RETRY_MS_MAX = 60_000;
/** How long a reader waits for a projection to be where the committed journal is. */
const WAIT_MS = 10_000;
/** It looks at the table this often meanwhile, where another process folds. */
const LOOK_EVERY_MS = 50;

/**
 * Keeps the projections of every workspace up with its journal. Workspaces take turns: one statement of the engine at a
 * time is for this. What was missed while no process ran is folded in the same way.
 */
export class ProjectionRunner {
  readonly #options: RunnerOptions;
  readonly #tables = new Map<string, ProjectionTable>();
  readonly #waiting = new Set<string>();
  readonly #retries = new Map<string, { failures: number; timer: NodeJS.Timeout }>();
  readonly #unsubscribe: () => void;
  #running: Promise<void> | undefined;
  #isClosing = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#unsubscribe = options.journals.onCommitted((workspace) => this.#wake(workspace));
    this.wakeAll();
  }

  /** Folds by itself what is behind: to be called when this process folds more workspaces than before. */
  wakeAll(): void {
    for (const workspace of this.#options.journals.workspaces()) this.#wake(workspace);
  }

  /** Whether this process folds the projections of the workspace. */
  folds(workspace: string): boolean {
    return this.#options.folds?.(workspace) ?? true;
  }

  /** The projection of a workspace that exists. */
  table(workspace: string, name: string): ProjectionTable {
    const id = `${workspace}/${name}`;
    const known = this.#tables.get(id);
    if (known) return known;
    const projection = PROJECTIONS.find((each) => each.name === name);
    assert(projection, `'${name}' is a projection`);
    const { journals, graceMs, folds } = this.#options;
    const isShared = folds !== undefined;
    const table = new ProjectionTable({ storage: storageOf(journals), workspace, projection, graceMs, isShared });
    this.#tables.set(id, table);
    return table;
  }

  get journals(): Journals {
    return this.#options.journals;
  }

  /**
   * Folds and tidies all projections of a workspace now, or waits until the process that does has.
   * @throws not-found, and what the store fails with; unavailable where it takes long
   */
  async catchUp(workspace: string): Promise<void> {
    if (!this.folds(workspace)) {
      const snapshot = await this.#options.journals.snapshot(workspace);
      snapshot.release();
      for (const { name } of PROJECTIONS) await this.#reach(this.table(workspace, name), snapshot.committedSeq);
      return;
    }
    for (const { name } of PROJECTIONS) {
      if (this.#isClosing) return;
      await this.#catchUpOne(workspace, name);
      if (!this.#isClosing) await this.table(workspace, name).tidy();
    }
  }

  /**
   * The projection of a workspace with every event up to `seq`, to be released.
   * @throws unavailable where it lags behind for long, or the store fails
   */
  async view(workspace: string, name: string, seq: number): Promise<TableView> {
    const table = this.table(workspace, name);
    if (table.position < seq) await this.#reach(table, seq);
    return table.view();
  }

  async #reach(table: ProjectionTable, seq: number): Promise<void> {
    const { workspace, projection } = table;
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const message = `${projection.name} of ${workspace} is at seq ${table.position} of ${seq}: it is catching up`;
      timeout.reject(new IndelibleError('unavailable', message, { retryAfterS: 1 }));
    }, WAIT_MS);
    const givenUp = new AbortController();
    const caughtUp = this.#foldedThrough(table, seq, givenUp.signal);
    try {
      await Promise.race([caughtUp, timeout.promise]);
    } catch (cause) {
      // Nobody else waits for it; what failed is tried again by the next who asks.
      caughtUp.catch(() => {});
      if (cause instanceof IndelibleError) throw cause;
      throw new IndelibleError('unavailable', `${projection.name} of ${workspace} cannot be read`, {
        cause,
        retryAfterS: 5,
      });
    } finally {
      clearTimeout(timer);
      givenUp.abort();
    }
  }

  async #foldedThrough(table: ProjectionTable, seq: number, signal: AbortSignal): Promise<void> {
    const { workspace, projection } = table;
    while (!this.folds(workspace)) {
      await table.refresh();
      if (table.position >= seq) return;
      await sleep(LOOK_EVERY_MS, undefined, { signal });
    }
    await this.#catchUpOne(workspace, projection.name);
  }

  /**
   * Makes the projection anew from the journal, proves it against the one there is, swaps if both agree, and records what
   * came of it as an event of the journal. Nothing but the journal is asked: verdicts are events of it. What is durable
   * is sealed first, so that the certificate is about all of it.
   * @throws not-found; as Journals.flush and Rebuild.run
   */
  async rebuild(workspace: string, name: string, options: RebuildOptions): Promise<Certificate> {
    const { journals } = this.#options;
    await journals.flush(workspace);
    const snapshot = () => journals.snapshot(workspace);
    const table = this.table(workspace, name);
    const certificate = await new Rebuild({ storage: storageOf(journals), table, snapshot, options }).run();
    await journals.append(workspace, [rebuildDraft(certificate)], { ack: 'durable', create: false });
    return certificate;
  }

  /** Ends with the step that is under way; nothing of it is lost or doubled by that. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#unsubscribe();
    for (const { timer } of this.#retries.values()) clearTimeout(timer);
    await this.#running;
    await Promise.all([...this.#tables.values()].map((table) => table.close()));
  }

  async #catchUpOne(workspace: string, name: string): Promise<void> {
    const startedMs = performance.now();
    const snapshot = await this.#options.journals.snapshot(workspace);
    try {
      const folded = await this.table(workspace, name).foldTo(snapshot);
      const ms = performance.now() - startedMs;
      if (folded.events > 0) this.#options.observer.folded?.({ workspace, projection: name, ms, ...folded });
    } finally {
      snapshot.release();
    }
  }

  #wake(workspace: string): void {
    if (!this.#options.isAutomatic || this.#isClosing || workspace === SYSTEM_WORKSPACE) return;
    this.#waiting.add(workspace);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // Woken after the last look.
      for (const next of this.#waiting) this.#wake(next);
    });
  }

  async #run(): Promise<void> {
    // The journal's own work, of which this is told, goes first.
    await Promise.resolve();
    for (const workspace of this.#waiting) {
      this.#waiting.delete(workspace);
      if (this.#isClosing) return;
      if (!this.folds(workspace)) continue;
      try {
        await this.catchUp(workspace);
        this.#retries.delete(workspace);
      } catch (error) {
        this.#tryLater(workspace, error);
      }
    }
  }

  #tryLater(workspace: string, error: unknown): void {
    if (this.#isClosing) return;
    this.#options.observer.foldFailed?.(error, workspace);
    const earlier = this.#retries.get(workspace);
    clearTimeout(earlier?.timer);
    const failures = (earlier?.failures ?? 0) + 1;
    const delayMs = Math.min(this.#options.retryMs * 2 ** (failures - 1), RETRY_MS_MAX);
    const timer = setTimeout(() => this.#wake(workspace), delayMs).unref();
    this.#retries.set(workspace, { failures, timer });
  }
}

function rebuildDraft(certificate: Certificate): DraftEvent {
  return {
    event_id: null,
    occurred_at: null,
    entity_type: PROJECTION_TYPE,
    entity_id: certificate.projection,
    field: '*',
    action: 'rebuild',
    old_value: null,
    new_value: JSON.stringify(certificate),
    actor: certificate.by,
    actor_type: null,
    source: 'projections',
    correlation_id: null,
    metadata: null,
  };
}
