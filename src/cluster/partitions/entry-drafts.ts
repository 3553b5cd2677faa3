import { isUtf8 } from 'node:buffer';
import {
  type Assigned,
  type CanonicalText,
  derivedId,
  type DraftBatch,
  type DraftEvent,
  invalid,
  readEvents,
  scanEvents,
} from '../../../journal/index.ts';
import { draftsOfJson, type JournalEntry } from '../redis/index.ts';

/** The id of the event at `index` of an append that was queued, where its sender gave it none: the same at every delivery. */
export function queuedId(workspace: string, idBase: string, index: number): string {
  return derivedId('indelible queued', workspace, idBase, index);
}

/**
 * What an entry asks to record. The body was checked when it was accepted; it is checked again, since others can write
 * to Redis too.
 * @throws IndelibleError invalid, too-large; Malformed
 */
export function draftsOf(entry: JournalEntry): readonly DraftEvent[] | DraftBatch {
  const { workspace, body, idBase } = entry;
  if (entry.origin === 'service') return draftsOfJson(body.toString('utf8'));
  const scanned = entry.shape === 'json' ? scanEvents(body, workspace) : undefined;
  if (scanned) return new NamedBatch(scanned, workspace, idBase);
  if (!isUtf8(body)) throw invalid([{ pointer: '', message: 'is not UTF-8' }]);
  const drafts = readEvents(body.toString('utf8'), entry.shape, workspace);
  for (const [index, draft] of drafts.entries()) draft.event_id ??= queuedId(workspace, idBase, index);
  return drafts;
}

/** A batch whose events all have ids. */
class NamedBatch implements DraftBatch {
  readonly #batch: DraftBatch;
  /** Made once: each is a hash, and is asked for several times on the way. */
  readonly #ids: readonly string[];

  constructor(batch: DraftBatch, workspace: string, idBase: string) {
    this.#batch = batch;
    this.#ids = Array.from({ length: batch.length }, (_, i) => batch.eventId(i) ?? queuedId(workspace, idBase, i));
  }

  get length(): number {
    return this.#batch.length;
  }

  eventId(index: number): string {
    return this.#ids[index] as string;
  }

  entityId(index: number): string {
    return this.#batch.entityId(index);
  }

  draft(index: number): DraftEvent {
    return { ...this.#batch.draft(index), event_id: this.eventId(index) };
  }

  canonical(index: number, assigned: Assigned): CanonicalText {
    return this.#batch.canonical(index, assigned);
  }
}
