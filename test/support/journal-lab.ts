import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import canonicalize from 'canonicalize';
import {
  type Clock,
  DirectoryStore,
  type DraftEvent,
  EVENT_SELECT,
  eventOfRow,
  type JournalEvent,
  type Journals,
  type JournalsOptions,
  LocalJournals,
  localDisk,
  type Random,
  segmentsSql,
  snapshotFiles,
  snapshotSql,
  ZERO_HASH,
} from '../../journal/index.ts';

/** A clock that stands still until it is told to move, backwards too. */
export class ManualClock implements Clock {
  ms: number;

  constructor(ms = Date.UTC(2026, 10, 21, 8, 0, 0)) {
    this.ms = ms;
  }

  nowMs(): number {
    return this.ms;
  }
}

/** The same bytes for the same seed: SHA-256 in counter mode. */
export class SeededRandom implements Random {
  readonly #seed: string;
  #counter = 0;

  constructor(seed = 'seed') {
    this.#seed = seed;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count; at += 32) {
      this.#counter += 1;
      const block = createHash('sha256').update(`${this.#seed}/${this.#counter}`).digest();
      bytes.set(block.subarray(0, Math.min(32, count - at)), at);
    }
    return bytes;
  }

  /** 0 ≤ n < max. */
  below(max: number): number {
    return Buffer.from(this.bytes(4)).readUInt32LE() % max;
  }
}

/** A directory for one test: data and store lie in it. */
export class Lab {
  readonly dir = mkdtempSync(join(tmpdir(), 'indelible-journal-'));
  readonly dataDir = join(this.dir, 'data');
  readonly storeDir = join(this.dir, 'store');
  readonly walDir = join(this.dataDir, 'wal');
  readonly clock = new ManualClock();
  readonly random = new SeededRandom();
  readonly failures: unknown[] = [];
  readonly #open = new Set<Journals>();

  /** Opens the journals of this directory; what is not said is quiet: nothing is sealed unless asked for. */
  async open(options: Partial<JournalsOptions> = {}): Promise<Journals> {
    const journals = await LocalJournals.open({
      dataDir: this.dataDir,
      store: new DirectoryStore(this.storeDir),
      clock: this.clock,
      random: this.random,
      disk: localDisk,
      flushEvents: 1_000_000,
      flushBytes: 1 << 30,
      flushAgeMs: 3_600_000,
      walBytesMax: 1 << 30,
      cacheBytesMax: 1 << 30,
      sealRetryMs: 5,
      engineMemoryBytes: 256 * 1024 * 1024,
      engineThreads: 1,
      takeOver: false,
      compaction: { isAutomatic: false },
      observer: { sealFailed: (error) => this.failures.push(error) },
      ...options,
    });
    this.#open.add(journals);
    return journals;
  }

  async close(journals: Journals): Promise<void> {
    this.#open.delete(journals);
    await journals.close();
  }

  async dispose(): Promise<void> {
    for (const journals of this.#open) await journals.close().catch(() => {});
    this.#open.clear();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export function draft(changes: Partial<DraftEvent> = {}): DraftEvent {
  return {
    event_id: null,
    occurred_at: null,
    entity_type: 'file',
    entity_id: 'a',
    field: '*',
    action: 'update',
    old_value: null,
    new_value: null,
    actor: 'ann',
    actor_type: null,
    source: null,
    correlation_id: null,
    metadata: null,
    ...changes,
  };
}

/** Drafts named `<prefix>0`, `<prefix>1` …, each with a content of its own. */
export function drafts(prefix: string, count: number): DraftEvent[] {
  return Array.from({ length: count }, (_, i) =>
    draft({ event_id: `${prefix}${i}`, entity_id: `entity-${i % 7}`, new_value: String(i) }),
  );
}

export const DURABLE = { ack: 'durable', create: true } as const;
export const COMMITTED = { ack: 'committed', create: true } as const;

/** Every event of a journal by one snapshot, through SQL: Parquet files and tail files together, ascending. */
export async function readAll(journals: Journals, workspace: string): Promise<JournalEvent[]> {
  const snapshot = await journals.snapshot(workspace);
  try {
    const sql = snapshotSql(await snapshotFiles(snapshot));
    const rows = await journals.engine.all(`SELECT ${EVENT_SELECT} FROM (${sql}) ORDER BY seq`);
    return rows.map(eventOfRow);
  } finally {
    snapshot.release();
  }
}

/** The same without a file of the tail: Parquet by SQL, the tail from memory. */
export async function readInMemory(journals: Journals, workspace: string): Promise<JournalEvent[]> {
  const snapshot = await journals.snapshot(workspace);
  try {
    const { paths } = await snapshot.hold(snapshot.files);
    const rows = await journals.engine.all(`SELECT ${EVENT_SELECT} FROM (${segmentsSql(paths)}) ORDER BY seq`);
    return [...rows.map(eventOfRow), ...snapshot.tailEvents()];
  } finally {
    snapshot.release();
  }
}

/** The leaf hash by an implementation that is not ours: the `canonicalize` package and node:crypto. */
export function strangerHash(event: JournalEvent, prevHash: string): string {
  const { event_hash: _, ...members } = event;
  const text = canonicalize({ ...members, prev_hash: prevHash, v: 1 });
  return createHash('sha256')
    .update(Buffer.from([0]))
    .update(String(text))
    .digest('hex');
}

/** What is wrong with a journal: positions with gaps, time running backwards, a hash or a link that does not hold. */
export function chainFault(events: readonly JournalEvent[]): string | undefined {
  let prevHash = ZERO_HASH;
  let recordedAt = '';
  for (const [index, event] of events.entries()) {
    if (event.seq !== index) return `seq ${event.seq} stands at ${index}`;
    if (event.recorded_at < recordedAt) return `recorded_at runs backwards at seq ${index}`;
    if (strangerHash(event, prevHash) !== event.event_hash) return `the hash does not hold at seq ${index}`;
    prevHash = event.event_hash;
    recordedAt = event.recorded_at;
  }
  const ids = new Set(events.map((event) => event.event_id));
  return ids.size === events.length ? undefined : 'an event_id stands twice';
}

/** The error of a promise, which must reject. */
export async function errorOf(promise: Promise<unknown>): Promise<Error & { kind?: string; retryAfterS?: number }> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof Error)) throw new Error('nothing was thrown');
  return outcome;
}
