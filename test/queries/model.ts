import fc from 'fast-check';
import type { JournalEvent } from '../../journal/index.ts';
import type { EventFilter, EventPage, HistoryQuery, RecentQuery } from '../../queries/index.ts';
import { type EventSpec, eventSpec, eventTime, hostileText } from '../support/events.ts';
import type { Layout } from './snapshots.ts';

/** A journal and how it lies, with a tail of any length. */
export const storedJournal: fc.Arbitrary<{ specs: EventSpec[]; layout: Layout }> = fc
  .array(eventSpec, { maxLength: 40, size: 'max' })
  .chain((specs) =>
    fc.record({
      specs: fc.constant(specs),
      layout: fc.record({
        fileOf: fc.oneof(
          // Files in the order of their writing, and files that a compaction has mixed.
          fc
            .array(fc.nat(5), { maxLength: specs.length, size: 'max' })
            .map((files) => files.sort((left, right) => left - right)),
          fc.array(fc.nat(5), { maxLength: specs.length, size: 'max' }),
        ),
        boundChars: fc.constantFrom(1, 3, 31, 32),
      }),
    }),
  );

const absent = { nil: undefined, freq: 1 } as const;

const timeRange = fc.record({
  from: fc.option(eventTime, { nil: undefined }),
  to: fc.option(eventTime, { nil: undefined }),
});

/** Few conditions at a time: most of the answers shall not be empty. */
export const eventFilter: fc.Arbitrary<EventFilter> = fc.oneof(
  fc.constant({}),
  fc.record({ entityId: hostileText }),
  fc.record({ entityType: fc.constantFrom('file', '\uFFFD', '\u{1F600}', '\u{1F601}') }),
  fc.record({ field: fc.constantFrom('*', 'é'), action: fc.option(fc.constantFrom('delete', 'insert'), absent) }),
  fc.record({ actor: fc.constantFrom('ann', '\u{10000}', '\uFFFD'), source: fc.option(fc.constant('git'), absent) }),
  fc.record({ source: fc.constantFrom('api', 'nobody') }),
  fc.record({ correlationId: fc.constantFrom('c1', 'c2') }),
  timeRange,
);

/** The filter's meaning in the plainest form. */
export function passes(filter: EventFilter, event: JournalEvent): boolean {
  const wanted: [string | undefined, string | null][] = [
    [filter.entityType, event.entity_type],
    [filter.entityId, event.entity_id],
    [filter.field, event.field],
    [filter.action, event.action],
    [filter.actor, event.actor],
    [filter.source, event.source],
    [filter.correlationId, event.correlation_id],
  ];
  if (wanted.some(([want, have]) => want !== undefined && want !== have)) return false;
  return !((filter.from && event.occurred_at < filter.from) || (filter.to && event.occurred_at >= filter.to));
}

export const historyQuestion: fc.Arbitrary<HistoryQuery> = fc
  .record({
    entityId: hostileText,
    order: fc.constantFrom('asc' as const, 'desc' as const),
    limit: fc.constantFrom(1, 2, 5, 100),
    cursorSeq: fc.option(fc.nat(45), { nil: undefined }),
    entityType: fc.option(fc.constantFrom('file', '\uFFFD'), { nil: undefined }),
    field: fc.option(fc.constantFrom('*', 'status'), { nil: undefined, freq: 1 }),
    range: timeRange,
  })
  .map(({ range, ...question }) => ({ ...question, ...range }));

export function historyAnswer(events: readonly JournalEvent[], question: HistoryQuery): EventPage {
  const { order, limit, cursorSeq, ...filter } = question;
  const found = events.filter((event) => passes(filter, event));
  if (order === 'desc') found.reverse();
  const isBehind = (seq: number, cursor: number): boolean => (order === 'asc' ? seq > cursor : seq < cursor);
  const behind = found.filter(({ seq }) => cursorSeq === undefined || isBehind(seq, cursorSeq));
  return { events: behind.slice(0, limit), more: behind.length > limit, complete_through: events.length - 1 };
}

export const recentQuestion: fc.Arbitrary<RecentQuery> = fc
  .record({
    filter: eventFilter,
    limit: fc.constantFrom(1, 2, 5, 100),
    cursorSeq: fc.option(fc.nat(45), { nil: undefined }),
  })
  .map(({ filter, ...question }) => ({ ...question, ...filter }));

export function recentAnswer(events: readonly JournalEvent[], question: RecentQuery): EventPage {
  const { limit, cursorSeq, ...filter } = question;
  const older = events.filter(({ seq }) => cursorSeq === undefined || seq < cursorSeq);
  const found = older.filter((event) => passes(filter, event)).reverse();
  return { events: found.slice(0, limit), more: found.length > limit, complete_through: events.length - 1 };
}

/** Follows the pages to their end, and checks that none is longer than asked or empty before the end. */
export async function allPages(
  limit: number,
  ask: (cursorSeq: number | undefined) => Promise<EventPage>,
): Promise<JournalEvent[]> {
  const events: JournalEvent[] = [];
  for (let cursor: number | undefined; ; ) {
    const page = await ask(cursor);
    events.push(...page.events);
    if (page.events.length > limit) throw new Error(`asked for ${limit} events, got ${page.events.length}`);
    if (!page.more) return events;
    if (page.events.length === 0) throw new Error('an empty page promised more');
    cursor = page.events.at(-1)?.seq;
  }
}
