import {
  type DraftBatch,
  type DraftEvent,
  IndelibleError,
  type JournalQueue,
  type Queued,
} from '../../journal/index.ts';
import type { TestService } from './http-service.ts';

type Entry = { workspace: string; drafts: DraftEvent[]; position: string };

/**
 * A queue in the memory of the test, in place of a cluster's, and the one who writes the journal: `record()` does what
 * a worker would do, when the test says so.
 */
export class FakeQueue implements JournalQueue {
  readonly entries: Entry[] = [];
  /** The next enqueue fails with this. */
  fault: IndelibleError | undefined;
  readonly #service: TestService;
  #recorded = 0;
  #waiting: (() => void)[] = [];
  #wakeTest: (() => void) | undefined;

  /** From then on the service is one of a cluster. */
  static install(service: TestService): FakeQueue {
    const queue = new FakeQueue(service);
    const { journals } = service.services;
    const local = journals.reached.bind(journals);
    Object.assign(journals, {
      queue,
      reached: (workspace: string, after: string) =>
        after.includes(':') ? queue.#reached(after) : local(workspace, after),
    });
    return queue;
  }

  private constructor(service: TestService) {
    this.#service = service;
  }

  async enqueue(workspace: string, given: readonly DraftEvent[] | DraftBatch): Promise<Queued> {
    const { fault } = this;
    this.fault = undefined;
    if (fault !== undefined) throw fault;
    const position = `3:1767322800000-${this.entries.length}`;
    const drafts = Array.from({ length: given.length }, (_, index) => {
      const draft = 'draft' in given ? given.draft(index) : (given[index] as DraftEvent);
      return { ...draft, event_id: draft.event_id ?? `made-${this.entries.length}-${index}` };
    });
    this.entries.push({ workspace, drafts, position });
    const receipts = drafts.map(({ event_id }) => ({ event_id, ack: 'queued' as const }));
    return { queued: drafts.length, position, receipts };
  }

  /** Records everything that is queued. */
  async record(): Promise<void> {
    for (; this.#recorded < this.entries.length; this.#recorded += 1) {
      const { workspace, drafts } = this.entries[this.#recorded] as Entry;
      await this.#service.services.journals.append(workspace, drafts, { ack: 'durable', create: true });
    }
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Resolves once a reader waits for what is not recorded. */
  readerWaits(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeTest = resolve;
    });
  }

  async #reached(after: string): Promise<void> {
    const isThere = () => this.entries.findIndex(({ position }) => position === after) < this.#recorded;
    if (!this.entries.some(({ position }) => position === after)) {
      throw new IndelibleError('unavailable', `${after} is not reached`, { retryAfterS: 2 });
    }
    while (!isThere()) {
      const woken = new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#wakeTest?.();
      await woken;
    }
  }
}
