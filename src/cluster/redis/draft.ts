import type { DraftEvent } from '../../../journal/index.ts';
import { Malformed } from './fields.ts';

/** Members of a draft that is on its way, and whether they may be null: it has its id already. */
const MEMBERS: Readonly<Record<keyof DraftEvent, boolean>> = {
  event_id: false,
  occurred_at: true,
  entity_type: false,
  entity_id: false,
  field: false,
  action: false,
  old_value: true,
  new_value: true,
  actor: false,
  actor_type: true,
  source: true,
  correlation_id: true,
  metadata: true,
};
const ENTRIES = Object.entries(MEMBERS);

/** A draft of the service's own, as JSON gave it. @throws Malformed */
export function checkedDraft(value: unknown): DraftEvent {
  if (typeof value !== 'object' || value === null) throw new Malformed('draft is not a JSON object');
  const draft = value as Record<string, unknown>;
  for (const [name, mayBeNull] of ENTRIES) {
    const member = draft[name];
    if (typeof member !== 'string' && !(mayBeNull && member === null)) throw new Malformed(`draft has no ${name}`);
  }
  return value as DraftEvent;
}

/** The drafts of an entry whose origin is the service. @throws Malformed */
export function draftsOfJson(text: string): DraftEvent[] {
  let drafts: unknown;
  try {
    drafts = JSON.parse(text);
  } catch {
    throw new Malformed('the drafts are not JSON');
  }
  if (!Array.isArray(drafts)) throw new Malformed('the drafts are not an array');
  return drafts.map(checkedDraft);
}
