import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  EVENT_SELECT,
  eventOfRow,
  type JournalEvent,
  type SegmentFile,
  type Snapshot,
  segmentsSql,
} from '../../../journal/index.ts';
import { EntityReader, HistoryBlocks, type HistoryObserver, history } from '../../../queries/index.ts';
import type { Lab } from '../snapshots.ts';

export const GIB = 1024 ** 3;

/** What the blocks reported. */
export type Seen = { hits: number; misses: number; built: number; failed: string[] };

/** History blocks of a directory of their own, watched. */
export type Shelved = { blocks: HistoryBlocks; dir: string; seen: Seen };

export async function openBlocks(lab: Lab, options: { bytesMax?: number; dir?: string } = {}): Promise<Shelved> {
  const dir = options.dir ?? mkdtempSync(join(lab.directory, 'history-'));
  const seen: Seen = { hits: 0, misses: 0, built: 0, failed: [] };
  const observer: HistoryObserver = {
    historyLookUp: (hits, misses) => {
      seen.hits += hits;
      seen.misses += misses;
    },
    historyBuilt: () => {
      seen.built += 1;
    },
    historyBuildFailed: (error) => {
      seen.failed.push((error as Error).message);
    },
  };
  const blocks = await HistoryBlocks.open({
    dir,
    bytesMax: options.bytesMax ?? GIB,
    tempDir: join(lab.directory, 'spill'),
    memoryBytes: 256 * 1024 * 1024,
    observer,
  });
  return { blocks, dir, seen };
}

/** Closes the blocks and opens those of the directory again. */
export async function reopen(lab: Lab, { blocks, dir }: Shelved): Promise<Shelved> {
  await blocks.close();
  return openBlocks(lab, { dir });
}

export async function removeAll({ blocks, dir }: Shelved): Promise<void> {
  await blocks.close();
  rmSync(dir, { recursive: true });
}

/** Asks for blocks of the files as two questions would, and waits for them. */
export async function build({ blocks }: Shelved, files: readonly SegmentFile[]): Promise<void> {
  for (const file of [...files, ...files]) blocks.want(file, file.key);
  await blocks.built();
}

/** A reader that keeps nothing: each question goes to the blocks. */
export function readerOf(lab: Lab, { blocks }: Shelved): EntityReader {
  return new EntityReader({ engine: lab.engine, cacheBytesMax: 0, blocks });
}

export const ask = (reader: EntityReader, snapshot: Snapshot, entityId: string, limit = 1000) =>
  history(reader, snapshot, { entityId, order: 'asc', limit });

export function eventsOf(events: readonly JournalEvent[], entityId: string): JournalEvent[] {
  return events.filter((event) => event.entity_id === entityId);
}

/** The entity's events in the file, by DuckDB. */
export async function storedEvents(lab: Lab, file: SegmentFile, entityId: string): Promise<JournalEvent[]> {
  const sql = `SELECT ${EVENT_SELECT} FROM (${segmentsSql([file.key])}) WHERE entity_id = ? ORDER BY seq`;
  return (await lab.engine.all(sql, [entityId])).map(eventOfRow);
}

/** Every entity_id in the file, by DuckDB. */
export async function idsOf(lab: Lab, file: SegmentFile): Promise<string[]> {
  const rows = await lab.engine.all(`SELECT DISTINCT entity_id FROM (${segmentsSql([file.key])})`);
  return rows.map(({ entity_id: id }) => id as string);
}
