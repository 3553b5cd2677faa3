import { IndelibleError } from '../../journal/index.ts';
import { type Failure, type FromWorker, type JobKind, type Jobs, PROCESS_BYTES, type ToWorker } from './protocol.ts';
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
  readonly #worker: WorkerProcess;
  readonly #limits: ToWorker['limits'];
  readonly #ready = Promise.withResolvers<WorkerRun<Kind>>();
  readonly #done = Promise.withResolvers<Jobs[Kind]['summary']>();
  readonly #body: ReadableStream<Uint8Array>;
  readonly #timers: NodeJS.Timeout[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #stall: NodeJS.Timeout | undefined;
  #summary: { value: Jobs[Kind]['summary'] } | undefined;
  #outputEnded = false;
  #exited = false;
  #settled = false;

  constructor(worker: WorkerProcess, message: ToWorker, signal: AbortSignal | undefined) {
    this.#worker = worker;
    this.#limits = message.limits;
    this.ready = this.#ready.promise;
    this.#done.promise.catch(() => {});
    this.#body = this.#stream();
    worker.onMessage((told) => this.#hear(told));
    worker.output.on('error', () => this.#endOutput());
    worker.output.on('close', () => this.#endOutput());
    worker.gone.then(() => this.#exit());
    this.#watch(message.limits, signal);
    worker.send(message);
  }

  /** Ends the answer with this error, if it has not ended, and the worker. */
  fail(error: IndelibleError): void {
    if (!this.#settled) {
      this.#settle();
      this.#ready.reject(error);
      this.#done.reject(error);
      this.#controller?.error(error);
    }
    this.#worker.kill();
  }

  #stream(): ReadableStream<Uint8Array> {
    const { output } = this.#worker;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
          output.pause();
          output.on('data', (bytes: Uint8Array) => {
            if (this.#settled) return;
            controller.enqueue(bytes);
            if ((controller.desiredSize ?? 0) > 0) return;
            output.pause();
            this.#stall = setTimeout(() => this.fail(stalled(this.#limits.stallMs)), this.#limits.stallMs);
          });
        },
        pull: () => {
          clearTimeout(this.#stall);
          output.resume();
        },
        cancel: () => this.fail(new IndelibleError('unavailable', 'the reader went away')),
      },
      // A few reads of the pipe: enough to keep it moving, bounded whatever the answer's size.
      { highWaterMark: 4 },
    );
  }

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

  #hear(told: FromWorker): void {
    if (this.#settled) return;
    if (told.type === 'ready') {
      clearTimeout(this.#timers[0]);
      const meta = told.meta as Jobs[Kind]['meta'];
      this.#ready.resolve({ meta, body: this.#body, done: this.#done.promise });
    }
    if (told.type === 'done') {
      this.#summary = { value: told.summary as Jobs[Kind]['summary'] };
      this.#finish();
    }
    if (told.type === 'failed') this.fail(failureError(told.failure, this.#limits.memoryBytes));
  }

  #endOutput(): void {
    this.#outputEnded = true;
    this.#finish();
  }

  #exit(): void {
    this.#exited = true;
    this.#finish();
    // Bytes of a complete answer may still wait in the pipe; without a summary nothing more will make it complete.
    if (!this.#summary && !this.#settled) {
      this.fail(new IndelibleError('unavailable', DIED, { retryAfterS: 1, cause: this.#worker.stderr }));
    }
  }

  /** Complete is: the worker said so, it has ended, and every byte it wrote was read. */
  #finish(): void {
    if (this.#settled || !this.#summary || !this.#outputEnded || !this.#exited) return;
    this.#settle();
    this.#controller?.close();
    this.#done.resolve(this.#summary.value);
  }

  #settle(): void {
    this.#settled = true;
    clearTimeout(this.#stall);
    for (const timer of this.#timers) clearInterval(timer);
  }
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
