import { hash } from 'node:crypto';
import type { JournalEvent } from './event.ts';

/**
 * The canonical event: RFC 8785 (JCS) JSON of every field but event_hash, plus prev_hash and `"v":1`. All members are
 * strings, null, or integers below 2^53, which JSON.stringify prints as JCS asks; the keys stand in JCS order. (One
 * call for the whole object takes a third of the time of putting the text together.)
 */
export function canonicalEvent(event: Omit<JournalEvent, 'event_hash'>, prevHash: string): string {
  return JSON.stringify({
    action: event.action,
    actor: event.actor,
    actor_type: event.actor_type,
    correlation_id: event.correlation_id,
    entity_id: event.entity_id,
    entity_type: event.entity_type,
    event_id: event.event_id,
    field: event.field,
    metadata: event.metadata,
    new_value: event.new_value,
    occurred_at: event.occurred_at,
    old_value: event.old_value,
    prev_hash: prevHash,
    recorded_at: event.recorded_at,
    seq: event.seq,
    source: event.source,
    v: 1,
    workspace_id: event.workspace_id,
  });
}

/** RFC 6962 leaf hash of a canonical event: SHA-256(0x00 ‖ UTF-8), lower-case hex. */
export function leafHash(canonical: string): string {
  return hash('sha256', `\0${canonical}`, 'hex');
}
