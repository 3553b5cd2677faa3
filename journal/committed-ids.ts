import type { Journal } from './journal.ts';
import { eachCommittedId } from './read-committed.ts';
import { eachRetiredId, type RetiredStore } from './retention/index.ts';

/** Sees to it that a journal's index knows every committed event_id, those of removed events too. */
export class CommittedIds {
  readonly #store: RetiredStore;
  readonly #journal: Journal;
  /** Whether others append to the journal: what they committed since has to be read as well. */
  readonly #isFollowing: boolean;
  #isRead = false;
  #throughSeq = -1;
  #reading: Promise<void> | undefined;

  constructor(store: RetiredStore, journal: Journal, isFollowing: boolean) {
    this.#store = store;
    this.#journal = journal;
    this.#isFollowing = isFollowing;
  }

  /** Resolves once all up to a position are known. What failed is tried again by the next who asks. */
  async ready(wantedSeq = this.#journal.committedHead.seq): Promise<void> {
    if (this.#isRead && (!this.#isFollowing || this.#throughSeq >= wantedSeq)) return;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
    await this.ready(wantedSeq);
  }

  async #read(): Promise<void> {
    const { engine, cache } = this.#store;
    const { files, start, workspace, ids, committedHead } = this.#journal;
    const fromSeq = this.#throughSeq + 1;
    const add = (eventId: string, seq: number) => {
      if (seq >= fromSeq) ids.add(eventId, seq);
    };
    this.#journal.pin(files);
    try {
      const newer = files.filter(({ lastSeq }) => lastSeq >= fromSeq);
      await eachCommittedId(engine, cache, newer, add);
      if (!this.#isRead) await eachRetiredId(this.#store, workspace, start.firstSeq, (id, seq) => ids.add(id, seq));
    } finally {
      this.#journal.unpin(files);
    }
    this.#throughSeq = committedHead.seq;
    this.#isRead = true;
  }
}
