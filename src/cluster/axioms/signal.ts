import { type DraftEvent, timeOfMs } from '../../../journal/index.ts';
import {
  AXIOM_TYPE,
  axiomOf,
  type TakenAxiom,
  type Verdict,
  verdictDraft,
  verdictId,
} from '../../../projections/index.ts';
import { axiomOfEntry, judgedKey, type StreamEntry } from '../redis/index.ts';

/** A signal in hand: where it lies, and what it says. */
export type Signal = {
  stream: string;
  /** In the stream. */
  id: string;
  workspace: string;
  draft: DraftEvent;
  axiom: TakenAxiom;
  verdictId: string;
  /** In Redis: set once its source has a verdict. */
  judgedKey: string;
  acceptedMs: number;
  /** Of what it says, in UTF-16 units. */
  length: number;
};

/** A signal that is done with. Without a verdict: its source has one, or another signal of it is on the way to one. */
export type Settled = { signal: Signal; verdict: Verdict | undefined };

/** Never throws: `malformed` is the reason why it cannot be read. */
export function signalOf(entry: StreamEntry, stream: string): Signal | { malformed: string } {
  const message = axiomOfEntry(entry);
  if ('malformed' in message) return message;
  const { workspace, draft, acceptedMs } = message;
  const axiom = draftedAxiom(draft, acceptedMs);
  if (typeof axiom === 'string') return { malformed: axiom };
  const id = verdictId(axiom);
  const length = draft.new_value?.length ?? 0;
  const key = judgedKey(workspace, id);
  return { stream, id: entry.id, workspace, draft, axiom, verdictId: id, judgedKey: key, acceptedMs, length };
}

/** The signal of a draft, which has neither position nor time of recording yet; else what is wrong with it. */
function draftedAxiom(draft: DraftEvent, acceptedMs: number): TakenAxiom | string {
  if (draft.entity_type !== AXIOM_TYPE) return `its entity_type is not ${AXIOM_TYPE}`;
  const recordedAt = timeOfMs(acceptedMs);
  try {
    const axiom = axiomOf({
      ...draft,
      event_id: draft.event_id ?? '',
      seq: null,
      recorded_at: recordedAt,
      occurred_at: draft.occurred_at ?? recordedAt,
    });
    return Number.isFinite(axiom.anomaly_score) ? axiom : 'its anomaly_score is not a number';
  } catch {
    return 'its new_value is not JSON';
  }
}

/** The events that record it: its own, then its verdict's. */
export function eventsOf({ signal, verdict }: Settled): DraftEvent[] {
  if (!verdict) return [signal.draft];
  return [signal.draft, verdictDraft(verdict, signal.axiom.correlation_id, signal.verdictId)];
}
