import type { DraftEvent } from '../../../journal/index.ts';
import { checkedDraft } from './draft.ts';
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
  let value: unknown;
  try {
    value = JSON.parse(textOf(fields, 'draft'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new Malformed('draft is not JSON');
    throw error;
  }
  return checkedDraft(value);
}
