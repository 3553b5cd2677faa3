import { spawn } from 'node:child_process';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, '../../src/main.ts');

export type Run = { code: number | null; stdout: string; stderr: string };
type Options = {
  cwd?: string;
  env?: Record<string, string>;
  input?: string;
  onStdout?: (text: string, stop: () => void) => void;
};

/** An environment without settings of the machine that runs the tests. */
export function cleanEnv(env: Record<string, string> = {}): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('INDELIBLE_'));
  return { ...(Object.fromEntries(kept) as Record<string, string>), ...env };
}

/** Starts the command line as a process of its own. */
export function start(args: readonly string[], options: Options = {}) {
  return spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd,
    env: cleanEnv(options.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** Runs it to its end. */
export async function run(args: readonly string[], options: Options = {}): Promise<Run> {
  const child = start(args, options);
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    options.onStdout?.(text, () => child.stdout.destroy());
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, stdout, stderr };
}
