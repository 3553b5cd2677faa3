import { start } from './run.ts';

/** A service as a process of its own, on a port of its own. */
export type RunningService = {
  url: string;
  /** The operator key that this start printed, if it did. */
  key: string | undefined;
  pid: number;
  stderr: () => string;
  /** Its log, as printed so far. */
  stdout: () => string;
  signal(name: NodeJS.Signals): void;
  /** Exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals | null>;
};

export type ServiceOptions = {
  data: string;
  cwd?: string;
  port?: number;
  args?: string[];
  env?: Record<string, string>;
};

/** Starts `indelible serve` and waits until it listens. @throws with what it printed where it ends before. */
export async function startService(options: ServiceOptions): Promise<RunningService> {
  const args = ['serve', '--data', options.data, '--port', String(options.port ?? 0), ...(options.args ?? [])];
  const cwd = options.cwd ?? process.cwd();
  const child = start(args, { cwd, env: { INDELIBLE_LOG_LEVEL: 'error', ...options.env } });
  let stderr = '';
  let stdout = '';
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      // The greeting is one write; the address is its first line.
      const listening = /listening on (http:\/\/\S+)/.exec(stderr)?.[1];
      if (listening !== undefined) resolve(listening);
    });
    ended.then((how) => reject(new Error(`the service ended (${how}) before it listened: ${stderr}`)));
  });
  const key = /^ {2}(ind_\S+)$/m.exec(stderr)?.[1];
  return {
    url,
    key,
    pid: child.pid ?? -1,
    stderr: () => stderr,
    stdout: () => stdout,
    signal: (name) => void child.kill(name),
    ended,
  };
}
