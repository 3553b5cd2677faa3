import { hash } from 'node:crypto';
import type { JournalEvent } from './event.ts';

/**
 * The canonical event: RFC 8785 (JCS) JSON of every field but event_hash, plus prev_hash and `"v":1`. All members are
 * strings, null, or integers below 2^53, so JSON.stringify prints each as JCS asks; keys stand in JCS order.
 */
export function canonicalEvent(event: Omit<JournalEvent, 'event_hash'>, prevHash: string): string {
  return (
    `{"action":${quoted(event.action)},"actor":${quoted(event.actor)},"actor_type":${nullable(event.actor_type)}` +
    `,"correlation_id":${nullable(event.correlation_id)},"entity_id":${JSON.stringify(event.entity_id)}` +
    `,"entity_type":${quoted(event.entity_type)},"event_id":${JSON.stringify(event.event_id)}` +
    `,"field":${quoted(event.field)},"metadata":${nullable(event.metadata)},"new_value":${nullable(event.new_value)}` +
    `,"occurred_at":"${event.occurred_at}","old_value":${nullable(event.old_value)},"prev_hash":"${prevHash}"` +
    `,"recorded_at":"${event.recorded_at}","seq":${event.seq},"source":${nullable(event.source)},"v":1` +
    `,"workspace_id":"${event.workspace_id}"}`
  );
}

/** RFC 6962 leaf hash of a canonical event: SHA-256(0x00 ‖ UTF-8), lower-case hex. */
export function leafHash(canonical: string): string {
  return hash('sha256', `\0${canonical}`, 'hex');
}

/**
 * A line of the write-ahead log (docs/format.md): the canonical event with two members before its own.
 * `group` is the byte offset in the file at which the line's group of writes begins.
 */
export function walLine(canonical: string, eventHash: string, groupOffset: number): string {
  return `{"group":${groupOffset},"event_hash":"${eventHash}",${canonical.slice(1)}\n`;
}

function nullable(text: string | null): string {
  return text === null ? 'null' : JSON.stringify(text);
}

const quotedTexts = new Map<string, string>();
const QUOTED_TEXTS_MAX = 4096;

/** JSON.stringify with a memory for the few texts that recur in most events: types, actions, fields, actors. */
function quoted(text: string): string {
  const known = quotedTexts.get(text);
  if (known !== undefined) return known;
  const json = JSON.stringify(text);
  if (quotedTexts.size >= QUOTED_TEXTS_MAX) quotedTexts.clear();
  quotedTexts.set(text, json);
  return json;
}
