import { type FileHolder, withHeld } from './cache/index.ts';
import type { Engine } from './duckdb/index.ts';
import { IndelibleError } from './errors.ts';
import type { JournalEvent } from './event.ts';
import type { Head } from './journal.ts';
import { EVENT_SELECT, eventOfRow, segmentsSql } from './segment/index.ts';
import type { SegmentFile } from './snapshot.ts';
import type { DeltaTable } from './table/index.ts';

/** The table's live files as snapshots carry them, ascending by position. */
export function segmentFiles(table: DeltaTable): SegmentFile[] {
  const files = table.files().map((file) => ({ path: file.add.path, ...table.holdable(file), ...file.bounds }));
  return files.sort((a, b) => a.firstSeq - b.firstSeq);
}

/** Committed events by position. */
export async function committedEvents(
  engine: Engine,
  cache: FileHolder,
  files: readonly SegmentFile[],
  seqs: readonly number[],
): Promise<Map<number, JournalEvent>> {
  const events = new Map<number, JournalEvent>();
  const holding = files.filter((file) => seqs.some((seq) => file.firstSeq <= seq && seq <= file.lastSeq));
  if (holding.length === 0) return events;
  const where = `seq BETWEEN ${Math.min(...seqs)} AND ${Math.max(...seqs)} AND seq IN (${seqs.join(', ')})`;
  const rows = await withHeld(cache, holding, (paths) =>
    engine.all(`SELECT ${EVENT_SELECT} FROM (${segmentsSql(paths)}) WHERE ${where}`),
  );
  for (const row of rows) {
    const event = eventOfRow(row);
    events.set(event.seq, event);
  }
  return events;
}

/** The head of the committed journal, from the event itself. */
export async function committedHead(
  engine: Engine,
  cache: FileHolder,
  files: readonly SegmentFile[],
  lastSeq: number,
): Promise<Head> {
  const event = (await committedEvents(engine, cache, files, [lastSeq])).get(lastSeq);
  if (!event)
    throw new IndelibleError('corrupt', `the table log ends at seq ${lastSeq}, but no segment holds that event`);
  return { seq: lastSeq, hash: event.event_hash, recordedAt: event.recorded_at };
}

/** Every committed event_id with its position, file by file, so that nothing waits for the whole. */
export async function eachCommittedId(
  engine: Engine,
  cache: FileHolder,
  files: readonly SegmentFile[],
  onId: (eventId: string, seq: number) => void,
): Promise<void> {
  for (const file of files) {
    const [ids = [], seqs = []] = await withHeld(cache, [file], (paths) =>
      engine.columns(`SELECT event_id, seq FROM (${segmentsSql(paths)})`),
    );
    if (ids.length !== file.rows) {
      throw new IndelibleError('corrupt', `${file.path} holds ${ids.length} events, the table log says ${file.rows}`);
    }
    for (let i = 0; i < ids.length; i++) onId(ids[i] as string, Number(seqs[i]));
  }
}
