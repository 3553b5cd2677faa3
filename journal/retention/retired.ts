import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FileHolder, type HoldableFile, withHeld } from '../cache/index.ts';
import { type Engine, sqlString } from '../duckdb/index.ts';
import { IndelibleError } from '../errors.ts';
import type { ObjectStore } from '../ports.ts';
import { segmentsSql, sqlStrings } from '../segment/index.ts';

/**
 * What stays of removed events: their ids, which are never used again, with their positions and hashes. An object for
 * each removal, `_indelible/retired/<first>-<last>.parquet` below the journal's prefix, put before the removal and never
 * deleted. Of a removal that was not carried out it holds events that are still there: a reader asks for those below the
 * journal's start only.
 */
export type RetiredStore = { store: ObjectStore; cache: FileHolder; engine: Engine; tempDir: string };

/** What is kept of an event that retention removed. */
export type RetiredEvent = { seq: number; event_id: string; event_hash: string; isRetired: true };

const SEQ_DIGITS = 10;

function prefix(workspace: string): string {
  return `${workspace}/_indelible/retired/`;
}

async function retiredFiles(store: ObjectStore, workspace: string): Promise<HoldableFile[]> {
  const files: HoldableFile[] = [];
  for await (const { key, sizeBytes } of store.list(prefix(workspace))) files.push({ key, sizeBytes });
  return files;
}

/** Every removed event_id with its position, below `firstSeq`; one may come twice. */
export async function eachRetiredId(
  { store, cache, engine }: RetiredStore,
  workspace: string,
  firstSeq: number,
  onId: (eventId: string, seq: number) => void,
): Promise<void> {
  if (firstSeq === 0) return;
  for (const file of await retiredFiles(store, workspace)) {
    const [ids = [], seqs = []] = await withHeld(cache, [file], (paths) =>
      engine.columns(`SELECT event_id, seq FROM read_parquet(${sqlStrings(paths)}) WHERE seq < ${firstSeq}`),
    );
    for (let i = 0; i < ids.length; i++) onId(ids[i] as string, Number(seqs[i]));
  }
}

/** Removed events by position. */
export async function retiredEvents(
  { store, cache, engine }: RetiredStore,
  workspace: string,
  seqs: readonly number[],
): Promise<Map<number, RetiredEvent>> {
  const events = new Map<number, RetiredEvent>();
  if (seqs.length === 0) return events;
  for (const file of await retiredFiles(store, workspace)) {
    const rows = await withHeld(cache, [file], (paths) =>
      engine.all(
        `SELECT seq, event_id, lower(hex(event_hash)) AS event_hash FROM read_parquet(${sqlStrings(paths)}) WHERE seq IN (${seqs.join(', ')})`,
      ),
    );
    for (const row of rows) {
      const seq = Number(row.seq);
      events.set(seq, { seq, event_id: String(row.event_id), event_hash: String(row.event_hash), isRetired: true });
    }
  }
  return events;
}

/**
 * Keeps the ids of the events firstSeq … lastSeq, which the files hold among others; one file is read at a time.
 * @throws corrupt where the files do not hold them all.
 */
export async function keepRetired(
  { store, cache, engine, tempDir }: RetiredStore,
  workspace: string,
  files: readonly HoldableFile[],
  { firstSeq, lastSeq }: { firstSeq: number; lastSeq: number },
): Promise<void> {
  const name = [firstSeq, lastSeq].map((seq) => String(seq).padStart(SEQ_DIGITS, '0')).join('-');
  const key = `${prefix(workspace)}${name}.parquet`;
  // Put by a removal that was cut short: the events of these positions are the same for ever.
  if ((await retiredFiles(store, workspace)).some((file) => file.key === key)) return;
  const dir = join(tempDir, `retired-${workspace}-${name}`);
  await mkdir(dir, { recursive: true });
  try {
    const pieces: string[] = [];
    for (const file of files) {
      const piece = join(dir, `${pieces.length}.parquet`);
      await withHeld(cache, [file], (paths) =>
        engine.all(
          `COPY (SELECT event_id, seq, event_hash FROM (${segmentsSql(paths)}) WHERE seq <= ${lastSeq}) TO ${sqlString(piece)} (FORMAT parquet, COMPRESSION zstd)`,
        ),
      );
      pieces.push(piece);
    }
    const whole = join(dir, 'all.parquet');
    const [result] = await engine.all(
      `COPY (SELECT * FROM read_parquet(${sqlStrings(pieces)})) TO ${sqlString(whole)} (FORMAT parquet, COMPRESSION zstd)`,
    );
    if (Number(result?.Count) !== lastSeq - firstSeq + 1) {
      throw new IndelibleError('corrupt', `${workspace}: the segments lack events before seq ${lastSeq + 1}`);
    }
    await store.putFile(key, whole);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
