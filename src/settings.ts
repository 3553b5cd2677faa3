/**
 * The settings: one table, from which the flags, the help, the documentation and the checks come.
 */
export type Config = {
  host: string;
  port: number;
  /** Directory of the write-ahead log, the id index and the server's secret. */
  data: string;
  /** Directory of the object store, or s3://bucket/prefix; default `<data>/store`. */
  store: string;
  /** Of an S3 service that is not AWS. */
  s3Endpoint: string | undefined;
  operatorKey: string | undefined;
  logLevel: LogLevel;
  flushEvents: number;
  flushBytes: number;
  flushAgeMs: number;
  walBytesMax: number;
  cacheBytesMax: number;
  compaction: 'on' | 'off';
  compactionGraceMs: number;
  queryMemoryBytes: number;
  historyCacheBytes: number;
  historyDiskBytes: number;
  queryTimeoutMs: number;
  queryRowsMax: number;
  queryConcurrency: number;
  ingestBytesMax: number;
  shutdownTimeoutMs: number;
  takeOver: boolean;
  /** Directory of the policies; default: those that come with the service. */
  policies: string | undefined;
  geminiApiKey: string | undefined;
  geminiBaseUrl: string | undefined;
  geminiModel: string;
  embeddingModel: string;
  aiTimeoutMs: number;
  aiRetries: number;
  aiConcurrency: number;
  aiCallsPerMinute: number;
  aiCallsPerDay: number;
  /** Cluster mode: where the streams are. */
  redisUrl: string | undefined;
  /** What this process does in a cluster: a list of ROLES. */
  role: string;
  partitions: number;
  /** Of the whole cluster, 64 hex characters. */
  secret: string | undefined;
  leaseMs: number;
  reclaimIdleMs: number;
  reclaimEveryMs: number;
  streamKeepMs: number;
};

export const ROLES = ['web', 'worker', 'reclaimer', 'compactor'] as const;
export type ServiceRole = (typeof ROLES)[number];

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type ConfigKey = keyof Config;
type Kind =
  | { kind: 'text' }
  | { kind: 'choice'; choices: readonly string[] }
  | { kind: 'count'; min: number; max: number }
  | { kind: 'bytes'; min: number; max: number }
  | { kind: 'flag' };
export type Setting = {
  key: ConfigKey;
  initial: string | undefined;
  secret?: true;
  /** Where the environment has an established name for it. */
  variable?: string;
  description: string;
} & Kind;

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;
const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

/** How signals are judged. */
const COMPLIANCE_SETTINGS: readonly Setting[] = [
  {
    key: 'policies',
    kind: 'text',
    initial: undefined,
    description: 'directory of the policies that signals are judged by (default: those that come with the service)',
  },
  {
    key: 'geminiApiKey',
    kind: 'text',
    secret: true,
    variable: 'GEMINI_API_KEY',
    initial: undefined,
    description: 'key of Gemini for workspaces that have none of their own; without one the rules judge',
  },
  {
    key: 'geminiBaseUrl',
    kind: 'text',
    variable: 'GOOGLE_GEMINI_BASE_URL',
    initial: undefined,
    description: "address of the Gemini API, where it is not Google's",
  },
  {
    key: 'geminiModel',
    kind: 'text',
    initial: 'gemini-3.8-flash',
    description: 'model that judges; its name is recorded with each verdict',
  },
  {
    key: 'embeddingModel',
    kind: 'text',
    initial: 'gemini-embedding-001',
    description: 'model that embeds; verdicts are reused within one only',
  },
  {
    key: 'aiTimeoutMs',
    kind: 'count',
    min: 100,
    max: HOUR_MS,
    initial: '10000',
    description: 'time of one call to a model',
  },
  { key: 'aiRetries', kind: 'count', min: 0, max: 10, initial: '2', description: 'calls to a model tried again' },
  {
    key: 'aiConcurrency',
    kind: 'count',
    min: 1,
    max: 1_000,
    initial: '8',
    description: 'signals of a workspace judged by the model at once',
  },
  {
    key: 'aiCallsPerMinute',
    kind: 'count',
    min: 0,
    max: 1_000_000,
    initial: '600',
    description: 'calls to models of a workspace; beyond them the rules judge',
  },
  {
    key: 'aiCallsPerDay',
    kind: 'count',
    min: 0,
    max: 1_000_000_000,
    initial: '50000',
    description: 'the same for a day (UTC)',
  },
];

/** Where one process is not enough. */
const CLUSTER_SETTINGS: readonly Setting[] = [
  {
    key: 'redisUrl',
    kind: 'text',
    secret: true,
    initial: undefined,
    description: 'redis://HOST:PORT or redis-cluster://HOST:PORT,HOST:PORT: cluster mode, with its streams there',
  },
  {
    key: 'role',
    kind: 'text',
    initial: ROLES.join(','),
    description: `what this process does in a cluster: some of ${ROLES.join(', ')}`,
  },
  {
    key: 'partitions',
    kind: 'count',
    min: 1,
    max: 1_000,
    initial: '16',
    description: 'streams that the workspaces of a cluster are spread over: fixed by the first process, for ever',
  },
  {
    key: 'secret',
    kind: 'text',
    secret: true,
    initial: undefined,
    description:
      'the secret of the server, 64 hex characters: the same for all processes of a cluster (default: DATA/secret)',
  },
  {
    key: 'leaseMs',
    kind: 'count',
    min: 500,
    max: HOUR_MS,
    initial: '10000',
    description: 'after so long without a sign of life another worker takes a partition over; the same for all',
  },
  {
    key: 'reclaimIdleMs',
    kind: 'count',
    min: 500,
    max: DAY_MS,
    initial: '60000',
    description: 'signals that a worker has had for so long without a sign are judged by the reclaimer',
  },
  {
    key: 'reclaimEveryMs',
    kind: 'count',
    min: 100,
    max: DAY_MS,
    initial: '30000',
    description: 'how often the reclaimer looks',
  },
  {
    key: 'streamKeepMs',
    kind: 'count',
    min: 0,
    max: 30 * DAY_MS,
    initial: '600000',
    description: 'how long entries stay in their stream when they are done, for replay',
  },
];

export const SETTINGS: readonly Setting[] = [
  { key: 'host', kind: 'text', initial: '127.0.0.1', description: 'address to listen on' },
  { key: 'port', kind: 'count', min: 0, max: 65_535, initial: '8080', description: 'port; 0 takes a free one' },
  { key: 'data', kind: 'text', initial: './data', description: 'directory of the write-ahead log and the keys' },
  {
    key: 'store',
    kind: 'text',
    initial: undefined,
    description: 'directory or s3://BUCKET/PREFIX of the Parquet store (default DATA/store)',
  },
  {
    key: 's3Endpoint',
    kind: 'text',
    initial: undefined,
    description: 'address of an S3 service that is not AWS; credentials and region come from the usual AWS places',
  },
  {
    key: 'operatorKey',
    kind: 'text',
    secret: true,
    initial: undefined,
    description: 'use this operator key instead of making one; at least 8 characters, better 32',
  },
  { key: 'logLevel', kind: 'choice', choices: LOG_LEVELS, initial: 'info', description: 'how much is logged' },
  {
    key: 'flushEvents',
    kind: 'count',
    min: 1,
    max: 5_000_000,
    initial: '100000',
    description: 'seal after this many events',
  },
  {
    key: 'flushBytes',
    kind: 'bytes',
    min: MIB,
    max: 4 * GIB,
    initial: '64MiB',
    description: 'seal after this much WAL',
  },
  {
    key: 'flushAgeMs',
    kind: 'count',
    min: 10,
    max: DAY_MS,
    initial: '60000',
    description: 'seal events older than this; in a cluster 2000 unless it is said',
  },
  {
    key: 'walBytesMax',
    kind: 'bytes',
    min: 64 * MIB,
    max: TIB,
    initial: '1GiB',
    description: 'refuse appends (503) when this much WAL could not be sealed',
  },
  {
    key: 'cacheBytesMax',
    kind: 'bytes',
    min: 0,
    max: 1024 * TIB,
    initial: '10GiB',
    description: 'segments of an object store kept in DATA/cache, the least recently used dropped first',
  },
  {
    key: 'compaction',
    kind: 'choice',
    choices: ['on', 'off'],
    initial: 'on',
    description: 'merge segments and delete replaced files in the background; off: only when asked to',
  },
  {
    key: 'compactionGraceMs',
    kind: 'count',
    // Twice what a file may be on its way from its upload to its commit: see journal/table.
    min: HOUR_MS,
    max: 30 * DAY_MS,
    initial: '3600000',
    description: 'how long replaced files stay: longer than the longest query of any reader of the store',
  },
  {
    key: 'queryMemoryBytes',
    kind: 'bytes',
    // Below it the write-ahead log's longest line could not be read: see threads.ts.
    min: 320 * MIB,
    max: TIB,
    initial: '512MiB',
    description: 'memory of one query, export or verification, of sealing and of compaction',
  },
  {
    key: 'historyCacheBytes',
    kind: 'bytes',
    min: 0,
    max: TIB,
    initial: '64MiB',
    description: 'memory for the histories of entities that were asked for before',
  },
  {
    key: 'historyDiskBytes',
    kind: 'bytes',
    min: 0,
    max: 1024 * TIB,
    initial: '4GiB',
    description: 'history blocks kept in DATA/history, which make histories fast, about 110 bytes an event; 0: none',
  },
  {
    key: 'queryTimeoutMs',
    kind: 'count',
    min: 100,
    max: DAY_MS,
    initial: '30000',
    description: 'time of one SQL query',
  },
  {
    key: 'queryRowsMax',
    kind: 'count',
    min: 1,
    max: 100_000_000,
    initial: '100000',
    description: 'rows that one SQL query returns at most',
  },
  { key: 'queryConcurrency', kind: 'count', min: 1, max: 64, initial: '2', description: 'worker processes at once' },
  {
    key: 'ingestBytesMax',
    kind: 'bytes',
    min: MIB,
    max: TIB,
    initial: '10GiB',
    description: 'largest file to ingest, after decompression',
  },
  {
    key: 'shutdownTimeoutMs',
    kind: 'count',
    min: 0,
    max: DAY_MS,
    initial: '15000',
    description: 'how long open requests may take to finish when stopping',
  },
  {
    key: 'takeOver',
    kind: 'flag',
    initial: 'false',
    description: 'become the writer of a store whose last writer is gone for good',
  },
  ...COMPLIANCE_SETTINGS,
  ...CLUSTER_SETTINGS,
];

/** `flushAgeMs` → `INDELIBLE_FLUSH_AGE_MS`, where the environment has no name of its own for it. */
export function environmentName({ key, variable }: Setting): string {
  if (variable !== undefined) return variable;
  return `INDELIBLE_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** `flushAgeMs` → `--flush-age-ms` */
export function flagName(key: ConfigKey): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** The settings as a Markdown table, for the documentation. */
export function settingsTable(): string {
  const rows = SETTINGS.map((setting) => {
    const initial = setting.initial === undefined ? '' : `\`${setting.initial}\``;
    return `| \`${environmentName(setting)}\` | \`${flagName(setting.key)}\` | \`${setting.key}\` | ${initial} | ${setting.description} |`;
  });
  return ['| environment | flag | file | default | what |', '|---|---|---|---|---|', ...rows].join('\n');
}
