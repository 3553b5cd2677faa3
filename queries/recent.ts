import { setImmediate as othersTurn } from 'node:timers/promises';
import type { Engine, JournalEvent, SegmentFile, Snapshot } from '../journal/index.ts';
import { type EventFilter, isOpen, matches, mayHold } from './filters.ts';
import { committedEvents, type EventPage, Page } from './rows.ts';

export type RecentQuery = EventFilter & {
  /** Events, at least 1. */
  limit: number;
  /** The last event of the page before: go on with older ones. */
  cursorSeq?: number | undefined;
};

/** Events of the tail that are looked at before others get their turn: a rare filter reads all of it. */
const TAIL_EVENTS_AT_ONCE = 512;

/** The newest matching events by seq, newest first: the tail, then the newest files, stopping early. */
export async function recent(reader: RecentReader, snapshot: Snapshot, query: RecentQuery): Promise<EventPage> {
  const { limit, cursorSeq, ...filter } = query;
  const upTo = cursorSeq === undefined ? snapshot.durableSeq : Math.min(cursorSeq - 1, snapshot.durableSeq);
  const page = new Page(limit);
  const complete = (more: boolean): EventPage => ({
    events: page.events,
    more,
    complete_through: snapshot.durableSeq,
  });

  let looked = 0;
  for (const event of newestOfTail(snapshot, filter.entityId)) {
    looked += 1;
    if (looked % TAIL_EVENTS_AT_ONCE === 0) await othersTurn();
    if (event.seq > upTo || !matches(filter, event)) continue;
    if (!page.add(event)) return complete(true);
  }
  // Where no file can hold a match none is read: the tail may answer while the store is away.
  const mayBeCommitted = snapshot.files.some((file) => mayHold(file, filter, { above: -1, upTo }));
  const newest = mayBeCommitted ? await reader.newest(snapshot) : [];
  for (const event of newest) {
    if (event.seq > upTo || !matches(filter, event)) continue;
    if (!page.add(event)) return complete(true);
  }
  const oldest = newest.at(-1);
  const olderUpTo = Math.min(upTo, oldest === undefined ? snapshot.committedSeq : oldest.seq - 1);
  // Positions have no gaps: without a filter every older one is a further event.
  if (oldest && isOpen(filter) && page.roomEvents === 0) return complete(olderUpTo >= snapshot.start.firstSeq);
  const committed = await newestCommitted(reader.engine, snapshot, filter, olderUpTo, page);
  for (const event of committed.events) if (!page.add(event)) return complete(true);
  return complete(committed.cut);
}

/** Text of the events that are kept of one journal, in bytes. */
const NEWEST_BYTES = 1024 * 1024;

/** Reads committed events by position, and keeps the newest of each journal: most questions are about them. */
export class RecentReader {
  readonly engine: Engine;
  readonly #newestEvents: number;
  /** By the list of files, which never changes: it goes when the journal has another. */
  readonly #byFiles = new WeakMap<readonly SegmentFile[], Promise<readonly JournalEvent[]>>();

  /** `newestEvents`: how many are kept of each journal; 0: none. */
  constructor(options: { engine: Engine; newestEvents: number }) {
    this.engine = options.engine;
    this.#newestEvents = options.newestEvents;
  }

  /** Some of the newest committed events without a gap, newest first; read once for each list of files. */
  newest(snapshot: Snapshot): Promise<readonly JournalEvent[]> {
    if (this.#newestEvents === 0) return Promise.resolve([]);
    const known = this.#byFiles.get(snapshot.files);
    if (known) return known;
    const page = new Page(this.#newestEvents, NEWEST_BYTES);
    const read = newestCommitted(this.engine, snapshot, {}, snapshot.committedSeq, page).then(({ events }) => {
      for (const event of events) if (!page.add(event)) break;
      return page.events;
    });
    this.#byFiles.set(snapshot.files, read);
    read.catch(() => this.#byFiles.delete(snapshot.files));
    return read;
  }
}

function newestOfTail(snapshot: Snapshot, entityId: string | undefined): Iterable<JournalEvent> {
  if (entityId === undefined) return snapshot.tailEventsDescending();
  return [...snapshot.tailOfEntity(entityId)].reverse();
}

/**
 * What the page has room for and one event more, if there are so many; fewer, and `cut`, where their text is too
 * large. Files may overlap in seq (compaction), so a file is passed over only when what is at hand is newer than all
 * of it.
 */
async function newestCommitted(
  engine: Engine,
  snapshot: Snapshot,
  filter: EventFilter,
  upTo: number,
  page: Page,
): Promise<{ events: JournalEvent[]; cut: boolean }> {
  const limit = page.roomEvents + 1;
  const bytesMax = page.roomBytes;
  const open = isOpen(filter);
  // Positions have no gaps: without a filter the newest events are those of the highest positions.
  let above = open ? Math.max(-1, upTo - limit) : -1;
  const files = snapshot.files
    .filter((file) => mayHold(file, filter, { above, upTo }))
    .sort((left, right) => right.lastSeq - left.lastSeq);
  let events: JournalEvent[] = [];
  let cut = false;
  for (const group of groups(files, open ? files.length : 1)) {
    const reachable = group.filter((file) => file.lastSeq > above);
    // Files are in the order of lastSeq: what follows is older still.
    if (reachable.length === 0) break;
    const range = { above, upTo };
    const found = await committedEvents(engine, snapshot, reachable, { filter, range, order: 'desc', limit, bytesMax });
    cut ||= found.cut;
    const merged = [...events, ...found.events].sort((left, right) => right.seq - left.seq);
    // A group that was cut has more than the page can take, by number or by size: what it still holds, and all that is
    // older than the first event without room, is not needed.
    const trial = new Page(page.roomEvents, bytesMax);
    const overflow = merged.findIndex((event) => !trial.add(event));
    events = overflow < 0 ? merged : merged.slice(0, overflow + 1);
    if (overflow >= 0) above = Math.max(above, events.at(-1)?.seq ?? above);
  }
  return { events, cut };
}

/** The files in groups of doubling size: few queries where little is found, few files where much is. */
function* groups(files: readonly SegmentFile[], firstSize: number): Generator<readonly SegmentFile[]> {
  for (let start = 0, size = firstSize; start < files.length; start += size / 2) {
    yield files.slice(start, start + size);
    size *= 2;
  }
}
