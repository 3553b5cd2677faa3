import type { DraftEvent } from '../../../journal/index.ts';
import { checkVersion, type Fields, Malformed, numberOf, textOf, workspaceOf } from './fields.ts';
import type { StreamEntry } from './streams.ts';

/** A signal on its way to a verdict. */
export type AxiomMessage = {
  workspace: string;
  /** As src/judging reads it; its event_id is always set. */
  draft: DraftEvent;
  /** When it was accepted, milliseconds since the epoch. */
  acceptedMs: number;
};

const VERSION = '1';

/** Members of a draft, and whether they may be null. */
const DRAFT_MEMBERS: Readonly<Record<keyof DraftEvent, boolean>> = {
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

/** The fields of the stream entry that holds it (docs/format.md, "Redis"). */
export function axiomFields(message: AxiomMessage): Record<string, string> {
  return {
    v: VERSION,
    workspace: message.workspace,
    accepted_ms: String(message.acceptedMs),
    draft: JSON.stringify(message.draft),
  };
}

/** Never throws: `malformed` is the reason why it cannot be read. */
export function axiomOfEntry(entry: StreamEntry): AxiomMessage | { malformed: string } {
  try {
    checkVersion(entry.fields, VERSION);
    return {
      workspace: workspaceOf(entry.fields),
      draft: draftOf(entry.fields),
      acceptedMs: numberOf(entry.fields, 'accepted_ms'),
    };
  } catch (error) {
    if (error instanceof Malformed) return { malformed: error.message };
    throw error;
  }
}

function draftOf(fields: Fields): DraftEvent {
  const draft = parsed(textOf(fields, 'draft'));
  for (const [name, mayBeNull] of Object.entries(DRAFT_MEMBERS)) {
    const value = draft[name];
    if (typeof value !== 'string' && !(mayBeNull && value === null)) throw new Malformed(`draft has no ${name}`);
  }
  return draft as DraftEvent;
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below: that it is no JSON is all there is to say.
  }
  throw new Malformed('draft is not a JSON object');
}
