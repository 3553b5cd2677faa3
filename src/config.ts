import {
  type Config,
  type ConfigKey,
  environmentName,
  flagName,
  GIB,
  KIB,
  MIB,
  ROLES,
  type ServiceRole,
  type Setting,
  SETTINGS,
  TIB,
} from './settings.ts';
import { parseStore } from './store-location.ts';

/** Variables of the command line's client side: known, but no setting of the service. */
const CLIENT_VARIABLES = new Set(['INDELIBLE_URL', 'INDELIBLE_KEY']);

export const CONFIG_FILE = 'indelible.config.json';

/** Configuration that stops the start. The message is one line that names the setting and the fix. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export type ConfigSources = {
  env: Readonly<Record<string, string | undefined>>;
  /** By setting key, as the command line gave them. */
  flags: Readonly<Partial<Record<ConfigKey, string | boolean>>>;
  /** Text of the repo file, if there is one. */
  file: string | undefined;
};

/**
 * Precedence: repo file < environment < flag. Pure: whoever calls reads the file and the environment.
 * @throws ConfigError for anything unknown or malformed, whichever source wins.
 */
export function loadConfig(sources: ConfigSources): Config {
  refuseUnknownVariables(sources.env);
  const file = readFileValues(sources.file);
  const values: Partial<Record<ConfigKey, string | number | boolean>> = {};
  for (const setting of SETTINGS) {
    if (setting.initial !== undefined) values[setting.key] = parseValue(setting, setting.initial, setting.key);
    // Every layer is checked, also where a stronger one wins: a mistake must not wait for the day it takes effect.
    const layers: [unknown, string][] = [
      [file[setting.key], `${CONFIG_FILE}: ${setting.key}`],
      [variableOf(setting, sources.env), environmentName(setting)],
      [sources.flags[setting.key], flagName(setting.key)],
    ];
    for (const [given, name] of layers) {
      if (given !== undefined) values[setting.key] = parseValue(setting, given, name);
    }
  }
  const absent = { operatorKey: undefined, s3Endpoint: undefined, store: `${values.data}/store` };
  const offline = { policies: undefined, geminiApiKey: undefined, geminiBaseUrl: undefined };
  const alone = { redisUrl: undefined, secret: undefined };
  const config = checked({ ...absent, ...offline, ...alone, ...values } as Config);
  const isGiven = (key: ConfigKey) => {
    const setting = SETTINGS.find((each) => each.key === key) as Setting;
    return [file[key], variableOf(setting, sources.env), sources.flags[key]].some((given) => given !== undefined);
  };
  checkCluster(config, isGiven);
  // What is not committed nobody can read there.
  if (config.redisUrl !== undefined && !isGiven('flushAgeMs')) config.flushAgeMs = CLUSTER_FLUSH_AGE_MS;
  return config;
}

const CLUSTER_FLUSH_AGE_MS = 2_000;

/** What the roles of a cluster have to agree on is to be said, not made up by each. */
function checkCluster(config: Config, isGiven: (key: ConfigKey) => boolean): void {
  const { redisUrl, secret, operatorKey } = config;
  if (secret !== undefined && !/^[0-9a-f]{64}$/.test(secret)) {
    throw new ConfigError('INDELIBLE_SECRET must have 64 lower-case hex characters: openssl rand -hex 32');
  }
  rolesOf(config);
  if (redisUrl === undefined) {
    if (isGiven('role'))
      throw new ConfigError('INDELIBLE_ROLE is for a cluster: say where its Redis is with INDELIBLE_REDIS_URL');
    return;
  }
  if (!/^rediss?(-cluster)?:\/\/./.test(redisUrl)) {
    throw new ConfigError('INDELIBLE_REDIS_URL must be like redis://host:6379 or redis-cluster://host:6379,host:6380');
  }
  if (secret === undefined) {
    throw new ConfigError(
      'INDELIBLE_SECRET must be set in a cluster, the same for all processes: openssl rand -hex 32',
    );
  }
  if (!isGiven('store')) throw new ConfigError('INDELIBLE_STORE must be set in a cluster, the same for all processes');
  if (operatorKey === undefined) {
    throw new ConfigError('INDELIBLE_OPERATOR_KEY must be set in a cluster: no process makes one for all');
  }
}

/** What the process does. @throws ConfigError */
export function rolesOf({ role }: Pick<Config, 'role'>): ReadonlySet<ServiceRole> {
  const names = role.split(',').map((name) => name.trim());
  for (const name of names) {
    if (!ROLES.includes(name as ServiceRole)) {
      throw new ConfigError(`INDELIBLE_ROLE must name some of ${ROLES.join(', ')}, not ${JSON.stringify(name)}`);
    }
  }
  return new Set(names as ServiceRole[]);
}

/** A name that other programs know as well may be there and empty: that says nothing. */
function variableOf(setting: Setting, env: ConfigSources['env']): string | undefined {
  const value = env[environmentName(setting)];
  return setting.variable !== undefined && value === '' ? undefined : value;
}

function refuseUnknownVariables(env: ConfigSources['env']): void {
  const known = new Set([...SETTINGS.map((setting) => environmentName(setting)), ...CLIENT_VARIABLES]);
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
  checkAddress('INDELIBLE_S3_ENDPOINT', config.s3Endpoint, 'https://s3.example.com');
  checkAddress('GOOGLE_GEMINI_BASE_URL', config.geminiBaseUrl, 'https://gemini.example.com');
  if (config.geminiApiKey !== undefined && !/^[\x21-\x7e]{1,512}$/.test(config.geminiApiKey)) {
    throw new ConfigError('GEMINI_API_KEY must have visible ASCII characters only');
  }
  if (config.operatorKey !== undefined && !/^[\x21-\x7e]{8,256}$/.test(config.operatorKey)) {
    throw new ConfigError('INDELIBLE_OPERATOR_KEY must have 8 to 256 visible ASCII characters and no blanks');
  }
  if (config.walBytesMax < 2 * config.flushBytes) {
    throw new ConfigError('INDELIBLE_WAL_BYTES_MAX must be at least twice INDELIBLE_FLUSH_BYTES');
  }
  return config;
}

/** Never repeated in the message: somebody may have put a password there. */
function checkAddress(name: string, text: string | undefined, example: string): void {
  if (text === undefined) return;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new ConfigError(`${name} must be an http or https address, like ${example}`);
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
