import { assert } from './errors.ts';
import type { JournalEvent } from './event.ts';
import type { SegmentFile, Snapshot } from './snapshot.ts';
import type { TailView } from './tail.ts';
import type { TailFiles } from './tail-files.ts';

/** A snapshot of a running journal: files and tail are immutable, so taking one copies a few references. */
export class JournalSnapshot implements Snapshot {
  readonly workspace: string;
  readonly committedSeq: number;
  readonly durableSeq: number;
  readonly files: readonly SegmentFile[];
  readonly #tail: TailView;
  readonly #tailFiles: TailFiles;
  #covered: Promise<{ paths: string[]; release: () => Promise<void> }> | undefined;

  constructor(options: {
    workspace: string;
    committedSeq: number;
    durableSeq: number;
    files: readonly SegmentFile[];
    tail: TailView;
    tailFiles: TailFiles;
  }) {
    const { tail, committedSeq, durableSeq } = options;
    assert(tail.fromSeq === committedSeq + 1 && tail.toSeq === durableSeq, 'I4: the tail begins where the files end');
    this.workspace = options.workspace;
    this.committedSeq = options.committedSeq;
    this.durableSeq = options.durableSeq;
    this.files = options.files;
    this.#tail = options.tail;
    this.#tailFiles = options.tailFiles;
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

  async tailFiles(): Promise<readonly string[]> {
    if (this.committedSeq === this.durableSeq) return [];
    this.#covered ??= this.#tailFiles.cover(this.#tail);
    return (await this.#covered).paths;
  }

  release(): void {
    this.#covered?.then(({ release }) => release()).catch(() => {});
  }
}
