import assert from 'node:assert/strict';
import { type ChildProcess, execFile, fork } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { IndelibleError } from '../../journal/index.ts';
import { type FromWorker, scopeOf, type ToWorker } from './protocol.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const STDERR_CHARS_KEPT = 2_000;

/** Names of worker directories; the number is the id of the process that made them. */
export const WORKER_DIR = /^worker-(\d+)-/;

/** A worker process that waits for a job, or does one. Its directory goes when it has ended. */
export class WorkerProcess {
  readonly pid: number;
  /** The answer's bytes: a real pipe, so that a slow reader blocks the worker and nobody else. */
  readonly output: Socket;
  /** Resolves when process and directory are gone. Never rejects. */
  readonly gone: Promise<void>;
  readonly #child: ChildProcess;
  #served: { scope: string | undefined; jobs: number } | undefined;
  #stderr = '';

  private constructor(child: ChildProcess, output: Socket, dir: string) {
    this.#child = child;
    this.output = output;
    this.pid = child.pid ?? -1;
    child.on('error', () => {});
    output.on('error', () => {});
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARS_KEPT);
    });
    this.gone = ended(child).then(() => rm(dir, { recursive: true, force: true }).catch(() => {}));
  }

  /** @throws IndelibleError unavailable where the machine has no named pipes or cannot start a process */
  static async start(tempDir: string): Promise<WorkerProcess> {
    const dir = await mkdtemp(join(tempDir, `worker-${process.pid}-`));
    try {
      const pipe = await openPipe(join(dir, 'output'));
      const child = fork(MAIN, [], {
        cwd: dir,
        execArgv: ['--max-semi-space-size=4', '--max-old-space-size=192'],
        // Nothing of the service's environment: it holds keys.
        env: {
          HOME: '/nonexistent',
          TMPDIR: dir,
          TZ: 'UTC',
          LANG: 'C.UTF-8',
          UV_THREADPOOL_SIZE: '4',
          NODE_COMPILE_CACHE: join(tempDir, 'compile-cache'),
        },
        stdio: ['ignore', pipe.writeEnd, 'pipe', 'ipc'],
        serialization: 'advanced',
      });
      closeSync(pipe.writeEnd);
      return new WorkerProcess(child, new Socket({ fd: pipe.readEnd, readable: true, writable: false }), dir);
    } catch (error) {
      await rm(dir, { recursive: true, force: true });
      throw new IndelibleError('unavailable', 'a worker process could not be started', {
        retryAfterS: 5,
        cause: error,
      });
    }
  }

  /** What the worker wrote to stderr last, for the log. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Resident memory in bytes; undefined where the system does not tell. */
  residentBytes(): number | undefined {
    try {
      const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'latin1'));
      return line ? Number(line[1]) * 1024 : undefined;
    } catch {
      return undefined;
    }
  }

  /** What its jobs were, and how many; undefined for a worker that had none. */
  get served(): { scope: string | undefined; jobs: number } | undefined {
    return this.#served;
  }

  onMessage(listener: (message: FromWorker) => void): void {
    this.#child.on('message', listener);
  }

  offMessage(listener: (message: FromWorker) => void): void {
    this.#child.off('message', listener);
  }

  send(message: ToWorker): void {
    const scope = scopeOf(message.job, message.limits);
    const before = this.#served;
    assert(
      !before || (scope !== undefined && scope === before.scope),
      'I5: a worker process serves one workspace only',
    );
    this.#served = { scope, jobs: (before?.jobs ?? 0) + 1 };
    // A worker that is already dead tells so by ending.
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  kill(): void {
    this.#child.kill('SIGKILL');
    this.output.destroy();
  }
}

/** The process has ended and every message it sent has been delivered: 'exit' may come before the last one. */
function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    let missing = 2;
    const one = () => {
      missing -= 1;
      if (missing === 0) resolve();
    };
    child.once('exit', one);
    child.once('disconnect', one);
    child.once('error', () => resolve());
  });
}

/** Node's own stdio "pipes" are sockets, which DuckDB cannot open by name: only a FIFO serves its COPY. */
async function openPipe(path: string): Promise<{ readEnd: number; writeEnd: number }> {
  await promisify(execFile)('mkfifo', ['-m', '600', path]);
  const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return { readEnd, writeEnd: openSync(path, constants.O_WRONLY) };
  } catch (error) {
    closeSync(readEnd);
    throw error;
  }
}
