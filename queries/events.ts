import { type Engine, IndelibleError, type JournalEvent, type Snapshot } from '../journal/index.ts';
import { mayHold } from './filters.ts';
import { committedEvents, Page } from './rows.ts';

/** Looks an event up by its id: `Journals`. */
export type EventFinder = { find(workspace: string, eventId: string): Promise<JournalEvent | undefined> };

/**
 * The events from a position on, ascending, at most `limit` (fewer where they are large: ask again behind the last).
 * Those that retention removed are passed over. Empty: there are none yet.
 *
 * @throws corrupt where a position is missing.
 */
export async function eventsFrom(
  engine: Engine,
  snapshot: Snapshot,
  from: number,
  limit: number,
): Promise<JournalEvent[]> {
  const fromSeq = Math.max(from, snapshot.start.firstSeq);
  const range = { above: fromSeq - 1, upTo: Math.min(fromSeq + limit - 1, snapshot.durableSeq) };
  const page = new Page(limit);
  const files = snapshot.files.filter((file) => mayHold(file, {}, range));
  const bytesMax = page.roomBytes;
  const committed = await committedEvents(engine, snapshot, files, {
    filter: {},
    range,
    order: 'asc',
    limit,
    bytesMax,
  });
  for (const event of committed.events) page.add(event);
  for (const event of snapshot.tailEvents(fromSeq, range.upTo)) if (!page.add(event)) break;
  assertUnbroken(snapshot.workspace, page.events, fromSeq, range.upTo);
  return page.events;
}

function assertUnbroken(workspace: string, events: readonly JournalEvent[], fromSeq: number, upTo: number): void {
  for (const [index, event] of events.entries()) {
    if (event.seq !== fromSeq + index) throw missing(workspace, fromSeq + index, event.seq);
  }
  if (events.length === 0 && upTo >= fromSeq) throw missing(workspace, fromSeq, undefined);
}

function missing(workspace: string, expected: number, found: number | undefined): IndelibleError {
  const instead = found === undefined ? 'nothing' : `seq ${found}`;
  return new IndelibleError('corrupt', `journal ${workspace}: expected seq ${expected}, found ${instead}`);
}

/**
 * An event by its id, with the hash of the event before it (64 zeros before the first).
 *
 * @throws not-found for an id that the snapshot does not hold.
 */
export async function eventWithPredecessor(
  finder: EventFinder,
  engine: Engine,
  snapshot: Snapshot,
  eventId: string,
): Promise<{ event: JournalEvent; prev_hash: string }> {
  const event = await finder.find(snapshot.workspace, eventId);
  // One that came after the snapshot is not part of this answer's view.
  if (event === undefined || event.seq > snapshot.durableSeq || event.seq < snapshot.start.firstSeq) {
    throw new IndelibleError('not-found', 'no event has this id');
  }
  const { firstSeq, beforeHash } = snapshot.start;
  if (event.seq === firstSeq) return { event, prev_hash: beforeHash };
  const [before] = await eventsFrom(engine, snapshot, event.seq - 1, 1);
  if (before === undefined) throw missing(snapshot.workspace, event.seq - 1, undefined);
  return { event, prev_hash: before.event_hash };
}
