/** Child processes: started with their output kept in a file, stopped by their id, and never left behind. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { once } from 'node:events';

export interface Child {
  readonly pid: number;
  readonly process: ChildProcess;
  /** The last lines that it wrote, for error messages. */
  logTail(): string;
  /** Sends a signal and waits until it is gone; SIGKILL after `graceMs`. Safe to call twice. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<void>;
}

export interface StartOptions {
  cwd?: string;
  env?: Record<string, string>;
  uid?: number;
  gid?: number;
  /** What asks it to stop; SIGTERM where none is given. */
  stopSignal?: NodeJS.Signals;
  logPath: string;
}

const running = new Set<Child>();

export function start(command: string, args: string[], options: StartOptions): Child {
  const log = openSync(options.logPath, 'a');
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', log, log],
    uid: options.uid,
    gid: options.gid,
  });
  closeSync(log);
  child.on('error', () => undefined);
  const started: Child = {
    pid: child.pid ?? 0,
    process: child,
    logTail: () => readFileSync(options.logPath, 'utf8').split('\n').slice(-12).join('\n'),
    async stop(signal = options.stopSignal ?? 'SIGTERM', graceMs = 60_000) {
      running.delete(started);
      if (!isAlive(child)) return;
      const gone = once(child, 'exit');
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await gone;
      clearTimeout(timer);
    },
  };
  running.add(started);
  return started;
}

export function isAlive(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** Runs a command to its end; throws with its output where it fails. */
export async function run(
  command: string,
  args: string[],
  options: { uid?: number; gid?: number; cwd?: string; env?: Record<string, string> } = {},
): Promise<string> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
    env: { ...process.env, ...options.env },
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${err || out}`);
  return out;
}

/** Polls `probe` until it answers true. Throws where the child dies first or the time runs out. */
export async function waitFor(
  child: Child,
  what: string,
  probe: () => Promise<boolean>,
  limitMs = 120_000,
  everyMs = 20,
): Promise<number> {
  const began = performance.now();
  while (performance.now() - began < limitMs) {
    if (!isAlive(child.process)) throw new Error(`${what} ended before it was ready:\n${child.logTail()}`);
    if (await probe().catch(() => false)) return performance.now() - began;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  throw new Error(`${what} was not ready after ${limitMs} ms:\n${child.logTail()}`);
}

/** Stops everything still running; for the harness's own exit. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((child) => child.stop(undefined, 10_000)));
}
