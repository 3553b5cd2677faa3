import { IndelibleError } from '../../journal/index.ts';
import {
  type Failure,
  type FromWorker,
  type JobKind,
  type Jobs,
  PROCESS_BYTES,
  staysAfter,
  type ToWorker,
} from './protocol.ts';
import type { WorkerProcess } from './process.ts';

const MEMORY_SAMPLE_MS = 25;
/** Where the exact reason of a worker's death is not known to the caller. */
const DIED = 'the worker process ended before its answer was complete';

/** An answer under way. */
export type WorkerRun<Kind extends JobKind> = {
  meta: Jobs[Kind]['meta'];
  /** Ends only where the answer is complete; errors with an IndelibleError otherwise. Cancelling it stops the worker. */
  body: ReadableStream<Uint8Array>;
  /** Settles as `body` does. */
  done: Promise<Jobs[Kind]['summary']>;
};

/** One job in one worker process: supervises it, and turns its end, whichever way, into the answer's end. */
export class Supervision<Kind extends JobKind> {
  /** Resolves at the first byte, rejects where there will be none. */
  readonly ready: Promise<WorkerRun<Kind>>;
  /** Resolves when the job has ended: true where the worker waits for another, false where it is dead or dying. */
  readonly over: Promise<boolean>;
  readonly #worker: WorkerProcess;
  readonly #job: ToWorker['job'];
  readonly #limits: ToWorker['limits'];
  readonly #ready = Promise.withResolvers<WorkerRun<Kind>>();
  readonly #done = Promise.withResolvers<Jobs[Kind]['summary']>();
  readonly #over = Promise.withResolvers<boolean>();
  readonly #body: ReadableStream<Uint8Array>;
  readonly #timers: NodeJS.Timeout[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #stall: NodeJS.Timeout | undefined;
  #summary: { value: Jobs[Kind]['summary']; answerBytes: number | undefined } | undefined;
  #receivedBytes = 0;
  #outputEnded = false;
  #exited = false;
  #settled = false;

  constructor(worker: WorkerProcess, message: ToWorker, signal: AbortSignal | undefined) {
    this.#worker = worker;
    this.#job = message.job;
    this.#limits = message.limits;
    this.ready = this.#ready.promise;
    this.over = this.#over.promise;
    this.#done.promise.catch(() => {});
    this.#body = this.#stream();
    worker.onMessage(this.#hear);
    worker.output.on('data', this.#receive);
    worker.output.on('error', this.#endOutput);
    worker.output.on('close', this.#endOutput);
    worker.output.pause();
    worker.gone.then(() => this.#exit());
    this.#watch(message.limits, signal);
    worker.send(message);
  }

  /** Ends the answer with this error, and the worker. Not an answer that has ended: its worker may serve another. */
  fail(error: IndelibleError): void {
    if (this.#settled) return;
    this.#worker.kill();
    this.#refuse(error, false);
  }

  #refuse(error: IndelibleError, stays: boolean): void {
    this.#settle(stays);
    this.#ready.reject(error);
    this.#done.reject(error);
    this.#controller?.error(error);
  }

  #stream(): ReadableStream<Uint8Array> {
    const { output } = this.#worker;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          if (this.#settled) return;
          clearTimeout(this.#stall);
          output.resume();
        },
        cancel: () => this.fail(new IndelibleError('unavailable', 'the reader went away')),
      },
      // A few reads of the pipe: enough to keep it moving, bounded whatever the answer's size.
      { highWaterMark: 4 },
    );
  }

  #receive = (bytes: Uint8Array): void => {
    this.#receivedBytes += bytes.length;
    this.#controller?.enqueue(bytes);
    this.#finish();
    if (this.#settled || (this.#controller?.desiredSize ?? 0) > 0) return;
    this.#worker.output.pause();
    this.#stall = setTimeout(() => this.fail(stalled(this.#limits.stallMs)), this.#limits.stallMs);
  };

  #watch(limits: ToWorker['limits'], signal: AbortSignal | undefined): void {
    const { timeMs, memoryBytes } = limits;
    this.#timers.push(
      setTimeout(() => this.fail(tooSlow(timeMs)), timeMs),
      setInterval(() => {
        if ((this.#worker.residentBytes() ?? 0) > memoryBytes + PROCESS_BYTES) this.fail(tooMuchMemory(memoryBytes));
      }, MEMORY_SAMPLE_MS),
    );
    const abort = () => this.fail(new IndelibleError('unavailable', 'the request was given up'));
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    this.#done.promise.catch(() => {}).finally(() => signal?.removeEventListener('abort', abort));
  }

  #hear = (told: FromWorker): void => {
    if (told.type === 'ready') {
      clearTimeout(this.#timers[0]);
      const meta = told.meta as Jobs[Kind]['meta'];
      this.#ready.resolve({ meta, body: this.#body, done: this.#done.promise });
    }
    if (told.type === 'done') {
      this.#summary = { value: told.summary as Jobs[Kind]['summary'], answerBytes: told.answerBytes };
      this.#finish();
    }
    if (told.type === 'failed') {
      const error = failureError(told.failure, this.#limits.memoryBytes);
      if (staysAfter(this.#job, told.failure) && this.#receivedBytes === 0) this.#refuse(error, true);
      else this.fail(error);
    }
  };

  #endOutput = (): void => {
    this.#outputEnded = true;
    this.#finish();
  };

  #exit(): void {
    this.#exited = true;
    this.#finish();
    // Bytes of a complete answer may still wait in the pipe; without a summary nothing more will make it complete.
    if (!this.#summary && !this.#settled) {
      this.fail(new IndelibleError('unavailable', DIED, { retryAfterS: 1, cause: this.#worker.stderr }));
    }
  }

  /** Complete is: the worker said so, and every byte it wrote was read: as many as it said, or all until its end. */
  #finish(): void {
    if (this.#settled || !this.#summary) return;
    const { value, answerBytes } = this.#summary;
    const stays = answerBytes !== undefined;
    const missing = stays ? answerBytes - this.#receivedBytes : 0;
    if (missing < 0 || (missing > 0 && this.#outputEnded)) this.fail(wrongLength());
    if (stays ? missing !== 0 : !this.#outputEnded || !this.#exited) return;
    this.#settle(stays);
    this.#controller?.close();
    this.#done.resolve(value);
  }

  /** Leaves the worker to the next job. */
  #settle(stays: boolean): void {
    this.#settled = true;
    clearTimeout(this.#stall);
    for (const timer of this.#timers) clearInterval(timer);
    const { output } = this.#worker;
    output.pause();
    output.off('data', this.#receive);
    output.off('error', this.#endOutput);
    output.off('close', this.#endOutput);
    this.#worker.offMessage(this.#hear);
    this.#over.resolve(stays);
  }
}

function wrongLength(): IndelibleError {
  return new IndelibleError('unavailable', 'the answer is not as long as the worker said', { retryAfterS: 1 });
}

function tooSlow(timeMs: number): IndelibleError {
  return new IndelibleError('timeout', `the query took longer than ${timeMs / 1000} s: ask for less at a time`);
}

function stalled(stallMs: number): IndelibleError {
  return new IndelibleError('timeout', `nobody read the answer for ${stallMs / 1000} s`);
}

function tooMuchMemory(memoryBytes: number, cause?: unknown): IndelibleError {
  const mebibytes = Math.round(memoryBytes / 1024 / 1024);
  return new IndelibleError(
    'too-large',
    `the query needs more than its ${mebibytes} MiB of memory: ask for less at a time`,
    { cause },
  );
}

function failureError(failure: Failure, memoryBytes: number): IndelibleError {
  if (failure.kind === 'memory') return tooMuchMemory(memoryBytes, failure.message);
  if (failure.kind !== 'internal') return new IndelibleError(failure.kind, failure.message, { errors: failure.errors });
  return new IndelibleError('unavailable', DIED, { retryAfterS: 1, cause: failure.message });
}
