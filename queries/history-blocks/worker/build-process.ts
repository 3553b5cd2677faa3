import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { IndelibleError } from '../../../journal/index.ts';
import type { BuildJob, FromBuildProcess } from './protocol.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

/** A process that waits longer than this for the next job is ended: it holds some 150 MB. */
const IDLE_MS = 30_000;

/**
 * Builds history blocks in a process of its own, at a low priority. Started with the first job, ended when there is none
 * for a while; one that died is started again with the next. One job at a time.
 */
export class BuildProcess {
  readonly #options: { spillDir: string; memoryBytes: number };
  #child: ChildProcess | undefined;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `memoryBytes`: of DuckDB in it; sorting what is larger goes by way of `spillDir`. */
  constructor(options: { spillDir: string; memoryBytes: number }) {
    this.#options = options;
  }

  /** @returns the bytes of the new file @throws unavailable where it could not be built, or the process died */
  async build(job: BuildJob): Promise<number> {
    if (this.#isClosed) throw failed('the service is shutting down');
    clearTimeout(this.#idle);
    try {
      return await this.#ask(job);
    } finally {
      this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref();
    }
  }

  /** Ends the process, and with it a job that is under way. */
  close(): void {
    this.#isClosed = true;
    this.#end();
  }

  #end(): void {
    clearTimeout(this.#idle);
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #ask(job: BuildJob): Promise<number> {
    const child = this.#running();
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        child.off('message', onMessage);
        child.off('exit', onExit);
        act();
      };
      const onMessage = (message: unknown) => {
        const answer = message as FromBuildProcess;
        if ('bytes' in answer) settle(() => resolve(answer.bytes));
        else settle(() => reject(failed(answer.error)));
      };
      const onExit = () => settle(() => reject(failed('the process ended before it was done')));
      child.on('message', onMessage);
      child.on('exit', onExit);
      child.send(job, (error) => {
        if (error) settle(() => reject(failed(error.message)));
      });
    });
  }

  #running(): ChildProcess {
    if (this.#child?.connected && this.#child.exitCode === null) return this.#child;
    const { spillDir, memoryBytes } = this.#options;
    const child = fork(MAIN, [spillDir, String(memoryBytes)], {
      execArgv: ['--max-semi-space-size=4', '--max-old-space-size=192'],
      // Nothing of the service's environment: it holds keys.
      env: { HOME: '/nonexistent', TZ: 'UTC', LANG: 'C.UTF-8', MALLOC_ARENA_MAX: '2' },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    child.on('error', () => {});
    // What is built here nobody waits for.
    child.unref();
    child.channel?.unref();
    this.#child = child;
    return child;
  }
}

function failed(message: string): IndelibleError {
  return new IndelibleError('unavailable', `history blocks could not be built: ${message}`, { retryAfterS: 5 });
}
