import type { HeldFiles, SegmentCache } from './cache/index.ts';
import { assert, IndelibleError } from './errors.ts';
import type { JournalEvent, JournalStart } from './event.ts';
import type { OpenJournal } from './journal-set.ts';
import type { SegmentFile, Snapshot } from './snapshot.ts';
import type { TailView } from './tail.ts';
import type { TailFiles } from './tail-files.ts';

/** A snapshot of the journal as it is now, to be released. */
export function snapshotOf({ journal, tailFiles }: OpenJournal, cache: SegmentCache): JournalSnapshot {
  const { workspace, files, start } = journal;
  const committedSeq = journal.committedHead.seq;
  const durableSeq = journal.durableHead.seq;
  const tail = journal.tail.view(committedSeq + 1, durableSeq);
  journal.pin(files);
  const onReleased = () => journal.unpin(files);
  return new JournalSnapshot({
    ...{ workspace, start, committedSeq, durableSeq, files, tail, tailFiles, cache, onReleased },
  });
}

/** A snapshot of a running journal: files and tail are immutable, so taking one copies a few references. */
export class JournalSnapshot implements Snapshot {
  readonly workspace: string;
  readonly start: JournalStart;
  readonly committedSeq: number;
  readonly durableSeq: number;
  readonly files: readonly SegmentFile[];
  readonly #tail: TailView;
  readonly #tailFiles: TailFiles;
  readonly #cache: SegmentCache;
  readonly #held = new Set<HeldFiles>();
  readonly #onReleased: () => void;
  #isReleased = false;
  #covered: Promise<{ paths: string[]; release: () => Promise<void> }> | undefined;

  constructor(options: {
    workspace: string;
    start: JournalStart;
    committedSeq: number;
    durableSeq: number;
    files: readonly SegmentFile[];
    tail: TailView;
    tailFiles: TailFiles;
    cache: SegmentCache;
    onReleased: () => void;
  }) {
    const { tail, committedSeq, durableSeq } = options;
    assert(tail.fromSeq === committedSeq + 1 && tail.toSeq === durableSeq, 'I4: the tail begins where the files end');
    this.workspace = options.workspace;
    this.start = options.start;
    this.committedSeq = options.committedSeq;
    this.durableSeq = options.durableSeq;
    this.files = options.files;
    this.#tail = options.tail;
    this.#tailFiles = options.tailFiles;
    this.#cache = options.cache;
    this.#onReleased = options.onReleased;
  }

  tailEvents(fromSeq?: number, toSeq?: number): Generator<JournalEvent> {
    return this.#tail.events(fromSeq, toSeq);
  }

  tailEventsDescending(): Generator<JournalEvent> {
    return this.#tail.eventsDescending();
  }

  tailOfEntity(entityId: string): Generator<JournalEvent> {
    return this.#tail.ofEntity(entityId);
  }

  tailOfType(entityType: string, fromSeq: number): Generator<JournalEvent> {
    return this.#tail.ofType(entityType, fromSeq);
  }

  async tailFiles(): Promise<readonly string[]> {
    if (this.committedSeq === this.durableSeq) return [];
    this.#covered ??= this.#tailFiles.cover(this.#tail);
    return (await this.#covered).paths;
  }

  async hold(files: readonly SegmentFile[]): Promise<HeldFiles> {
    assert(!this.#isReleased, 'I4: a snapshot is read before it is released');
    const held = await this.#cache.hold(files);
    // A reader that went away meanwhile: nobody would let go of them.
    if (this.#isReleased) {
      held.release();
      throw new IndelibleError('unavailable', 'the snapshot was released while its files were fetched');
    }
    this.#held.add(held);
    const release = () => {
      this.#held.delete(held);
      held.release();
    };
    return { paths: held.paths, release };
  }

  release(): void {
    assert(!this.#isReleased, 'a snapshot is released once');
    this.#isReleased = true;
    for (const held of this.#held) held.release();
    this.#held.clear();
    this.#onReleased();
    this.#covered?.then(({ release }) => release()).catch(() => {});
  }
}
