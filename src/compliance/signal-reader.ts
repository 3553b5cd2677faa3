import {
  EVENT_SELECT,
  type JournalEvent,
  type Journals,
  type SegmentFile,
  type Snapshot,
  segmentsSql,
  sqlString,
  withHeld,
} from '../../journal/index.ts';

/** Positions of committed events looked through in one statement: what it gives is held at once. */
const WINDOW_SEQS = 20_000;
/** Events of the tail given at once: whoever works through them holds up the process for so long. */
const TAIL_EVENTS = 256;

/** What is read of a committed event: the rest is half of its text, and to bring that over costs more than the query. */
const MEMBERS = [
  'seq',
  'event_id',
  'recorded_at',
  'occurred_at',
  'entity_id',
  'correlation_id',
  'new_value',
] as const satisfies (keyof JournalEvent)[];

export type SignalEvent = Pick<JournalEvent, (typeof MEMBERS)[number]>;

export type SignalPage = {
  count: number;
  /** Those from one to before another: to read them is most of the work, and whoever takes a few does so much of it. */
  events(from: number, to: number): SignalEvent[];
  /** Every durable event of the type up to here was given; below the position asked for: nothing is durable there. */
  throughSeq: number;
};

/**
 * Durable events of one entity type from a position on, in order, a page at a time.
 * @param moreSql further condition on committed events; those of the tail come all
 */
export async function readSignals(
  journals: Journals,
  workspace: string,
  wanted: { entityType: string; fromSeq: number; moreSql?: string },
): Promise<SignalPage> {
  const snapshot = await journals.snapshot(workspace);
  try {
    const fromSeq = Math.max(wanted.fromSeq, snapshot.start.firstSeq);
    if (fromSeq > snapshot.committedSeq) return tailPage(snapshot, wanted.entityType, fromSeq);
    return await committedPage(journals, snapshot, { ...wanted, fromSeq });
  } finally {
    snapshot.release();
  }
}

function tailPage(snapshot: Snapshot, entityType: string, fromSeq: number): SignalPage {
  const events: JournalEvent[] = [];
  for (const event of snapshot.tailOfType(entityType, fromSeq)) {
    events.push(event);
    if (events.length === TAIL_EVENTS) return pageOf(events, event.seq);
  }
  return pageOf(events, snapshot.durableSeq);
}

function pageOf(events: readonly SignalEvent[], throughSeq: number): SignalPage {
  return { count: events.length, events: (from, to) => events.slice(from, to), throughSeq };
}

async function committedPage(
  { engine }: Journals,
  snapshot: Snapshot,
  { entityType, fromSeq, moreSql = 'true' }: { entityType: string; fromSeq: number; moreSql?: string },
): Promise<SignalPage> {
  const files = snapshot.files.filter((file) => mayHold(file, entityType, fromSeq));
  if (files.length === 0) return pageOf([], snapshot.committedSeq);
  // Files that hold one may begin far above: what lies between holds none.
  const from = Math.max(fromSeq, Math.min(...files.map(({ firstSeq }) => firstSeq)));
  const throughSeq = Math.min(snapshot.committedSeq, from + WINDOW_SEQS - 1);
  const where = `entity_type = ${sqlString(entityType)} AND seq BETWEEN ${from} AND ${throughSeq} AND ${moreSql}`;
  const within = files.filter(({ firstSeq }) => firstSeq <= throughSeq);
  // One text for each event: the client of DuckDB takes as long for each of its members.
  const [texts = []] = await withHeld(snapshot, within, (paths) =>
    engine.columns(
      `SELECT to_json({${MEMBERS.map((name) => `'${name}': ${name}`).join()}})::VARCHAR FROM (SELECT ${EVENT_SELECT} FROM (${segmentsSql(paths)}) WHERE ${where}) ORDER BY seq`,
    ),
  );
  const events = (from: number, to: number) =>
    texts.slice(from, to).map((text) => JSON.parse(text as string) as SignalEvent);
  return { count: texts.length, events, throughSeq };
}

/** By the statistics of the table log, whose texts may be prefixes. */
function mayHold({ lastSeq, min, max }: SegmentFile, entityType: string, fromSeq: number): boolean {
  const { entity_type: low = '' } = min;
  const { entity_type: high = entityType } = max;
  return lastSeq >= fromSeq && low <= entityType && (high >= entityType || entityType.startsWith(high));
}
