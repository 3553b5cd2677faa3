import fc from 'fast-check';
import type { JournalEvent } from '../../journal/index.ts';
import type { EventFilter, EventPage } from '../../queries/index.ts';
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

export const timeRange = fc.record({
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
