import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AppendResult,
  type Clock,
  type DraftBatch,
  type DraftEvent,
  IndelibleError,
  type JournalQueue,
  type JournalWrites,
  type Queued,
  type Random,
  SYSTEM_WORKSPACE,
  uuidV4,
  uuidV7,
} from '../../journal/index.ts';
import { partitionOf, queuedId, resultOf } from './partitions/index.ts';
import {
  addAll,
  compareIds,
  entryParts,
  isCommitted,
  type JournalEntry,
  journalStream,
  type Redis,
  replyChannel,
  takeReply,
} from './redis/index.ts';

/** An append that waits for its commit is given up after this long; it is queued all the same. */
const REPLY_WITHIN_MS = 30_000;
/** An answer whose message was lost is looked for this often. */
const LOOK_EVERY_MS = 1_000;
const REACH_EVERY_MS = 20;

type Waiting = { sinceMs: number; answer: PromiseWithResolvers<AppendResult> };

export type RedisWritesOptions = {
  commands: Redis;
  subscriber: Redis;
  partitions: number;
  clock: Clock;
  random: Random;
  /** Entries of all journals that wait to be committed. */
  waitingEntries(): number;
};

/** Appends by way of Redis: each is an entry in the stream of its partition, which a worker records. */
export class RedisWrites implements JournalWrites {
  readonly queue: JournalQueue;
  readonly #options: RedisWritesOptions;
  readonly #webId: string;
  readonly #waiting = new Map<string, Waiting>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: RedisWritesOptions) {
    const { subscriber, random } = options;
    this.#options = options;
    this.#webId = uuidV4(random);
    this.queue = { enqueue: (workspace, drafts) => this.#enqueue(workspace, drafts) };
    subscriber.on('message', (_channel: string, requestId: string) => void this.#take(requestId));
    // Made again by itself after every connect; until then answers are looked for.
    subscriber.subscribe(replyChannel(this.#webId)).catch(() => {});
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  get waitingEntries(): number {
    return this.#options.waitingEntries();
  }

  /** As Journals.append. A position exists once it is committed: every acknowledgement waits for that. */
  readonly append = async (workspace: string, drafts: readonly DraftEvent[] | DraftBatch): Promise<AppendResult> => {
    const { entry, partition } = this.#entryOf(workspace, drafts);
    return this.#ask(entry, partition);
  };

  /** Resolves once everything queued before is committed. */
  readonly flush = async (workspace?: string): Promise<void> => {
    const all = Array.from({ length: this.#options.partitions }, (_, partition) => partition);
    const wanted = workspace === undefined ? all : [partitionOf(workspace, this.#options.partitions)];
    await Promise.all(
      wanted.map((partition) => this.#ask(this.#entryOf(workspace ?? SYSTEM_WORKSPACE, []).entry, partition)),
    );
  };

  async reached(workspace: string, position: string, deadlineMs: number): Promise<boolean | undefined> {
    const { commands, partitions } = this.#options;
    const [, partition, id] = /^(\d{1,4}):(\d{1,15}-\d{1,15})$/.exec(position) ?? [];
    if (id === undefined || Number(partition) !== partitionOf(workspace, partitions)) return undefined;
    // An id of a time that has not come names nothing.
    if (compareIds(id, `${this.#options.clock.nowMs() + REPLY_WITHIN_MS}-0`) > 0) return undefined;
    for (;;) {
      if (await isCommitted(commands, Number(partition), id)) return true;
      if (performance.now() >= deadlineMs) return false;
      await sleep(REACH_EVERY_MS);
    }
  }

  /** Adds entries of the service's own. @throws unavailable: those before the one that failed are there */
  async publish(entries: readonly JournalEntry[]): Promise<void> {
    for (const entry of entries) await this.#add(entry, partitionOf(entry.workspace, this.#options.partitions));
  }

  close(): void {
    clearInterval(this.#timer);
    const error = new IndelibleError('unavailable', 'the service is shutting down', { retryAfterS: 5 });
    for (const { answer } of this.#waiting.values()) answer.reject(error);
    this.#waiting.clear();
  }

  async #enqueue(workspace: string, drafts: readonly DraftEvent[] | DraftBatch): Promise<Queued> {
    const { entry, partition, ids } = this.#entryOf(workspace, drafts);
    const position = await this.#add(entry, partition);
    return {
      queued: ids.length,
      position: `${partition}:${position}`,
      receipts: ids.map((event_id) => ({ event_id, ack: 'queued' })),
    };
  }

  async #ask(entry: JournalEntry, partition: number): Promise<AppendResult> {
    const requestId = uuidV4(this.#options.random);
    const answer = Promise.withResolvers<AppendResult>();
    this.#waiting.set(requestId, { sinceMs: performance.now(), answer });
    answer.promise.catch(() => {});
    try {
      await this.#add({ ...entry, reply: { webId: this.#webId, requestId } }, partition);
      return await answer.promise;
    } finally {
      this.#waiting.delete(requestId);
    }
  }

  async #add(entry: JournalEntry, partition: number): Promise<string> {
    const stream = journalStream(partition);
    const ids = await addAll(
      this.#options.commands,
      entryParts(entry).map((fields) => ({ stream, fields })),
    );
    return ids.at(-1) as string;
  }

  /** What was read where it lay goes on as it came; drafts go as the service's own. */
  #entryOf(workspace: string, drafts: readonly DraftEvent[] | DraftBatch) {
    const { clock, random, partitions } = this.#options;
    const acceptedMs = clock.nowMs();
    const idBase = uuidV7(random, acceptedMs);
    const isScanned = 'draft' in drafts && drafts.source !== undefined;
    const ids = Array.from({ length: drafts.length }, (_, index) => {
      const given = 'draft' in drafts ? drafts.eventId(index) : drafts[index]?.event_id;
      return given ?? queuedId(workspace, idBase, index);
    });
    const body = isScanned
      ? (drafts.source as Buffer)
      : Buffer.from(JSON.stringify(ids.map((event_id, index) => ({ ...draftAt(drafts, index), event_id }))));
    const entry: JournalEntry = {
      ...{ workspace, body, idBase, acceptedMs },
      origin: isScanned ? 'caller' : 'service',
      shape: 'json',
      onTaken: 'refuse',
      reply: undefined,
    };
    return { entry, ids, partition: partitionOf(workspace, partitions) };
  }

  async #take(requestId: string): Promise<void> {
    const waiting = this.#waiting.get(requestId);
    if (!waiting) return;
    try {
      const text = await takeReply(this.#options.commands, requestId);
      if (text !== undefined) waiting.answer.resolve(resultOf(text));
    } catch (error) {
      // Redis is away: it is looked for again. Anything else is the worker's answer.
      if (!(error instanceof IndelibleError) || error.kind !== 'unavailable') waiting.answer.reject(error);
    }
  }

  #look(): void {
    const nowMs = performance.now();
    for (const [requestId, { sinceMs, answer }] of this.#waiting) {
      if (nowMs - sinceMs < LOOK_EVERY_MS) continue;
      if (nowMs - sinceMs < REPLY_WITHIN_MS) void this.#take(requestId);
      else answer.reject(notYet());
    }
  }
}

function draftAt(drafts: readonly DraftEvent[] | DraftBatch, index: number): DraftEvent {
  return 'draft' in drafts ? drafts.draft(index) : (drafts[index] as DraftEvent);
}

function notYet(): IndelibleError {
  const message =
    'the events are queued and not committed yet: sending the same again is safe where they have an event_id, or the request an Idempotency-Key';
  return new IndelibleError('unavailable', message, { retryAfterS: 5 });
}
