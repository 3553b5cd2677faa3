import type { JournalEvent, Snapshot } from '../journal/index.ts';
import type { EntityReader } from './entity-reader.ts';
import { type EventFilter, matches, mayHold, type SeqRange } from './filters.ts';
import { type EventPage, Page } from './rows.ts';

export type HistoryQuery = EventFilter & {
  entityId: string;
  order: 'asc' | 'desc';
  /** Events, at least 1. */
  limit: number;
  /** The last event of the page before: go on behind it, in the direction of `order`. */
  cursorSeq?: number | undefined;
};

/** The events of one entity in the order of their seq, each exactly once, from the committed files and the tail. */
export async function history(reader: EntityReader, snapshot: Snapshot, query: HistoryQuery): Promise<EventPage> {
  const { order, limit, cursorSeq, ...filter } = query;
  const range = { above: -1, upTo: snapshot.durableSeq };
  if (cursorSeq !== undefined && order === 'asc') range.above = cursorSeq;
  if (cursorSeq !== undefined && order === 'desc') range.upTo = Math.min(cursorSeq - 1, snapshot.durableSeq);
  return entityPage(reader, snapshot, { filter, range, order, limit });
}

export type EntityPageQuery = {
  filter: EventFilter & { entityId: string };
  range: SeqRange;
  order: 'asc' | 'desc';
  limit: number;
  /** Committed events come without old_value and metadata. */
  lean?: boolean;
};

/** One page of an entity's events within a range of positions. */
export async function entityPage(reader: EntityReader, snapshot: Snapshot, query: EntityPageQuery): Promise<EventPage> {
  const page = new Page(query.limit);
  const more =
    query.order === 'asc'
      ? (await addCommitted(reader, snapshot, query, page)) || addAll(page, tailMatches(snapshot, query))
      : addAll(page, [...tailMatches(snapshot, query)].reverse()) ||
        (await addCommitted(reader, snapshot, query, page));
  return { events: page.events, more, complete_through: snapshot.durableSeq };
}

/** True where the files hold more than there was room for. */
async function addCommitted(
  reader: EntityReader,
  snapshot: Snapshot,
  query: EntityPageQuery,
  page: Page,
): Promise<boolean> {
  const { filter, range, order } = query;
  const files = snapshot.files.filter((file) => mayHold(file, filter, range));
  const whole = await reader.read(snapshot, files, filter.entityId);
  if (whole) {
    const matching = whole
      .filter(({ seq }) => seq > range.above && seq <= range.upTo)
      .filter((event) => matches(filter, event));
    return addAll(page, order === 'asc' ? matching : matching.reverse());
  }
  const { events, cut } = await reader.page(snapshot, files, {
    ...query,
    limit: page.roomEvents,
    bytesMax: page.roomBytes,
  });
  return addAll(page, events) || cut;
}

function addAll(page: Page, events: Iterable<JournalEvent>): boolean {
  for (const event of events) if (!page.add(event)) return true;
  return false;
}

function* tailMatches(snapshot: Snapshot, { filter, range }: EntityPageQuery): Generator<JournalEvent> {
  for (const event of snapshot.tailOfEntity(filter.entityId)) {
    if (event.seq > range.above && event.seq <= range.upTo && matches(filter, event)) yield event;
  }
}
