import type { JournalEvent } from '../journal/index.ts';

/**
 * The event as JSON: keys in the order of the table's columns, absent ones left out, `prev_hash` last where given.
 * Values are JSON text already and go in as they are: printing them again would change large numbers.
 */
export function eventJson(event: JournalEvent, prevHash?: string): string {
  let json = `{"seq":${event.seq},"event_id":${JSON.stringify(event.event_id)}`;
  json += `,"occurred_at":"${event.occurred_at}","recorded_at":"${event.recorded_at}"`;
  json += `,"workspace_id":${JSON.stringify(event.workspace_id)},"entity_type":${JSON.stringify(event.entity_type)}`;
  json += `,"entity_id":${JSON.stringify(event.entity_id)},"field":${JSON.stringify(event.field)}`;
  json += `,"action":${JSON.stringify(event.action)}`;
  if (event.old_value !== null) json += `,"old_value":${event.old_value}`;
  if (event.new_value !== null) json += `,"new_value":${event.new_value}`;
  json += `,"actor":${JSON.stringify(event.actor)}`;
  if (event.actor_type !== null) json += `,"actor_type":${JSON.stringify(event.actor_type)}`;
  if (event.source !== null) json += `,"source":${JSON.stringify(event.source)}`;
  if (event.correlation_id !== null) json += `,"correlation_id":${JSON.stringify(event.correlation_id)}`;
  if (event.metadata !== null) json += `,"metadata":${event.metadata}`;
  json += `,"event_hash":"${event.event_hash}"`;
  if (prevHash !== undefined) json += `,"prev_hash":"${prevHash}"`;
  return `${json}}`;
}
