import { type Add, assert, IndelibleError, type Run, type Snapshot, timeOfMs, withHeld } from '../../journal/index.ts';
import { carriedSql, type Projection } from '../definition.ts';
import type { Certificate, VersionContent } from './certificate.ts';
import { added, type Content, contentOf, differingSeqs, NO_CONTENT, rowsRelation } from './content.ts';
import { type FoldTarget, foldRange, inSteps, writeRows } from './fold.ts';
import type { ProjectionTable } from './projection-table.ts';
import type { Storage } from './storage.ts';
import { layoutOf, storedVersions } from './versions.ts';

export type RebuildOptions = {
  by: string;
  /** Swap although the versions differ. */
  force: boolean;
  /** Events read so far, of so many. */
  onProgress?(done: number, total: number): void;
};

type File = { key: string; sizeBytes: number };

/**
 * A new version of a projection, made from the journal beside the old one. Readers and the runner go on: only the last
 * step, the proof and the swap, keeps the runner of this process waiting.
 */
export class Rebuild {
  readonly #storage: Storage;
  readonly #table: ProjectionTable;
  readonly #projection: Projection;
  readonly #snapshot: () => Promise<Snapshot>;
  readonly #options: RebuildOptions;
  readonly #adds: Add[] = [];
  #carriedRows = 0;
  #version = 0;
  /** Where the journal began when the rebuild did. */
  #firstSeq = 0;
  #doneSeq = -1;
  #comparedSeq = -1;
  #contents: { old: Content; made: Content } = { old: NO_CONTENT, made: NO_CONTENT };

  constructor(options: {
    storage: Storage;
    table: ProjectionTable;
    snapshot: () => Promise<Snapshot>;
    options: RebuildOptions;
  }) {
    this.#storage = options.storage;
    this.#table = options.table;
    this.#projection = options.table.projection;
    this.#snapshot = options.snapshot;
    this.#options = options.options;
  }

  /**
   * @throws conflict where another rebuild was faster; unavailable where the store fails: after a failure of the swap
   * itself its outcome is unknown, and which version is read tells
   */
  async run(): Promise<Certificate> {
    let isSwapped = false;
    try {
      await this.#withSnapshot(async (snapshot) => {
        this.#firstSeq = snapshot.start.firstSeq;
        await this.#table.foldTo(snapshot);
        // Only now: the first fold makes the first version.
        this.#version = await this.#nextVersion();
        if (this.#isUnique) await this.#carryOver();
        await this.#foldAll(snapshot, snapshot.committedSeq);
      });
      // Rows of their own never change: those up to here are proven before the runner has to wait. Sums are few.
      if (this.#isUnique) await this.#compareThrough(this.#doneSeq);
      return await this.#table.inTurn(() =>
        this.#withSnapshot(async (snapshot) => {
          await this.#table.fold(snapshot);
          const { position } = this.#table;
          await this.#foldAll(snapshot, position);
          if (!this.#isUnique) await this.#carryOver();
          await this.#compareThrough(position);
          const certificate = await this.#certify(position);
          isSwapped = certificate.agreed || certificate.forced;
          if (isSwapped) await this.#swap(certificate);
          return certificate;
        }),
      );
    } finally {
      // Of a swap that was begun nothing is deleted: it may have come about.
      if (!isSwapped) await this.#discard();
    }
  }

  async #nextVersion(): Promise<number> {
    const versions = await storedVersions(this.#storage.store, this.#table.workspace, this.#projection.name);
    return (versions.findLast(({ isCommitted }) => isCommitted)?.version ?? 0) + 1;
  }

  async #withSnapshot<T>(work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
    const snapshot = await this.#snapshot();
    try {
      return await work(snapshot);
    } finally {
      snapshot.release();
    }
  }

  /** What of the events up to here is not folded yet. */
  async #foldAll(snapshot: Snapshot, upTo: number): Promise<void> {
    const firstSeq = this.#firstSeq;
    const total = upTo + 1 - firstSeq;
    const next = () => Math.max(this.#doneSeq + 1, firstSeq);
    await inSteps(next, upTo, async (fromSeq, toSeq) => {
      const range = { snapshot, fromSeq, toSeq };
      this.#take((await foldRange(this.#storage, this.#projection, range, this.#files(), this.#target()))?.add);
      this.#doneSeq = toSeq;
      this.#options.onProgress?.(toSeq + 1 - firstSeq, total);
    });
  }

  /** Both versions end at the same position: the old one was just folded up to the snapshot. */
  async #certify(position: number): Promise<Certificate> {
    const view = await this.#table.view();
    try {
      const old: VersionContent = { version: view.version, ...this.#contents.old };
      const made: VersionContent = { version: this.#version, ...this.#contents.made };
      const agreed = old.rows === made.rows && old.last_seq === made.last_seq && old.content_hash === made.content_hash;
      return {
        projection: this.#projection.name,
        workspace: this.#table.workspace,
        first_seq: this.#firstSeq,
        position,
        carried_rows: this.#carriedRows,
        old,
        new: made,
        agreed,
        forced: !agreed && this.#options.force,
        differing_seqs: agreed ? [] : await this.#differing(view.files),
        made_at: timeOfMs(this.#storage.clock.nowMs()),
        by: this.#options.by,
      };
    } finally {
      view.release();
    }
  }

  /**
   * Where retention removed the beginning of the journal, the rows of those events cannot be made again: they are copied.
   * First, where the first row counts; last, where sums are carried: what the events that are left do not account for.
   */
  async #carryOver(): Promise<void> {
    if (this.#firstSeq === 0) return;
    const view = await this.#table.view();
    try {
      const { cache } = this.#storage;
      const written = await withHeld(cache, view.files, (oldPaths) =>
        withHeld(cache, this.#files(), async (newPaths) => {
          const [old, made] = [oldPaths, newPaths].map((paths) => rowsRelation(this.#projection, paths));
          const sql = old && carriedSql(this.#projection, old, made, this.#firstSeq);
          return sql === undefined ? undefined : writeRows(this.#storage, sql, this.#target());
        }),
      );
      this.#take(written?.add);
      this.#carriedRows = written?.rows ?? 0;
    } finally {
      view.release();
    }
  }

  /** Adds what both versions hold after the last position that was compared, up to this one. */
  async #compareThrough(position: number): Promise<void> {
    const after = this.#comparedSeq;
    const between = (relation: string | undefined) =>
      relation && `(SELECT * FROM ${relation} WHERE seq > ${after} AND seq <= ${position})`;
    const view = await this.#table.view();
    try {
      await this.#withRows(view.files, async (run, old, made) => {
        const found = {
          old: await contentOf(run, this.#projection, between(old)),
          made: await contentOf(run, this.#projection, between(made)),
        };
        this.#contents = { old: added(this.#contents.old, found.old), made: added(this.#contents.made, found.made) };
      });
      this.#comparedSeq = position;
    } finally {
      view.release();
    }
  }

  #differing(oldFiles: readonly File[]): Promise<number[]> {
    return this.#withRows(oldFiles, (run, old, made) => differingSeqs(run, this.#projection, old, made));
  }

  /** With the rows of the old version and of the new one as relations; undefined: it has none. */
  #withRows<T>(
    oldFiles: readonly File[],
    work: (run: Run, old: string | undefined, made: string | undefined) => Promise<T>,
  ): Promise<T> {
    const { cache, engine } = this.#storage;
    return withHeld(cache, oldFiles, (oldPaths) =>
      withHeld(cache, this.#files(), (newPaths) =>
        engine.session((run) => {
          const projection = this.#projection;
          return work(run, rowsRelation(projection, oldPaths), rowsRelation(projection, newPaths));
        }),
      ),
    );
  }

  get #isUnique(): boolean {
    return this.#projection.combine.kind === 'unique';
  }

  async #swap(certificate: Certificate): Promise<void> {
    const adds = this.#adds;
    const commitInfo = { certificate };
    const isOurs = await this.#table.swapTo(this.#version, { adds, lastSeq: certificate.position, commitInfo });
    if (isOurs) return;
    const { workspace } = this.#table;
    const message = `another rebuild of ${this.#projection.name} of ${workspace} came first: version ${this.#version} is its`;
    throw new IndelibleError('conflict', message);
  }

  async #discard(): Promise<void> {
    for (const { key } of this.#files()) await this.#storage.store.delete(key).catch(() => {});
  }

  #take(add: Add | undefined): void {
    if (add) this.#adds.push(add);
  }

  #files(): File[] {
    return this.#adds.map(({ path, size }) => ({ key: this.#target().key(path), sizeBytes: size }));
  }

  #target(): FoldTarget {
    assert(this.#version > 0, 'the version is known');
    const layout = layoutOf(this.#projection, this.#version);
    return { layout, key: (path) => `${this.#table.workspace}/${layout.dir}${path}` };
  }
}
