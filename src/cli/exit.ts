import { IndelibleClientError } from '../client/index.ts';
import { ConfigError } from '../config.ts';

/** What the shell learns. Documented in the help of every command. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  refused: 3,
  unreachable: 4,
  unauthorized: 5,
  interrupted: 130,
} as const;

export const EXIT_HELP = `Exit codes: 0 ok; 1 failure, also a journal that does not verify; 2 wrong usage or configuration;
3 refused, because another process or writer owns the journal; 4 the service cannot be reached;
5 no key, an unknown key, or one that does not allow it.`;

/** A failure with its line for the user and its exit code. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Any error as one line and an exit code. */
export function explain(error: unknown): { line: string; exitCode: number } {
  if (error instanceof CliError) return { line: error.message, exitCode: error.exitCode };
  if (error instanceof ConfigError) return { line: error.message, exitCode: EXIT.usage };
  if (error instanceof IndelibleClientError) return explainClientError(error);
  const message = error instanceof Error ? error.message : String(error);
  // The journal's errors are known by their kind, so that a thin command need not load the journal.
  if (error instanceof Error && error.name === 'IndelibleError') {
    return { line: message, exitCode: EXIT_OF_KIND[(error as Error & { kind: string }).kind] ?? EXIT.failure };
  }
  if (errorCode(error) === 'EADDRINUSE') {
    const { address, port } = error as { address?: string; port?: number };
    return {
      line: `${address}:${port} is in use: stop what listens there, or choose another --port`,
      exitCode: EXIT.failure,
    };
  }
  if (errorCode(error) === 'ENOENT')
    return { line: `no such file or directory: ${pathOf(error)}`, exitCode: EXIT.failure };
  return { line: message, exitCode: EXIT.failure };
}

const EXIT_OF_KIND: Record<string, number> = {
  fenced: EXIT.refused,
  unauthorized: EXIT.unauthorized,
  forbidden: EXIT.unauthorized,
};

function explainClientError(error: IndelibleClientError): { line: string; exitCode: number } {
  if (error.kind === 'unreachable') {
    // That nobody listens there is what the question says already.
    const line = error.message.replace(/: connect ECONNREFUSED.*$/, '');
    return { line: `${line}: is it running? (npm start)`, exitCode: EXIT.unreachable };
  }
  if (error.kind === 'aborted') return { line: 'interrupted', exitCode: EXIT.interrupted };
  if (error.status === 401) {
    const hint = 'set INDELIBLE_KEY to a key of this service (its first start printed an operator key)';
    return { line: `${error.message}: ${hint}`, exitCode: EXIT.unauthorized };
  }
  if (
    error.problem?.errors?.some((fault) => fault.pointer === '/workspace' && fault.message.startsWith('is missing'))
  ) {
    return { line: 'name the workspace: --workspace NAME', exitCode: EXIT.usage };
  }
  if (error.status === 403) return { line: error.message, exitCode: EXIT.unauthorized };
  const type = error.problem?.type ?? '';
  return { line: error.message, exitCode: type.endsWith('fenced') ? EXIT.refused : EXIT.failure };
}

export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

function pathOf(error: unknown): string {
  return String((error as { path?: unknown }).path ?? (error as Error).message);
}
