import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Engine,
  GENESIS,
  type JournalEvent,
  type Row,
  type SegmentFile,
  type Snapshot,
  type SqlValue,
  sqlString,
  walSql,
} from '../../journal/index.ts';
import { EntityReader, RecentReader } from '../../queries/index.ts';
import { walLines } from '../support/events.ts';

const BOUNDED = ['occurred_at', 'entity_type', 'entity_id', 'field', 'action', 'actor', 'source'] as const;
const CODE_POINT_MAX = '\u{10FFFF}';

/** How a journal lies: which committed events are together in a file; what is in no file is the tail. */
export type Layout = {
  /** File number of each committed event, from seq 0 on. Several files may share a range of positions. */
  fileOf: readonly number[];
  /** Code points kept of text bounds. */
  boundChars: number;
};

/** A scratch directory with an engine, in which snapshots are made of real Parquet files and a tail in memory. */
export class Lab {
  readonly directory = mkdtempSync(join(tmpdir(), 'indelible-queries-'));
  readonly engine: Engine;
  /** Local paths of the files that queries have read. */
  readonly filesRead = new Set<string>();
  /** Statements that were run. */
  statements = 0;
  /** Most text of one answer, in characters. */
  charsReadMax = 0;
  #files = 0;

  private constructor(engine: Engine) {
    this.engine = engine;
    const all = engine.all.bind(engine);
    // Queries still run: this only watches them.
    engine.all = async <T extends Row>(sql: string, params?: readonly SqlValue[]): Promise<T[]> => {
      if (!sql.startsWith('COPY')) for (const path of sql.match(/[^'[]+\.parquet/g) ?? []) this.filesRead.add(path);
      this.statements += 1;
      const rows = await all<T>(sql, params);
      this.charsReadMax = Math.max(this.charsReadMax, charsOf(rows));
      return rows;
    };
  }

  /** A reader that keeps nothing. */
  get reader(): EntityReader {
    return new EntityReader({ engine: this.engine, cacheBytesMax: 0 });
  }

  /** Reads committed events each time, or keeps some. */
  recentReader(newestEvents = 0): RecentReader {
    return new RecentReader({ engine: this.engine, newestEvents });
  }

  static async open(): Promise<Lab> {
    const engine = await Engine.open({
      path: ':memory:',
      tempDir: tmpdir(),
      memoryLimitBytes: 512 * 1024 * 1024,
      threads: 2,
      concurrency: 2,
    });
    return new Lab(engine);
  }

  close(): void {
    this.engine.close();
    rmSync(this.directory, { recursive: true });
  }

  async snapshot(events: readonly JournalEvent[], layout: Layout): Promise<Snapshot> {
    const committed = Math.min(layout.fileOf.length, events.length);
    const groups = new Map<number, JournalEvent[]>();
    for (const event of events.slice(0, committed)) {
      const file = layout.fileOf[event.seq] ?? 0;
      groups.set(file, [...(groups.get(file) ?? []), event]);
    }
    const files: SegmentFile[] = [];
    for (const group of groups.values()) files.push(await this.segment(group, layout.boundChars));
    return memorySnapshot(events, committed - 1, files);
  }

  async segment(events: readonly JournalEvent[], boundChars: number): Promise<SegmentFile> {
    this.#files += 1;
    const path = `${this.#files}.parquet`;
    const localPath = join(this.directory, path);
    const wal = join(this.directory, `${this.#files}.ndjson`);
    writeFileSync(wal, walLines(events));
    await this.engine.all(
      `COPY (SELECT * FROM (${walSql([wal])}) ORDER BY entity_type, entity_id, seq) TO ${sqlString(localPath)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048)`,
    );
    rmSync(wal);
    return {
      path,
      key: localPath,
      rows: events.length,
      sizeBytes: statSync(localPath).size,
      firstSeq: Math.min(...events.map((event) => event.seq)),
      lastSeq: Math.max(...events.map((event) => event.seq)),
      ...bounds(events, boundChars),
    };
  }
}

function charsOf(rows: readonly Row[]): number {
  const texts = rows.flatMap((row) => Object.values(row)).filter((value) => typeof value === 'string');
  return texts.reduce((sum, text) => sum + text.length, 0);
}

/** The bounds that the table's statistics give, found by DuckDB's own order: that of UTF-8 bytes. */
function bounds(events: readonly JournalEvent[], chars: number): Pick<SegmentFile, 'min' | 'max'> {
  const min: Record<string, string> = {};
  const max: Record<string, string> = {};
  for (const column of BOUNDED) {
    const texts = events.map((event) => event[column]).filter((text) => text !== null);
    texts.sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
    const [least, greatest] = [texts[0], texts.at(-1)];
    if (least === undefined || greatest === undefined) continue;
    if (column === 'occurred_at') {
      min[column] = `${least.slice(0, 23)}Z`;
      const ceiling = new Date(Date.parse(`${greatest.slice(0, 23)}Z`) + (greatest.slice(23, 26) === '000' ? 0 : 1));
      if (ceiling.getUTCFullYear() < 10_000) max[column] = ceiling.toISOString();
      continue;
    }
    min[column] = [...least].slice(0, chars).join('');
    max[column] = upperBound(greatest, chars);
  }
  return { min, max };
}

function upperBound(text: string, chars: number): string {
  const points = [...text];
  const next = points[chars];
  if (next === undefined) return text;
  return points.slice(0, chars).join('') + (next < '\u007f' ? '\u007f' : CODE_POINT_MAX);
}

function memorySnapshot(
  events: readonly JournalEvent[],
  committedSeq: number,
  files: readonly SegmentFile[],
): Snapshot {
  const tail = events.slice(committedSeq + 1);
  return {
    workspace: events[0]?.workspace_id ?? 'acme',
    start: GENESIS,
    committedSeq,
    durableSeq: events.length - 1,
    files,
    *tailEvents(fromSeq = 0, toSeq = Number.MAX_SAFE_INTEGER) {
      for (const event of tail) if (event.seq >= fromSeq && event.seq <= toSeq) yield event;
    },
    *tailEventsDescending() {
      yield* [...tail].reverse();
    },
    *tailOfEntity(entityId) {
      for (const event of tail) if (event.entity_id === entityId) yield event;
    },
    *tailOfType(entityType, fromSeq) {
      for (const event of tail) if (event.entity_type === entityType && event.seq >= fromSeq) yield event;
    },
    tailFiles: async () => [],
    // Their keys are their paths.
    hold: async (held) => ({ paths: held.map(({ key }) => key), release: () => {} }),
    release: () => {},
  };
}
