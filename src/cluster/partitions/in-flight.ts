/** An entry that a term has taken from its stream. */
export type Flying = {
  /** Of its parts; the last one is its position. */
  ids: readonly string[];
  /** It is done once this event of its journal is committed; -1: once everything before it is. */
  workspace: string;
  lastSeq: number;
  /** What is to be told once it is done. */
  told: (() => Reply) | undefined;
  isDone: boolean;
};

/** To whom, and the text. */
export type Reply = { webId: string; requestId: string; text: string };

export type Done = {
  /** Of each entry the ids of its parts. */
  entries: (readonly string[])[];
  replies: Reply[];
  /** The position up to which every entry is done; undefined: it has not moved. */
  throughId: string | undefined;
};

/** Entries between their delivery and their acknowledgement, in the order of the stream. Pure. */
export class InFlight {
  #entries: Flying[] = [];
  readonly #ids = new Set<string>();

  /** 0: all that was taken is done. */
  get size(): number {
    return this.#entries.length;
  }

  /** Whether it is of an entry that was taken and is not acknowledged yet: delivered again, it is passed over. */
  has(id: string): boolean {
    return this.#ids.has(id);
  }

  add(entry: Omit<Flying, 'isDone'>): void {
    this.#entries.push({ ...entry, isDone: false });
    for (const id of entry.ids) this.#ids.add(id);
  }

  /** What is done since it was asked last: each entry once, replies in the order of the stream. */
  settle(committedSeq: (workspace: string) => number): Done {
    const done: Done = { entries: [], replies: [], throughId: undefined };
    let isPrefix = true;
    for (const entry of this.#entries) {
      if (!entry.isDone && this.#isCommitted(entry, committedSeq, isPrefix)) {
        entry.isDone = true;
        done.entries.push(entry.ids);
        const reply = entry.told?.();
        if (reply) done.replies.push(reply);
      }
      isPrefix &&= entry.isDone;
      if (isPrefix) done.throughId = entry.ids.at(-1);
    }
    const first = this.#entries.findIndex(({ isDone }) => !isDone);
    this.#entries = first === -1 ? [] : this.#entries.slice(first);
    return done;
  }

  /** Redis does not deliver them again. */
  acknowledged(ids: Iterable<string>): void {
    for (const id of ids) this.#ids.delete(id);
  }

  #isCommitted(entry: Flying, committedSeq: (workspace: string) => number, isPrefix: boolean): boolean {
    return entry.lastSeq === -1 ? isPrefix : committedSeq(entry.workspace) >= entry.lastSeq;
  }
}
