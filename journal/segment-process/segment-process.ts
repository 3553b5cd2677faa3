import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { IndelibleError } from '../errors.ts';
import type {
  PartJob,
  SegmentPlan,
  Survey,
  SurveyJob,
  WalSource,
  WrittenPart,
  WrittenSegment,
} from '../segment/index.ts';
import type { SegmentJobs } from './jobs.ts';
import type { FromSegmentProcess, ToSegmentProcess } from './protocol.ts';

/** A job that takes longer hangs: its process is ended, and whoever asked tries again with another. */
const JOB_MS_MAX = 15 * 60 * 1_000;

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

/**
 * Writes segments in a process of its own, at a low priority and with its own memory, so that neither sealing nor
 * compaction slows appends or grows the service. Started with the first job; one that died is started again with the
 * next. One job at a time; whoever comes meanwhile waits.
 */
export class SegmentProcess implements SegmentJobs {
  readonly #options: { tempDir: string; memoryLimitBytes: number; threads: number; jobMsMax?: number };
  #child: ChildProcess | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  /** @param options `jobMsMax`: how long a job may take; default a quarter of an hour. */
  constructor(options: { tempDir: string; memoryLimitBytes: number; threads: number; jobMsMax?: number }) {
    this.#options = options;
  }

  /** All three: unavailable where the process dies. */
  seal(wal: WalSource, plans: readonly SegmentPlan[]): Promise<WrittenSegment[]> {
    return this.#ask({ job: 'seal', args: [wal, plans] });
  }

  survey(job: SurveyJob): Promise<Survey> {
    return this.#ask({ job: 'survey', args: [job] });
  }

  writePart(job: PartJob): Promise<WrittenPart> {
    return this.#ask({ job: 'writePart', args: [job] });
  }

  /** Ends the process, and with it a job that is under way. It is started again with the next. */
  close(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #ask<Result>(message: ToSegmentProcess): Promise<Result> {
    const answer = this.#turn.then(() => this.#askNow<Result>(message));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  #askNow<Result>(message: ToSegmentProcess): Promise<Result> {
    const child = this.#running();
    return new Promise((resolve, reject) => {
      const overdue = setTimeout(() => child.kill('SIGKILL'), this.#options.jobMsMax ?? JOB_MS_MAX);
      const settle = (act: () => void) => {
        clearTimeout(overdue);
        child.off('message', onMessage);
        child.off('exit', onExit);
        holdOpen(child, false);
        act();
      };
      const onMessage = (message: unknown) => {
        const answer = message as FromSegmentProcess;
        if ('result' in answer) settle(() => resolve(answer.result as Result));
        else settle(() => reject(new IndelibleError(answer.error.kind, answer.error.message, { retryAfterS: 5 })));
      };
      const onExit = () => settle(() => reject(died()));
      child.on('message', onMessage);
      child.on('exit', onExit);
      holdOpen(child, true);
      child.send(message, (error) => {
        if (error) settle(() => reject(died()));
      });
    });
  }

  #running(): ChildProcess {
    if (this.#child?.connected && this.#child.exitCode === null) return this.#child;
    const { tempDir, memoryLimitBytes, threads } = this.#options;
    const child = fork(MAIN, [tempDir, String(memoryLimitBytes), String(threads)], {
      execArgv: [],
      // Nothing of the service's environment: it holds keys.
      env: { HOME: '/nonexistent', TZ: 'UTC', LANG: 'C.UTF-8', MALLOC_ARENA_MAX: '2' },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      // Numbers of any size pass.
      serialization: 'advanced',
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
  return new IndelibleError('unavailable', 'the process that writes segments ended before it was done', {
    retryAfterS: 5,
  });
}
