import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { IndelibleError } from '../errors.ts';
import type { SegmentPlan, WalSource, WrittenSegment } from '../segment/index.ts';
import type { FromSealer, ToSealer } from './protocol.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

export type SealProcessOptions = { tempDir: string; memoryLimitBytes: number; threads: number };

/**
 * Writes segments in a process of its own, at a low priority and with its own memory, so that sealing neither slows
 * appends nor grows the service. Started with the first job; one that died is started again with the next.
 */
export class SealProcess {
  readonly #options: SealProcessOptions;
  #child: ChildProcess | undefined;

  constructor(options: SealProcessOptions) {
    this.#options = options;
  }

  /** One job at a time. @throws as writeSegments does; unavailable where the process dies. */
  write(wal: WalSource, plans: readonly SegmentPlan[]): Promise<WrittenSegment[]> {
    const child = this.#running();
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        child.off('message', onMessage);
        child.off('exit', onExit);
        holdOpen(child, false);
        act();
      };
      const onMessage = (answer: unknown) => {
        const result = answer as FromSealer;
        if ('segments' in result) settle(() => resolve(result.segments));
        else settle(() => reject(new IndelibleError(result.error.kind, result.error.message, { retryAfterS: 5 })));
      };
      const onExit = () => settle(() => reject(died()));
      child.on('message', onMessage);
      child.on('exit', onExit);
      holdOpen(child, true);
      const job: ToSealer = { wal, plans };
      child.send(job, (error) => {
        if (error) settle(() => reject(died()));
      });
    });
  }

  close(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #running(): ChildProcess {
    if (this.#child?.connected && this.#child.exitCode === null) return this.#child;
    const { tempDir, memoryLimitBytes, threads } = this.#options;
    const child = fork(MAIN, [tempDir, String(memoryLimitBytes), String(threads)], {
      execArgv: [],
      // Nothing of the service's environment: it holds keys.
      env: { HOME: '/nonexistent', TZ: 'UTC', LANG: 'C.UTF-8', MALLOC_ARENA_MAX: '2' },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.on('error', () => {});
    this.#child = child;
    return child;
  }
}

/** A job keeps the service alive until it is done; waiting for one does not. */
function holdOpen(child: ChildProcess, isBusy: boolean): void {
  if (isBusy) {
    child.ref();
    child.channel?.ref();
  } else {
    child.unref();
    child.channel?.unref();
  }
}

function died(): IndelibleError {
  return new IndelibleError('unavailable', 'the sealing process ended before it was done', { retryAfterS: 5 });
}
