import { derivedId, type DraftEvent, IndelibleError, type Journals } from '../../journal/index.ts';

/** The id of the event at `index` of a request that carries an Idempotency-Key. */
export function keyedId(workspace: string, idempotencyKey: string, index: number): string {
  return derivedId('idempotency-key', workspace, idempotencyKey, index);
}

/** Gives every event without an id the one of its position in the request. */
export function giveIds(drafts: readonly DraftEvent[], firstIndex: number, idOf: (index: number) => string): void {
  for (const [index, draft] of drafts.entries()) draft.event_id ??= idOf(firstIndex + index);
}

/**
 * The journal finds other content under an id by itself. This finds a request that is longer or shorter than the one
 * recorded under its key.
 * @throws IndelibleError conflict
 */
export async function refuseOtherContent(
  journals: Journals,
  workspace: string,
  drafts: readonly DraftEvent[],
  idOf: (index: number) => string,
): Promise<void> {
  if (!journals.has(workspace)) return;
  const isRecorded = async (index: number) => (await journals.find(workspace, idOf(index))) !== undefined;
  const first = drafts.findIndex((draft) => draft.event_id === null);
  const last = drafts.findLastIndex((draft) => draft.event_id === null);
  if (first === -1) return;
  const wasLonger = drafts.length === last + 1 && (await isRecorded(drafts.length));
  const wasShorter = !wasLonger && last > first && (await isRecorded(first)) && !(await isRecorded(last));
  if (wasLonger || wasShorter) {
    throw new IndelibleError(
      'conflict',
      'this Idempotency-Key was used for another request: use a new key for new events',
    );
  }
}
