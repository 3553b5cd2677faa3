import {
  EVENT_SELECT,
  type Engine,
  eventOfRow,
  type JournalEvent,
  type Row,
  type SegmentFile,
  type Snapshot,
  segmentsSql,
  sqlString,
  withHeld,
} from '../journal/index.ts';
import type { EventFilter } from './filters.ts';
import type { Found, HistoryBlocks } from './history-blocks/index.ts';
import { type CommittedQuery, committedEvents } from './rows.ts';

/** An entity with more events than this in the files that are asked is read page by page. */
const EVENTS_MAX = 256;
/** One with a larger event too: what is held at once must not depend on what was recorded. */
const EVENT_BYTES_MAX = 64 * 1024;
/** Entities in one statement. */
const BATCH_ENTITIES = 32;
/** Of an event beside its values, roughly. */
const EVENT_BYTES = 600;

const VALUES = ['old_value', 'new_value', 'metadata'] as const;
const VALUE_BYTES = VALUES.map((name) => `coalesce(strlen(${name}), 0)`).join(' + ');

type Kept = { found: Found; bytes: number };
type Asked = {
  snapshot: Snapshot;
  files: readonly SegmentFile[];
  entityId: string;
  answer: PromiseWithResolvers<ReadonlyMap<SegmentFile, Found>>;
};

/**
 * The committed events of entities, all of one entity at a time. Files never change, so what one holds of an entity is
 * kept, least recently used out. What is not kept is read from history blocks, and where a file has none by DuckDB:
 * requests that come while a statement runs share the next one.
 */
export class EntityReader {
  readonly engine: Engine;
  readonly #cacheBytesMax: number;
  readonly #blocks: HistoryBlocks | undefined;
  readonly #kept = new Map<string, Kept>();
  #keptBytes = 0;
  readonly #waiting: Asked[] = [];
  #isRunning = false;

  constructor(options: { engine: Engine; cacheBytesMax: number; blocks?: HistoryBlocks | undefined }) {
    this.engine = options.engine;
    this.#cacheBytesMax = options.cacheBytesMax;
    this.#blocks = options.blocks;
  }

  /** Bytes of the events that are kept, roughly. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** The entity's events in these files of the snapshot, by ascending seq; undefined: too many to be read at once. */
  async read(snapshot: Snapshot, files: readonly SegmentFile[], entityId: string): Promise<JournalEvent[] | undefined> {
    this.#blocks?.keepOnly(snapshot.workspace, snapshot.files);
    const found = new Map<SegmentFile, Found>();
    for (const file of files) {
      const kept = this.#take(keyOf(file, entityId));
      if (kept) found.set(file, kept);
    }
    const isMissing = (file: SegmentFile) => !found.has(file);
    const isMany = () => [...found.values()].includes('many');
    let missing = files.filter(isMissing);
    if (missing.length > 0 && !isMany() && this.#blocks) {
      for (const [file, events] of await this.#blocks.read(missing, entityId)) {
        found.set(file, events);
        // That there is nothing is told as fast by the blocks.
        if (events.length > 0) this.#keep(keyOf(file, entityId), events);
      }
      missing = files.filter(isMissing);
    }
    if (missing.length > 0 && !isMany()) {
      for (const [file, events] of await this.#ask(snapshot, missing, entityId)) found.set(file, events);
    }
    const events: JournalEvent[] = [];
    for (const each of found.values()) {
      if (each === 'many') return undefined;
      for (const event of each) events.push(event);
    }
    return events.length > EVENTS_MAX ? undefined : events.sort((a, b) => a.seq - b.seq);
  }

  /** A page of what is too much to be read at once, as `committedEvents` gives it. */
  async page(
    snapshot: Snapshot,
    files: readonly SegmentFile[],
    query: CommittedQuery & { filter: EventFilter & { entityId: string } },
  ): Promise<{ events: JournalEvent[]; cut: boolean }> {
    const page = await this.#blocks?.page(files, query);
    if (page !== undefined) return page;
    await withHeld(snapshot, files, async (paths) => {
      for (const [index, file] of files.entries()) this.#blocks?.want(file, paths[index] as string);
    });
    return committedEvents(this.engine, snapshot, files, query);
  }

  #ask(snapshot: Snapshot, files: readonly SegmentFile[], entityId: string): Promise<ReadonlyMap<SegmentFile, Found>> {
    const answer = Promise.withResolvers<ReadonlyMap<SegmentFile, Found>>();
    this.#waiting.push({ snapshot, files, entityId, answer });
    if (!this.#isRunning) void this.#run();
    return answer.promise;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0] as Asked;
      // Of one journal: another's files are none of theirs.
      const batch = this.#waiting.filter(({ snapshot }) => snapshot.workspace === first.snapshot.workspace);
      batch.splice(BATCH_ENTITIES);
      for (const asked of batch) this.#waiting.splice(this.#waiting.indexOf(asked), 1);
      await this.#answer(batch);
    }
    this.#isRunning = false;
  }

  async #answer(batch: readonly Asked[]): Promise<void> {
    try {
      const answers = await this.#read(batch);
      if (answers) for (const [asked, found] of answers) asked.answer.resolve(found);
      // One of them has too many events: each by itself.
      else for (const asked of batch) await this.#answer([asked]);
    } catch (error) {
      for (const { answer } of batch) answer.reject(error);
    }
  }

  /** undefined: more events than can be held, and no telling whose. */
  async #read(batch: readonly Asked[]): Promise<Map<Asked, Map<SegmentFile, Found>> | undefined> {
    const rows = await this.#rows(batch);
    const isCut = rows.length > EVENTS_MAX * batch.length;
    if (isCut && batch.length > 1) return undefined;
    const byPair = new Map<string, JournalEvent[]>();
    const large = new Set<string>();
    for (const { key, too_large: isLarge, ...row } of rows) {
      const event = eventOfRow(row);
      const pair = `${key}\n${event.entity_id}`;
      if (isLarge) large.add(pair);
      const events = byPair.get(pair);
      if (events) events.push(event);
      else byPair.set(pair, [event]);
    }
    const answers = new Map<Asked, Map<SegmentFile, Found>>();
    for (const asked of batch) {
      const found = new Map<SegmentFile, Found>();
      for (const file of asked.files) {
        const pair = keyOf(file, asked.entityId);
        const events = isCut || large.has(pair) ? 'many' : (byPair.get(pair) ?? []);
        found.set(file, events);
        this.#keep(pair, events);
      }
      answers.set(asked, found);
    }
    return answers;
  }

  /** Rows of every asked entity in every asked file, each with the file's key. */
  async #rows(batch: readonly Asked[]): Promise<Row[]> {
    const held = await Promise.all(batch.map(({ snapshot, files }) => snapshot.hold(files)));
    try {
      const keys = new Map<string, string>();
      for (const [index, { files }] of batch.entries()) {
        for (const [at, path] of (held[index]?.paths ?? []).entries()) {
          const file = files[at] as SegmentFile;
          keys.set(path, file.key);
          this.#blocks?.want(file, path);
        }
      }
      const entityIds = [...new Set(batch.map(({ entityId }) => entityId))];
      const rows = await this.engine.all(entitiesSql([...keys.keys()], entityIds, batch.length));
      return rows.map(({ filename, ...row }) => ({ ...row, key: keys.get(filename as string) }));
    } finally {
      for (const each of held) each.release();
    }
  }

  #take(pair: string): Found | undefined {
    const kept = this.#kept.get(pair);
    if (!kept) return undefined;
    this.#kept.delete(pair);
    this.#kept.set(pair, kept);
    return kept.found;
  }

  #keep(pair: string, found: Found): void {
    const bytes = pair.length + 100 + (found === 'many' ? 0 : found.reduce((sum, event) => sum + bytesOf(event), 0));
    const old = this.#kept.get(pair);
    if (old) this.#keptBytes -= old.bytes;
    this.#kept.delete(pair);
    this.#kept.set(pair, { found, bytes });
    this.#keptBytes += bytes;
    for (const [key, kept] of this.#kept) {
      if (this.#keptBytes <= this.#cacheBytesMax) return;
      this.#kept.delete(key);
      this.#keptBytes -= kept.bytes;
    }
  }
}

/** Literals, not parameters, and no order: each costs a millisecond of the few that a file takes. */
function entitiesSql(paths: readonly string[], entityIds: readonly string[], requests: number): string {
  const ids = entityIds.map(sqlString);
  // One id as an equality: bloom filters are asked for those only.
  const where = ids.length === 1 ? `entity_id = ${ids[0]}` : `entity_id IN (${ids.join(', ')})`;
  const values = VALUES.map((name) => `CASE WHEN ${VALUE_BYTES} <= ${EVENT_BYTES_MAX} THEN ${name} END AS ${name}`);
  const bounded = `SELECT * REPLACE (${values.join(', ')}), ${VALUE_BYTES} > ${EVENT_BYTES_MAX} AS too_large`;
  return `SELECT ${EVENT_SELECT}, too_large, filename FROM (${bounded} FROM (${segmentsSql(paths, 'filename')}) WHERE ${where} LIMIT ${EVENTS_MAX * requests + 1})`;
}

/** A newline stands in no key of an object. */
function keyOf(file: SegmentFile, entityId: string): string {
  return `${file.key}\n${entityId}`;
}

function bytesOf({ old_value, new_value, metadata }: JournalEvent): number {
  return EVENT_BYTES + 2 * ((old_value?.length ?? 0) + (new_value?.length ?? 0) + (metadata?.length ?? 0));
}
