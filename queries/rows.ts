import {
  EVENT_SELECT,
  type Engine,
  eventOfRow,
  type JournalEvent,
  type SegmentFile,
  type Snapshot,
  segmentsSql,
  withHeld,
} from '../journal/index.ts';
import { conditionSql, type EventFilter, type SeqRange } from './filters.ts';

/**
 * Text held for one answer, in bytes as stored: a page ends early, with `more`, when it reaches this, and so passes it
 * by one event at most. Without it a page of large values could take gigabytes.
 */
export const PAGE_BYTES_MAX = 16 * 1024 * 1024;

/** `complete_through`: the answer takes account of every event up to this seq; -1: the journal is empty. */
export type EventPage = { events: JournalEvent[]; more: boolean; complete_through: number };

export type CommittedQuery = {
  filter: EventFilter;
  range: SeqRange;
  order: 'asc' | 'desc';
  /** 0 asks only whether there is any. */
  limit: number;
  bytesMax: number;
  /** Leaves old_value and metadata out, as if they were absent. */
  lean?: boolean;
};

const LARGE_COLUMNS = ['old_value', 'new_value', 'metadata'] as const;
/** Of the other columns together, roughly. */
const OTHER_BYTES = 200;
const LEAN_COLUMNS = '* REPLACE (NULL::VARCHAR AS old_value, NULL::VARCHAR AS metadata)';

/**
 * The first `limit` matching events of some of the snapshot's files in seq order, or fewer where their text reaches `bytesMax` (one at
 * least). `cut`: the files hold further ones.
 */
export async function committedEvents(
  engine: Engine,
  snapshot: Snapshot,
  files: readonly SegmentFile[],
  query: CommittedQuery,
): Promise<{ events: JournalEvent[]; cut: boolean }> {
  if (files.length === 0) return { events: [], cut: false };
  const condition = conditionSql(query.filter, query.range);
  const direction = query.order === 'asc' ? 'ASC' : 'DESC';
  const columns = query.lean ? LEAN_COLUMNS : '*';
  const bytes = LARGE_COLUMNS.map((column) => `coalesce(strlen(${column}), 0)`).join(' + ');
  const rows = await withHeld(snapshot, files, (paths) => {
    const matching = `SELECT ${columns} FROM (${segmentsSql(paths)}) WHERE ${condition.sql} ORDER BY seq ${direction} LIMIT ${query.limit + 1}`;
    const measured = `SELECT *, count(*) OVER () AS found, sum(${OTHER_BYTES} + ${bytes}) OVER (ORDER BY seq ${direction} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before FROM (${matching})`;
    return engine.all(
      `SELECT ${EVENT_SELECT}, found FROM (${measured}) WHERE coalesce(bytes_before, 0) < ${query.bytesMax} ORDER BY seq ${direction} LIMIT ${Math.max(query.limit, 1)}`,
      condition.params,
    );
  });
  const found = Number(rows[0]?.found ?? 0);
  const events = query.limit === 0 ? [] : rows.map(({ found: _, ...row }) => eventOfRow(row));
  return { events, cut: found > events.length };
}

/** A page as it fills: at most `limit` events, and none after their text has reached `bytesMax`. */
export class Page {
  readonly events: JournalEvent[] = [];
  readonly #limit: number;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(limit: number, bytesMax: number = PAGE_BYTES_MAX) {
    this.#limit = limit;
    this.#bytesMax = bytesMax;
  }

  /** False: there was no room, and the event was not taken. */
  add(event: JournalEvent): boolean {
    if (this.roomEvents === 0) return false;
    this.events.push(event);
    this.#bytes += textBytes(event);
    return true;
  }

  get roomEvents(): number {
    return this.#bytes < this.#bytesMax ? this.#limit - this.events.length : 0;
  }

  get roomBytes(): number {
    return Math.max(1, this.#bytesMax - this.#bytes);
  }
}

function textBytes(event: JournalEvent): number {
  let bytes = OTHER_BYTES;
  for (const column of LARGE_COLUMNS) bytes += event[column] === null ? 0 : Buffer.byteLength(event[column]);
  return bytes;
}
