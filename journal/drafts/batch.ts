import type { Buffer } from 'node:buffer';
import { canonicalEvent } from '../canonical.ts';
import type { DraftEvent } from '../event.ts';

/** What the journal adds to a draft. */
export type Assigned = { seq: number; eventId: string; recordedAt: string; workspace: string; prevHash: string };

/** A canonical event that can be written where the write-ahead log wants it. */
export interface CanonicalText {
  /** At least as many bytes as write() takes. */
  readonly bytesMax: number;
  /** Writes the UTF-8 text; returns where it ends. */
  write(target: Buffer, at: number): number;
}

/**
 * The drafts of one append. Two adapters: a list of objects, and a request body that was checked where it lies, whose
 * bytes go into the canonical events without ever becoming objects.
 */
export interface DraftBatch {
  readonly length: number;
  /** The JSON text that they were read from, where they were not made objects. */
  readonly source?: Buffer | undefined;
  /** null: the journal makes one. */
  eventId(index: number): string | null;
  entityId(index: number): string;
  draft(index: number): DraftEvent;
  /** Good until the next call. */
  canonical(index: number, assigned: Assigned): CanonicalText;
}

/** A canonical event as a string. */
export class CanonicalString implements CanonicalText {
  readonly bytesMax: number;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    this.bytesMax = text.length * 3;
  }

  write(target: Buffer, at: number): number {
    return at + target.write(this.#text, at);
  }
}

export class DraftList implements DraftBatch {
  readonly #drafts: readonly DraftEvent[];

  constructor(drafts: readonly DraftEvent[]) {
    this.#drafts = drafts;
  }

  get length(): number {
    return this.#drafts.length;
  }

  eventId(index: number): string | null {
    return this.draft(index).event_id;
  }

  entityId(index: number): string {
    return this.draft(index).entity_id;
  }

  draft(index: number): DraftEvent {
    return this.#drafts[index] as DraftEvent;
  }

  canonical(index: number, assigned: Assigned): CanonicalText {
    return new CanonicalString(canonicalDraft(this.draft(index), assigned));
  }
}

/** The canonical event of a draft. */
export function canonicalDraft(draft: DraftEvent, assigned: Assigned): string {
  const { seq, eventId, recordedAt, workspace, prevHash } = assigned;
  return canonicalEvent(
    {
      seq,
      event_id: eventId,
      occurred_at: draft.occurred_at ?? recordedAt,
      recorded_at: recordedAt,
      workspace_id: workspace,
      entity_type: draft.entity_type,
      entity_id: draft.entity_id,
      field: draft.field,
      action: draft.action,
      old_value: draft.old_value,
      new_value: draft.new_value,
      actor: draft.actor,
      actor_type: draft.actor_type,
      source: draft.source,
      correlation_id: draft.correlation_id,
      metadata: draft.metadata,
    },
    prevHash,
  );
}
