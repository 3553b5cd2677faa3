import {
  type DraftEvent,
  IndelibleError,
  type Journals,
  SYSTEM_WORKSPACE,
  segmentsSql,
  sqlString,
  withHeld,
} from '../journal/index.ts';
import type { SystemEvent } from '../projections/index.ts';
import type { Principal } from './http/index.ts';

/** The service itself, when no request asked for a change. */
export const SERVICE: Principal = { keyId: 'service', name: 'indelible', role: 'operator', workspace: null };

/** What the service keeps about itself, each change an event of `_system`. */
export type SystemEntity = 'key' | 'workspace' | 'hold' | 'ai-key';

type SystemChange = {
  type: SystemEntity;
  id: string;
  action: 'insert' | 'delete';
  value: Record<string, unknown> | null;
};

export type SystemFollowerOptions = {
  journals: Journals;
  types: readonly SystemEntity[];
  /** Takes events in the order of seq, each once, those of other processes too. */
  fold(events: readonly SystemEvent[]): void;
  /** What others recorded could not be read: it is tried again until it can. */
  onFailed?: ((error: unknown) => void) | undefined;
};

/** After this long. */
const RETRY_MS = 1_000;

/**
 * Keeps a table up with what `_system` says of some entities, whoever recorded it. Two processes may decide the same at
 * once: the table is folded from the events alone, in their order, so that it becomes the same in both.
 */
export class SystemFollower {
  readonly #options: SystemFollowerOptions;
  #unsubscribe: (() => void) | undefined;
  /** Events up to here are folded. */
  #throughSeq = -1;
  #lastRead: Promise<unknown> = Promise.resolve();
  #lastChange: Promise<unknown> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  #isClosing = false;

  constructor(options: SystemFollowerOptions) {
    this.#options = options;
  }

  /** Folds all that there is, and from then on what comes. @throws where the journal cannot be read */
  async start(): Promise<void> {
    this.#unsubscribe = this.#options.journals.onCommitted((workspace) => {
      if (workspace === SYSTEM_WORKSPACE) this.#follow();
    });
    try {
      await this.catchUp();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Resolves once everything is folded that was recorded before the call. @throws where the journal cannot be read */
  catchUp(): Promise<void> {
    return this.#read(this.#throughSeq);
  }

  /** Runs changes one after the other: each decides on all that was recorded before it, here and elsewhere. */
  change<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#lastChange.then(async () => {
      await this.catchUp();
      return work();
    });
    this.#lastChange = done.catch(() => undefined);
    return done;
  }

  /** Records a change; resolves once that is durable and folded, and whatever others recorded before it. */
  async record(change: SystemChange, by: Principal): Promise<void> {
    const drafts = [systemDraft(change, by)];
    const how = { ack: 'durable', create: true } as const;
    const { receipts } = await this.#options.journals.append(SYSTEM_WORKSPACE, drafts, how);
    const receipt = receipts[0];
    if (receipt === undefined) throw new Error('an append without a receipt');
    await this.#read(receipt.seq);
  }

  /** Follows no more. What is asked for is still read. */
  close(): void {
    this.#isClosing = true;
    this.#unsubscribe?.();
    clearTimeout(this.#retry);
  }

  /** Folds up to a position at least, which is there. */
  #read(seq: number): Promise<void> {
    const { journals, types, fold } = this.#options;
    const done = this.#lastRead.then(async () => {
      // Whatever it names, the journal is looked at anew: a snapshot alone may be of a second ago.
      if (seq >= 0) await journals.reached(SYSTEM_WORKSPACE, String(seq));
      const { events, throughSeq } = await systemEvents(journals, types, this.#throughSeq);
      if (events.length > 0) fold(events);
      this.#throughSeq = Math.max(this.#throughSeq, throughSeq);
    });
    this.#lastRead = done.catch(() => undefined);
    return done;
  }

  #follow(): void {
    if (this.#isClosing) return;
    clearTimeout(this.#retry);
    this.catchUp().catch((error: unknown) => {
      if (this.#isClosing) return;
      this.#options.onFailed?.(error);
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#follow(), RETRY_MS).unref();
    });
  }
}

/** Changes to entities of these types after a position, in the order of seq, and the position up to which they are all. */
export async function systemEvents(
  journals: Journals,
  types: readonly SystemEntity[],
  afterSeq = -1,
): Promise<{ events: SystemEvent[]; throughSeq: number }> {
  const snapshot = await journals.snapshot(SYSTEM_WORKSPACE).catch(noneYet);
  if (!snapshot) return { events: [], throughSeq: -1 };
  try {
    const files = snapshot.files.filter(({ lastSeq }) => lastSeq > afterSeq);
    const committed =
      files.length === 0
        ? []
        : await withHeld(snapshot, files, (paths) =>
            journals.engine.all<SystemEvent>(
              `SELECT seq::DOUBLE AS seq, entity_type, entity_id, action, new_value, actor, strftime(recorded_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS recorded_at FROM (${segmentsSql(paths)}) WHERE seq > ${afterSeq} AND entity_type IN (${types.map(sqlString).join(', ')}) ORDER BY seq`,
            ),
          );
    const wanted = new Set<string>(types);
    const tail = [...snapshot.tailEvents(afterSeq + 1)].filter(({ entity_type }) => wanted.has(entity_type));
    return { events: [...committed, ...tail], throughSeq: snapshot.durableSeq };
  } finally {
    snapshot.release();
  }
}

/** Before the first change there is no such journal. */
function noneYet(error: unknown): undefined {
  if (!(error instanceof IndelibleError) || error.kind !== 'not-found') throw error;
}

function systemDraft({ type, id, action, value }: SystemChange, by: Principal): DraftEvent {
  return {
    event_id: null,
    occurred_at: null,
    entity_type: type,
    entity_id: id,
    field: '*',
    action,
    old_value: null,
    new_value: value === null ? null : JSON.stringify(value),
    actor: by.name,
    actor_type: by === SERVICE ? 'service' : 'key',
    source: 'indelible',
    correlation_id: null,
    metadata: JSON.stringify({ key_id: by.keyId }),
  };
}
