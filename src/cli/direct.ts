import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  canonicalTime,
  type ObjectStore,
  openStore,
  type ReadOnlyStore,
  type Snapshot,
  snapshotFiles,
} from '../../journal/index.ts';
import { storedViews } from '../../projections/index.ts';
import {
  decodeCursor,
  EntityReader,
  encodeCursor,
  eventJson,
  history,
  runExport,
  runSql,
  verifySnapshot,
  WorkerPool,
} from '../../queries/index.ts';
import type {
  ExportQuery,
  HistoryQuery,
  Page,
  RecordedEvent,
  SqlFormat,
  SqlParam,
  SqlStream,
  Verification,
} from '../client/index.ts';
import type { Config } from '../settings.ts';
import { parseStore } from '../store-location.ts';
import { openConfiguredStore } from '../store.ts';
import { systemClock, systemRandom } from '../system.ts';
import { threadsFor } from '../threads.ts';
import { configOf, type Io, type StoreOptions } from './context.ts';
import { parseExactJson } from './exact-json.ts';
import { CliError, errorCode, EXIT } from './exit.ts';

/** The reading half of the service, over the committed files of a store. */
export type DirectStore = {
  history(entityId: string, query: HistoryQuery): Promise<Page>;
  sql(sql: string, params: readonly SqlParam[], format: SqlFormat): Promise<SqlStream>;
  export(query: ExportQuery): Promise<ReadableStream<Uint8Array>>;
  verify(): Promise<Verification>;
};

/** Here a cursor is nobody's secret: it only has to fit its question. */
const CURSOR_SECRET = new Uint8Array(32);

const DAY_MS = 24 * 60 * 60 * 1000;
/** What a big question may spill to the disk of the temporary directory. */
const SPILL_BYTES_MAX = 64 * 1024 ** 3;

/** Opens the store of `--store` for `work`. It reads what is committed and locks nothing. */
export async function withDirectStore<T>(
  io: Io,
  options: StoreOptions,
  work: (store: DirectStore) => Promise<T>,
): Promise<T> {
  const { config, objects } = await locateStore(io, options);
  const tempDir = await mkdtemp(join(tmpdir(), 'indelible-'));
  await mkdir(join(tempDir, 'tail'));
  const store = await openStore({
    store: objects,
    clock: systemClock,
    random: systemRandom,
    tempDir,
    engineMemoryBytes: config.queryMemoryBytes,
    engineThreads: threadsFor(config.queryMemoryBytes, availableParallelism()),
    cacheBytesMax: config.cacheBytesMax,
  });
  const pool = await WorkerPool.open({ tempDir: join(tempDir, 'workers'), concurrency: 1, waitingMax: 0 });
  try {
    const snapshot = await store.snapshot(options.workspace ?? onlyWorkspace(await store.workspaces()));
    try {
      return await work(reader({ io, config, store, pool, snapshot }));
    } finally {
      snapshot.release();
    }
  } finally {
    await pool.close();
    store.close();
    await rm(tempDir, { recursive: true, force: true });
  }
}

/** The configuration with the store of `--store`, which is there. */
export async function locateStore(io: Io, options: StoreOptions): Promise<{ config: Config; objects: ObjectStore }> {
  const config = configOf(io, options.store === undefined ? {} : { store: options.store });
  const location = parseStore(config.store);
  if (location.kind === 'directory') await assertDirectory(location.path);
  return { config, objects: await openConfiguredStore(config, io.env) };
}

async function assertDirectory(path: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!found?.isDirectory()) throw new CliError(EXIT.failure, `--store ${path} is not a directory`);
}

/** Which workspace is meant where none is named. */
export function onlyWorkspace(workspaces: readonly string[]): string {
  const [only] = workspaces;
  if (only !== undefined && workspaces.length === 1) return only;
  if (only === undefined) throw new CliError(EXIT.failure, 'the store holds no workspace');
  throw new CliError(EXIT.usage, `name one of its workspaces by --workspace: ${workspaces.join(', ')}`);
}

type Parts = { io: Io; config: Config; store: ReadOnlyStore; pool: WorkerPool; snapshot: Snapshot };

function reader({ io, config, store, pool, snapshot }: Parts): DirectStore {
  const { signal } = io;
  const limits = {
    // Whoever runs this command line waits for it, and can end it.
    timeMs: DAY_MS,
    stallMs: DAY_MS,
    memoryBytes: config.queryMemoryBytes,
    tempBytes: SPILL_BYTES_MAX,
    threads: threadsFor(config.queryMemoryBytes, availableParallelism()),
  };
  return {
    history: (entityId, query) => readHistory(store, snapshot, entityId, query),
    async sql(sql, params, format) {
      const { views, release } = await storedViews(store, snapshot.workspace, sql);
      try {
        const question = { sql, params: [...params], views, format, rowsMax: config.queryRowsMax, limits, signal };
        const { body, meta } = await runSql(pool, await snapshotFiles(snapshot), question);
        return { body, ...meta };
      } finally {
        release();
      }
    },
    async export({
      format = 'csv',
      profile = 'raw',
      type,
      entity_id,
      correlation_id,
      field,
      action,
      actor,
      source,
      ...range
    }) {
      const filter = {
        entityType: type,
        entityId: entity_id,
        correlationId: correlation_id,
        field,
        action,
        actor,
        source,
        from: canonical('--from', range.from),
        to: canonical('--to', range.to),
      };
      return (await runExport(pool, await snapshotFiles(snapshot), { format, profile, filter, limits, signal })).body;
    },
    verify: async () => verifySnapshot(pool, await snapshotFiles(snapshot), { limits, signal }),
  };
}

async function readHistory(
  store: ReadOnlyStore,
  snapshot: Snapshot,
  entityId: string,
  query: HistoryQuery,
): Promise<Page> {
  const { type, field, order = 'asc', limit = 100, cursor } = query;
  const from = canonical('--from', query.from);
  const to = canonical('--to', query.to);
  const scope = { workspace: snapshot.workspace, route: 'history', filter: { entityId, type, field, from, to, order } };
  const entities = new EntityReader({ engine: store.engine, cacheBytesMax: 0 });
  const page = await history(entities, snapshot, {
    entityId,
    entityType: type,
    field,
    from,
    to,
    order,
    limit,
    cursorSeq: cursor === undefined ? undefined : decodeCursor(CURSOR_SECRET, scope, cursor),
  });
  const last = page.events.at(-1);
  return {
    events: page.events.map((event) => parseExactJson(eventJson(event)) as RecordedEvent),
    next_cursor: page.more && last ? encodeCursor(CURSOR_SECRET, scope, last.seq) : null,
    complete_through: page.complete_through,
  };
}

function canonical(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const time = canonicalTime(text);
  if (!time.ok) throw new CliError(EXIT.usage, `${option} ${time.message}`);
  return time.text;
}
