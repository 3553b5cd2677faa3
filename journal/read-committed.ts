import type { Engine } from './duckdb/index.ts';
import { IndelibleError } from './errors.ts';
import type { JournalEvent } from './event.ts';
import type { Head } from './journal.ts';
import { EVENT_SELECT, eventOfRow, segmentsSql } from './segment/index.ts';
import type { SegmentFile } from './snapshot.ts';
import type { DeltaTable } from './table/index.ts';
import type { ObjectStore } from './ports.ts';

/** The table's live files as snapshots carry them, ascending by position. */
export async function segmentFiles(store: ObjectStore, table: DeltaTable): Promise<SegmentFile[]> {
  const files = await Promise.all(
    table.files().map(async ({ add, bounds }) => ({
      path: add.path,
      localPath: await store.localPath(table.key(add.path)),
      sizeBytes: add.size,
      ...bounds,
    })),
  );
  return files.sort((a, b) => a.firstSeq - b.firstSeq);
}

/** Committed events by position. */
export async function committedEvents(
  engine: Engine,
  files: readonly SegmentFile[],
  seqs: readonly number[],
): Promise<Map<number, JournalEvent>> {
  const events = new Map<number, JournalEvent>();
  const holding = files.filter((file) => seqs.some((seq) => file.firstSeq <= seq && seq <= file.lastSeq));
  if (holding.length === 0) return events;
  const relation = segmentsSql(holding.map((file) => file.localPath));
  const where = `seq BETWEEN ${Math.min(...seqs)} AND ${Math.max(...seqs)} AND seq IN (${seqs.join(', ')})`;
  for (const row of await engine.all(`SELECT ${EVENT_SELECT} FROM (${relation}) WHERE ${where}`)) {
    const event = eventOfRow(row);
    events.set(event.seq, event);
  }
  return events;
}

/** The head of the committed journal, from the event itself. */
export async function committedHead(engine: Engine, files: readonly SegmentFile[], lastSeq: number): Promise<Head> {
  const event = (await committedEvents(engine, files, [lastSeq])).get(lastSeq);
  if (!event)
    throw new IndelibleError('corrupt', `the table log ends at seq ${lastSeq}, but no segment holds that event`);
  return { seq: lastSeq, hash: event.event_hash, recordedAt: event.recorded_at };
}

/** Every committed event_id with its position, file by file, so that nothing waits for the whole. */
export async function eachCommittedId(
  engine: Engine,
  files: readonly SegmentFile[],
  onId: (eventId: string, seq: number) => void,
): Promise<void> {
  for (const file of files) {
    const [ids = [], seqs = []] = await engine.columns(`SELECT event_id, seq FROM (${segmentsSql([file.localPath])})`);
    if (ids.length !== file.rows) {
      throw new IndelibleError('corrupt', `${file.path} holds ${ids.length} events, the table log says ${file.rows}`);
    }
    for (let i = 0; i < ids.length; i++) onId(ids[i] as string, Number(seqs[i]));
  }
}
