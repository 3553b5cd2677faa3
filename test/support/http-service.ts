import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { DirectoryStore, type JournalObserver, LocalJournals, localDisk } from '../../journal/index.ts';
import { ComplianceEvents, type Role } from '../../projections/index.ts';
import { EntityReader, RecentReader, WorkerPool } from '../../queries/index.ts';
import {
  type EdgeConfig,
  journalAxioms,
  Lifecycle,
  type RunningServer,
  type Services,
  startServer,
} from '../../src/http/index.ts';
import { cursorSecretOf, Keys, loadSecret } from '../../src/keys.ts';
import { createLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { Retention } from '../../src/retention.ts';
import { systemRandom } from '../../src/system.ts';
import { removeDir } from './remove-dir.ts';
import { openEngine, openJudging } from '../../src/compliance-parts.ts';
import { loadConfig } from '../../src/config.ts';
import type { Config } from '../../src/settings.ts';
import { openProjections } from '../../src/projection-parts.ts';

export const OPERATOR_KEY = 'an-operator-key-for-the-tests';

export type TestService = {
  url: string;
  services: Services;
  running: RunningServer;
  keys: Keys;
  dir: string;
  /** Lines of the log so far. */
  logLines: string[];
  /** fetch with a key; the operator's, and the workspace `acme`, where nothing else is said. */
  call(path: string, init?: CallInit): Promise<TestResponse>;
  post(events: unknown, init?: CallInit): Promise<TestResponse>;
  key(role: Role, workspace?: string): Promise<string>;
  /** From then on signals are recorded and wait. */
  stopJudging(): Promise<void>;
  stop(): Promise<void>;
  /** Stops, and starts again over the same data. */
  restart(): Promise<TestService>;
};

type Progress = { events: number; duplicates: number; lines: number; first_seq: number; last_seq: number };
type SeenEvent = Record<string, unknown> & { seq: number; event_id: string; entity_id: string; event_hash: string };

/** What the tests read of answers: each test knows which of it its route gives. */
export type Answer = Record<string, unknown> & {
  id: string;
  key: string;
  count: number;
  first_seq: number;
  last_seq: number;
  head_hash: string;
  committed_seq: number;
  total_events: number;
  request_id: string;
  next_cursor: string;
  receipts: SeenEvent[];
  events: SeenEvent[];
  errors: { pointer: string; message: string }[];
  progress: Progress;
  paths: Record<string, Record<string, unknown>>;
};
export type TestResponse = Omit<Response, 'json'> & { json(): Promise<Answer> };

export type CallInit = Omit<RequestInit, 'headers'> & {
  headers?: Record<string, string>;
  key?: string | null;
  workspace?: string | null;
};

export type ServiceOptions = {
  dir?: string;
  config?: Partial<EdgeConfig>;
  flushEvents?: number;
  logLevel?: string;
  /** How signals are judged; default: as configured by nobody. */
  compliance?: Partial<Config>;
  /** Where signals go; default: into the journal. */
  axioms?: Services['axioms'];
};

/** A real server on a free port over a real journal in a temporary directory. */
export async function startService(options: ServiceOptions = {}): Promise<TestService> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'indelible-http-')));
  const logLines: string[] = [];
  const { services, keys, engine } = await openServices(dir, logLines, options);
  const running = await startServer(services, { host: '127.0.0.1', port: 0 });
  const stop = async () => {
    await running.stop(2_000);
    await engine.stop();
    await services.projections.close();
    await services.pool.close();
    await services.journals.close();
  };
  const call = (path: string, init: CallInit = {}) => send(running.url + path, init);
  return {
    url: running.url,
    services,
    running,
    keys,
    dir,
    logLines,
    call,
    post: (events, init = {}) =>
      call('/journal/events', {
        method: 'POST',
        body: JSON.stringify(events),
        ...init,
        headers: { 'Content-Type': 'application/json', ...init.headers },
      }),
    key: (role, workspace = 'acme') => makeKey(keys, role, workspace),
    stopJudging: () => engine.stop(),
    async stop() {
      await stop();
      await removeDir(dir);
    },
    async restart() {
      await stop();
      return startService({ ...options, dir });
    },
  };
}

function send(url: string, { key = OPERATOR_KEY, workspace = 'acme', headers = {}, ...init }: CallInit) {
  const authorization = key === null ? {} : { Authorization: `Bearer ${key}` };
  const named = workspace === null || key !== OPERATOR_KEY ? {} : { 'X-Workspace': workspace };
  return fetch(url, { ...init, headers: { ...authorization, ...named, ...headers } }) as Promise<TestResponse>;
}

async function makeKey(keys: Keys, role: Role, workspace: string): Promise<string> {
  const by = { keyId: 'test', name: 'test', role: 'operator', workspace: null } as const;
  const wanted = { role, workspace: role === 'operator' ? null : workspace, name: `${role}-key` };
  if (wanted.workspace !== null) await keys.createWorkspace(wanted.workspace, by);
  return (await keys.createKey(wanted, by)).keyText;
}

async function openServices(dir: string, logLines: string[], options: ServiceOptions) {
  const random = systemRandom;
  const gauges = {
    walBytes: 0,
    cacheBytes: 0,
    mergeableFiles: 0,
    sealLagEvents: 0,
    historyBytes: 0,
    workerProcesses: 0,
    journals: 0,
    signalsWaiting: 0,
    projectionLagEvents: 0,
  };
  const metrics = new Metrics(() => gauges, { processMetrics: false });
  const journals = await openJournals(dir, metrics, options.flushEvents ?? 100_000);
  const pool = await WorkerPool.open({ tempDir: join(journals.tempDir, 'workers'), concurrency: 2, waitingMax: 8 });
  const secret = await loadSecret(dir, random);
  const keys = await Keys.open({ journals, secret, random, operatorKey: OPERATOR_KEY });
  const log = createLogger({ level: options.logLevel ?? 'debug', destination: collector(logLines) });
  const config = { ...loadConfig({ env: {}, flags: { data: dir }, file: undefined }), ...options.compliance };
  const store = new DirectoryStore(join(dir, 'store'));
  const judging = await openJudging({ config, journals, store, secret, reports: metrics, log });
  const engine = openEngine({ config, journals, judging, reports: metrics, log });
  void engine.resume();
  const projections = openProjections({ config, journals, reports: metrics, log });
  const services: Services = {
    journals,
    compliance: engine,
    axioms: options.axioms ?? journalAxioms(journals, engine),
    aiKeys: judging.aiKeys,
    complianceEvents: new ComplianceEvents(projections),
    projections,
    entityReader: new EntityReader({ engine: journals.engine, cacheBytesMax: 1024 * 1024 }),
    recentReader: new RecentReader({ engine: journals.engine, newestEvents: 3 }),
    pool,
    keys,
    retention: await Retention.open(journals, (workspace) => projections.catchUp(workspace)),
    cluster: undefined,
    admission: { admit: () => {} },
    readiness: () => ({ ready: true, parts: {} }),
    metrics,
    log,
    clock,
    random,
    cursorSecret: cursorSecretOf(secret),
    lifecycle: new Lifecycle(),
    config: {
      queryTimeoutMs: 10_000,
      queryRowsMax: 10_000,
      queryMemoryBytes: 256 * 1024 * 1024,
      ingestBytesMax: 64 * 1024 * 1024,
      version: '0.0.0-test',
      ...options.config,
    },
  };
  return { services, keys, engine };
}

const clock = { nowMs: () => Date.now() };

function openJournals(dir: string, observer: JournalObserver, flushEvents: number): Promise<LocalJournals> {
  return LocalJournals.open({
    dataDir: dir,
    store: new DirectoryStore(join(dir, 'store')),
    clock,
    random: systemRandom,
    disk: localDisk,
    flushEvents,
    flushBytes: 64 * 1024 * 1024,
    flushAgeMs: 60_000,
    walBytesMax: 1024 * 1024 * 1024,
    cacheBytesMax: 1 << 30,
    sealRetryMs: 1_000,
    engineMemoryBytes: 256 * 1024 * 1024,
    engineThreads: 1,
    takeOver: false,
    observer,
  });
}

function collector(lines: string[]): Writable {
  return new Writable({
    write(chunk, _encoding, done) {
      lines.push(...String(chunk).split('\n').filter(Boolean));
      done();
    },
  });
}

/** An event; whatever is not said is plausible. */
export function event(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { entity_type: 'file', entity_id: 'src/context.ts', action: 'update', actor: 'ann', source: 'test', ...more };
}
