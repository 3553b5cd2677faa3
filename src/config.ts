import { parseStore } from './store-location.ts';

/**
 * Configuration: one table of settings, from which the flags, the help, the documentation and the checks come.
 * Precedence: repo file < environment < flag. Pure: whoever calls reads the file and the environment.
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
  queryTimeoutMs: number;
  queryRowsMax: number;
  queryConcurrency: number;
  ingestBytesMax: number;
  shutdownTimeoutMs: number;
  takeOver: boolean;
};

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type ConfigKey = keyof Config;
type Kind =
  | { kind: 'text' }
  | { kind: 'choice'; choices: readonly string[] }
  | { kind: 'count'; min: number; max: number }
  | { kind: 'bytes'; min: number; max: number }
  | { kind: 'flag' };
export type Setting = { key: ConfigKey; initial: string | undefined; secret?: true; description: string } & Kind;

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;
const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

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
    description: 'seal events older than this',
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
];

/** Variables of the command line's client side: known, but no setting of the service. */
const CLIENT_VARIABLES = new Set(['INDELIBLE_URL', 'INDELIBLE_KEY']);

export const CONFIG_FILE = 'indelible.config.json';

/** Configuration that stops the start. The message is one line that names the setting and the fix. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** `flushAgeMs` → `INDELIBLE_FLUSH_AGE_MS` */
export function environmentName(key: ConfigKey): string {
  return `INDELIBLE_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** `flushAgeMs` → `--flush-age-ms` */
export function flagName(key: ConfigKey): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export type ConfigSources = {
  env: Readonly<Record<string, string | undefined>>;
  /** By setting key, as the command line gave them. */
  flags: Readonly<Partial<Record<ConfigKey, string | boolean>>>;
  /** Text of the repo file, if there is one. */
  file: string | undefined;
};

/** @throws ConfigError for anything unknown or malformed, whichever source wins. */
export function loadConfig(sources: ConfigSources): Config {
  refuseUnknownVariables(sources.env);
  const file = readFileValues(sources.file);
  const values: Partial<Record<ConfigKey, string | number | boolean>> = {};
  for (const setting of SETTINGS) {
    if (setting.initial !== undefined) values[setting.key] = parseValue(setting, setting.initial, setting.key);
    // Every layer is checked, also where a stronger one wins: a mistake must not wait for the day it takes effect.
    const layers: [unknown, string][] = [
      [file[setting.key], `${CONFIG_FILE}: ${setting.key}`],
      [sources.env[environmentName(setting.key)], environmentName(setting.key)],
      [sources.flags[setting.key], flagName(setting.key)],
    ];
    for (const [given, name] of layers) {
      if (given !== undefined) values[setting.key] = parseValue(setting, given, name);
    }
  }
  return checked({ operatorKey: undefined, s3Endpoint: undefined, store: `${values.data}/store`, ...values } as Config);
}

function refuseUnknownVariables(env: ConfigSources['env']): void {
  const known = new Set([...SETTINGS.map((setting) => environmentName(setting.key)), ...CLIENT_VARIABLES]);
  for (const name of Object.keys(env)) {
    if (!name.startsWith('INDELIBLE_') || known.has(name) || env[name] === undefined) continue;
    throw new ConfigError(`${name} is not a setting${suggestion(name, [...known])}`);
  }
}

function readFileValues(text: string | undefined): Partial<Record<string, unknown>> {
  if (text === undefined) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`${CONFIG_FILE} is not JSON: ${oneLine((error as Error).message)}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new ConfigError(`${CONFIG_FILE} must be a JSON object of settings, like {"port": 8080}`);
  }
  const known = SETTINGS.map((setting) => setting.key);
  for (const key of Object.keys(parsed)) {
    if (!known.includes(key as ConfigKey)) {
      throw new ConfigError(`${CONFIG_FILE}: ${JSON.stringify(key)} is not a setting${suggestion(key, known)}`);
    }
  }
  return parsed as Partial<Record<string, unknown>>;
}

function parseValue(setting: Setting, given: unknown, name: string): string | number | boolean {
  const shown = setting.secret ? '' : `, not ${JSON.stringify(given)}`;
  if (setting.kind === 'flag') {
    if (given === true || given === 'true' || given === '1') return true;
    if (given === false || given === 'false' || given === '0') return false;
    throw new ConfigError(`${name} must be true or false${shown}`);
  }
  if (setting.kind === 'count' || setting.kind === 'bytes') {
    const number = setting.kind === 'count' ? parseCount(given) : parseBytes(given);
    if (number === undefined || number < setting.min || number > setting.max) {
      const unit = setting.kind === 'bytes' ? ' of bytes (KiB, MiB, GiB may follow)' : '';
      throw new ConfigError(`${name} must be a whole number${unit} from ${setting.min} to ${setting.max}${shown}`);
    }
    return number;
  }
  if (typeof given !== 'string' || given === '')
    throw new ConfigError(`${name} must be a text that is not empty${shown}`);
  if (given.includes('\0')) throw new ConfigError(`${name} holds a NUL character`);
  if (setting.kind === 'choice' && !setting.choices.includes(given)) {
    throw new ConfigError(`${name} must be one of ${setting.choices.join(', ')}${shown}`);
  }
  return given;
}

function parseCount(given: unknown): number | undefined {
  if (typeof given === 'number') return Number.isSafeInteger(given) ? given : undefined;
  return typeof given === 'string' && /^\d{1,15}$/.test(given) ? Number(given) : undefined;
}

const BYTE_UNITS: Record<string, number> = { '': 1, KiB: KIB, MiB: MIB, GiB: GIB, TiB: TIB };

function parseBytes(given: unknown): number | undefined {
  if (typeof given === 'number') return parseCount(given);
  const match = typeof given === 'string' ? /^(\d{1,15}) ?([KMGT]iB)?$/.exec(given) : null;
  return match ? Number(match[1]) * (BYTE_UNITS[match[2] ?? ''] ?? Number.NaN) : undefined;
}

function checked(config: Config): Config {
  try {
    parseStore(config.store);
  } catch (error) {
    throw new ConfigError(`INDELIBLE_STORE ${(error as Error).message}`);
  }
  if (config.s3Endpoint !== undefined) checkEndpoint(config.s3Endpoint);
  if (config.operatorKey !== undefined && !/^[\x21-\x7e]{8,256}$/.test(config.operatorKey)) {
    throw new ConfigError('INDELIBLE_OPERATOR_KEY must have 8 to 256 visible ASCII characters and no blanks');
  }
  if (config.walBytesMax < 2 * config.flushBytes) {
    throw new ConfigError('INDELIBLE_WAL_BYTES_MAX must be at least twice INDELIBLE_FLUSH_BYTES');
  }
  return config;
}

/** Never repeated in the message: somebody may have put a password there. */
function checkEndpoint(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new ConfigError('INDELIBLE_S3_ENDPOINT must be an http or https address, like https://s3.example.com');
  }
}

function suggestion(name: string, known: readonly string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near && near.distance <= 3
    ? `; did you mean ${near.candidate}?`
    : '; see `indelible serve --help` for all of them';
}

/** Levenshtein distance; names are short. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

/** The settings as a Markdown table, for the documentation. */
export function settingsTable(): string {
  const rows = SETTINGS.map((setting) => {
    const initial = setting.initial === undefined ? '' : `\`${setting.initial}\``;
    return `| \`${environmentName(setting.key)}\` | \`${flagName(setting.key)}\` | \`${setting.key}\` | ${initial} | ${setting.description} |`;
  });
  return ['| environment | flag | file | default | what |', '|---|---|---|---|---|', ...rows].join('\n');
}
