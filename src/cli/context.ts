import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { type ClientOptions, IndelibleClient, type ReadOptions } from '../client/index.ts';
import { CONFIG_FILE, type ConfigSources, loadConfig } from '../config.ts';
import { parseExactJson } from './exact-json.ts';
import { CliError, errorCode, EXIT } from './exit.ts';

/** The outside world of one run of the command line. */
export type Io = {
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  /** Aborted by Ctrl-C, or with STDOUT_CLOSED. */
  signal: AbortSignal;
  nowMs: () => number;
};

export type CommonOptions = { workspace?: string | undefined; json?: true; url?: string };
export type StoreOptions = CommonOptions & { store?: string };
export type AfterOptions = { after?: string };

/** The options that every command has. */
export function withCommonOptions(command: Command): Command {
  return command
    .option('-w, --workspace <name>', "workspace; needed with an operator's key")
    .option('--json', 'print JSON, for other programs')
    .option('--url <url>', 'address of the service (default INDELIBLE_URL, then the configured host and port)');
}

export function withStoreOption(command: Command): Command {
  return command.option('--store <dir>', 'read this store directly, without a service: only what is committed there');
}

/** For what reads from a service. */
export function withAfterOption(command: Command): Command {
  return command.option(
    '--after <position>',
    'answer once this is seen: a seq, or the position of an append that was queued',
  );
}

/** What a read is told. @throws CliError where a store is read directly: it is what it is */
export function readOptions(io: Io, { after, store }: AfterOptions & { store?: string }): ReadOptions {
  if (after !== undefined && store !== undefined) {
    throw new CliError(EXIT.usage, '--after is for a service: --store reads what is committed');
  }
  return { signal: io.signal, after };
}

export function readConfigFile(cwd: string): string | undefined {
  try {
    return readFileSync(join(cwd, CONFIG_FILE), 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw new CliError(EXIT.usage, `cannot read ${CONFIG_FILE}: ${(error as Error).message}`);
  }
}

/** @throws ConfigError */
export function configOf(io: Io, flags: ConfigSources['flags']): ReturnType<typeof loadConfig> {
  return loadConfig({ env: io.env, flags, file: readConfigFile(io.cwd) });
}

/** Where the service is: --url, INDELIBLE_URL, else the configured host and port. */
export function serviceUrl(io: Io, options: CommonOptions): string {
  const config = configOf(io, {});
  const given = options.url ?? io.env.INDELIBLE_URL;
  if (given === undefined) return `http://${reachableHost(config.host)}:${config.port}`;
  const name = options.url === undefined ? 'INDELIBLE_URL' : '--url';
  if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol)) {
    throw new CliError(EXIT.usage, `${name} must be an http or https address, like http://127.0.0.1:8080`);
  }
  return given;
}

/** A host one can connect to, for a host that one listens on. */
export function reachableHost(host: string): string {
  if (host === '0.0.0.0' || host === '') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

export function clientOf(io: Io, options: CommonOptions): IndelibleClient {
  const settings: ClientOptions = {
    url: serviceUrl(io, options),
    key: io.env.INDELIBLE_KEY || io.env.INDELIBLE_OPERATOR_KEY,
    workspace: options.workspace,
    parseJson: parseExactJson,
    // A person waits: a dead service is told at once, a busy one is asked a few times more.
    retry: { attemptsMax: 4, totalMs: 15_000, firstDelayMs: 250, networkErrors: false },
  };
  return new IndelibleClient(settings);
}

/** A whole number option of commander. */
export function countOption(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** Writes JSON with its numbers as they came. */
export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Columns of the terminal; undefined: no terminal, no cutting of lines. */
export function terminalWidth(io: Io): number | undefined {
  // Some terminals say 0: they do not know.
  return io.stdout.isTTY && io.stdout.columns > 0 ? io.stdout.columns : undefined;
}
