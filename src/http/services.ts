import type { Logger } from 'pino';
import type { Clock, Cut, DraftEvent, Journals, Random, RetentionReport } from '../../journal/index.ts';
import type {
  AiKeyRecord,
  ComplianceEvents,
  HoldRecord,
  KeyRecord,
  ProjectionRunner,
  Role,
  WorkspaceRecord,
} from '../../projections/index.ts';
import type { EntityReader, RecentReader, WorkerPool } from '../../queries/index.ts';
import type { ClusterAdmin } from './cluster-admin.ts';
import type { Priority } from './priority.ts';

/** Whoever a request speaks for. */
export type Principal = {
  keyId: string;
  name: string;
  role: Role;
  /** null: an operator, who names a workspace with each request. */
  workspace: string | null;
};

/** Keys and workspaces; src/keys.ts keeps them in the journal. Changes resolve once they are durable. */
export interface KeyService {
  /** The holder of the key text, or undefined. Compares in constant time. */
  authenticate(keyText: string): Principal | undefined;
  keys(): readonly KeyRecord[];
  /** @throws IndelibleError not-found for an unknown workspace, conflict for a closed one. */
  createKey(
    wanted: { workspace: string | null; role: Role; name: string },
    by: Principal,
  ): Promise<{ keyText: string; record: KeyRecord }>;
  /** @throws IndelibleError not-found */
  revokeKey(id: string, by: Principal): Promise<KeyRecord>;
  workspace(id: string): WorkspaceRecord | undefined;
  workspaces(): readonly WorkspaceRecord[];
  /** Makes the workspace, or returns the one that exists. */
  createWorkspace(id: string, by: Principal): Promise<WorkspaceRecord>;
  /** Closes the workspace to appends and revokes its keys; its events stay. @throws IndelibleError not-found */
  closeWorkspace(id: string, by: Principal): Promise<WorkspaceRecord>;
}

/** Retention and legal holds; src/retention.ts keeps the holds in the journal. Changes resolve once they are durable. */
export interface RetentionService {
  /** Released ones too. */
  holds(workspace: string): readonly HoldRecord[];
  /**
   * Resolves once nothing of the workspace can be removed any more.
   * @throws IndelibleError conflict where the name stands for another reason; unavailable where the store does not tell
   * whether a removal is over: the hold stands, and the same again waits for it
   */
  addHold(workspace: string, wanted: { name: string; reason: string }, by: Principal): Promise<HoldRecord>;
  /** @throws IndelibleError not-found */
  releaseHold(workspace: string, name: string, by: Principal): Promise<HoldRecord>;
  /** @throws IndelibleError conflict while a hold stands; as JournalRetention.remove does */
  remove(
    workspace: string,
    request: { cut: Cut; reason: string; isDryRun: boolean },
    by: Principal,
  ): Promise<RetentionReport>;
}

/** What became of signals. `null`: they are queued, and what the journal makes of them is found out later. */
export type SignalsTaken = {
  accepted: number;
  duplicates: number | null;
  first_seq: number | null;
  last_seq: number | null;
};

/** Takes signals in: the journal itself, or the queue of a cluster. */
export interface AxiomIntakeService {
  /** Resolves once they are safe, all or none. @throws as Journals.append and JournalQueue.enqueue do */
  enqueue(workspace: string, drafts: readonly DraftEvent[]): Promise<SignalsTaken>;
}

/** The compliance engine: src/compliance judges what `POST /axioms` recorded. */
export interface ComplianceService {
  /** There are new signals in the workspace. */
  wake(workspace: string): void;
  readonly policies: { name: string; version: string; threshold: number };
  /**
   * Signals taken up and not judged, when the oldest of them was recorded, and positions not looked at yet; undefined:
   * other processes judge.
   */
  queue(workspace: string): { signals: number; oldestAt: string | null; unreadSeqs: number } | undefined;
  /** Verdicts that can be reused; undefined: other processes know. */
  cachedVerdicts(workspace: string): number | undefined;
}

/** What may be said of a workspace's key for the model. `usable`: false where it is lost and has to be set again. */
export type AiKeyView = Omit<AiKeyRecord, 'workspace' | 'key_id'> & { usable: boolean };

/** Keys that workspaces bring for the model; src/ai keeps them, encrypted. Changes resolve once they are durable. */
export interface AiKeyService {
  /** Takes the place of the one before. @throws IndelibleError invalid, without the key in it; unavailable */
  set(
    workspace: string,
    wanted: { provider: 'gemini'; key: string; model?: string | undefined; embeddingModel?: string | undefined },
    by: Principal,
  ): Promise<AiKeyView>;
  /** @throws IndelibleError not-found; unavailable: the same again finishes it */
  remove(workspace: string, by: Principal): Promise<void>;
  /** undefined: the workspace has none of its own. @throws IndelibleError unavailable */
  status(workspace: string): Promise<AiKeyView | undefined>;
}

/** Whether the service takes more just now; a process of its own takes what its limits allow. */
export interface Admission {
  /** Called before a body is read, and before each part of a long one. @throws IndelibleError busy or unavailable with retryAfterS */
  admit(priority: Priority): void;
}

/** What the service needs, by name. `detail` is for the operator: why a part does not work, without any secret. */
export type Readiness = { ready: boolean; parts: Readonly<Record<string, { ok: boolean; detail?: string }>> };

/** What the edge measures. Labels are route patterns and kinds, never tenants. */
export interface EdgeMetrics {
  /** Where requests of a route that ended with a status of this class are observed: look it up once where it is hot. */
  requestTimer(route: string, method: string, statusClass: number): { observe(seconds: number): void };
  appendDone(ms: number, events: number): void;
  queryDone(kind: string, ms: number): void;
  errorSeen(kind: string): void;
  /** Signals came without a source_id. */
  unknownTaken(signals: number): void;
  /** The exposition text of everything measured, with its content type. */
  render(): Promise<{ contentType: string; text: string }>;
}

export type EdgeConfig = {
  /** Default time of one SQL query, and the most a caller can ask for. */
  queryTimeoutMs: number;
  queryRowsMax: number;
  queryMemoryBytes: number;
  /** Largest file to ingest, after decompression. */
  ingestBytesMax: number;
  version: string;
};

/** Everything the edge needs from the rest of the service. */
export type Services = {
  journals: Journals;
  entityReader: EntityReader;
  recentReader: RecentReader;
  pool: WorkerPool;
  keys: KeyService;
  retention: RetentionService;
  compliance: ComplianceService;
  axioms: AxiomIntakeService;
  complianceEvents: ComplianceEvents;
  projections: ProjectionRunner;
  aiKeys: AiKeyService;
  /** undefined: the service is one process of its own. */
  cluster: ClusterAdmin | undefined;
  admission: Admission;
  /** As it is now; it is asked often and must cost nothing. */
  readiness: () => Readiness;
  metrics: EdgeMetrics;
  log: Logger;
  /** Binds cursors to their query; the same after a restart. */
  cursorSecret: Uint8Array;
  clock: Clock;
  random: Random;
  config: EdgeConfig;
  /** Shared with startServer: `ready` goes off and `stopping` aborts when the service stops. */
  lifecycle: Lifecycle;
};

/** What a process needs that serves no more than its health, its figures and its description. */
export type SystemServices = Pick<
  Services,
  'journals' | 'keys' | 'readiness' | 'metrics' | 'log' | 'random' | 'lifecycle'
> & { config: Pick<EdgeConfig, 'version'> };

/** Readiness, and the end of what would otherwise last for ever (tails). */
export class Lifecycle {
  ready = true;
  readonly #abort = new AbortController();

  get stopping(): AbortSignal {
    return this.#abort.signal;
  }

  stop(): void {
    this.ready = false;
    this.#abort.abort();
  }
}
