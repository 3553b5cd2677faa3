import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { IndelibleError } from '../../journal/index.ts';
import { WORKER_DIR, WorkerProcess } from './process.ts';
import {
  type JobKind,
  type Jobs,
  type Link,
  PROCESS_BYTES,
  scopeOf,
  type ToWorker,
  type WorkerLimits,
} from './protocol.ts';
import { Supervision, type WorkerRun } from './run.ts';

export type WorkerPoolOptions = {
  /** For the workers' own directories: pipes and what DuckDB spills. Must exist or be creatable. */
  tempDir: string;
  /** Jobs at once. */
  concurrency: number;
  /** Jobs that may wait for their turn; beyond it `busy`. */
  waitingMax: number;
  /** What to tell a caller who finds the queue full. */
  retryAfterS?: number;
  /** How long a worker waits for another query of its workspace. */
  idleMs?: number;
  /** Queries that one worker serves. */
  jobsPerWorkerMax?: number;
};

export type RunOptions = { limits: WorkerLimits; links: Link[]; signal?: AbortSignal | undefined };

const IDLE_MS = 30_000;
const JOBS_PER_WORKER_MAX = 100;

type Idle = { worker: WorkerProcess; timer: NodeJS.Timeout };

/**
 * Worker processes for what is heavy, long or not trusted. Each serves one job and ends; after a query it waits a while
 * for another of the same scope, in a place that any other job may take. One more process, which has served nobody, is
 * kept ready, so that a job does not wait for Node and DuckDB to load.
 */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #waiting: { start(): void; refuse(error: IndelibleError): void }[] = [];
  readonly #active = new Set<{ fail(error: IndelibleError): void }>();
  readonly #alive = new Set<WorkerProcess>();
  #starting = new Set<Promise<unknown>>();
  #spare: Promise<WorkerProcess> | undefined;
  #idle: Idle[] = [];
  #busy = 0;
  #closed = false;

  private constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /** Removes what workers of dead processes left in `tempDir`, and starts the spare worker. */
  static async open(options: WorkerPoolOptions): Promise<WorkerPool> {
    await mkdir(options.tempDir, { recursive: true });
    await removeLeftovers(options.tempDir);
    const pool = new WorkerPool(options);
    pool.#keepSpare();
    return pool;
  }

  /** Living worker processes, the idle ones and the spare one included. */
  get processes(): number {
    return this.#alive.size;
  }

  /** Their ids, for measuring. */
  get pids(): number[] {
    return [...this.#alive].map((worker) => worker.pid);
  }

  /**
   * Runs a job. Resolves when the first bytes of its answer are ready.
   * @throws IndelibleError busy where too many wait; whatever the job fails with before its first byte
   */
  async run<Kind extends JobKind>(job: Jobs[Kind]['job'], options: RunOptions): Promise<WorkerRun<Kind>> {
    await this.#turn(options.signal);
    const { limits, links } = options;
    let worker: WorkerProcess;
    try {
      worker = await this.#take(scopeOf(job, limits));
    } catch (error) {
      this.#release();
      throw error;
    }
    const message: ToWorker = { type: 'job', job, links, limits };
    const supervision = new Supervision<Kind>(worker, message, options.signal);
    this.#active.add(supervision);
    supervision.over.then(async (stays) => {
      this.#active.delete(supervision);
      if (!stays || !this.#keepIdle(worker)) await worker.gone;
      this.#release();
      // Not before: beside a query its start would take the query's time, beside long work its memory is worth more.
      this.#keepSpare();
    });
    if (this.#closed) supervision.fail(closing());
    return supervision.ready;
  }

  /** Ends every worker; answers under way end in an error. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting.refuse(closing());
    for (const supervision of this.#active) supervision.fail(closing());
    for (const { timer } of this.#idle.splice(0)) clearTimeout(timer);
    await Promise.allSettled([...this.#starting]);
    for (const worker of this.#alive) worker.kill();
    await Promise.all([...this.#alive].map((worker) => worker.gone));
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#closed) throw closing();
    if (this.#busy < this.#options.concurrency) {
      this.#busy += 1;
      return;
    }
    if (this.#waiting.length >= this.#options.waitingMax) {
      throw new IndelibleError('busy', 'too many queries at once', { retryAfterS: this.#options.retryAfterS ?? 2 });
    }
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(new IndelibleError('unavailable', 'the request was given up'));
      };
      const settle = () => signal?.removeEventListener('abort', leave);
      const entry = {
        start: () => {
          settle();
          resolve();
        },
        refuse: (error: IndelibleError) => {
          settle();
          reject(error);
        },
      };
      this.#waiting.push(entry);
      signal?.addEventListener('abort', leave, { once: true });
      if (signal?.aborted) leave();
    });
  }

  /** The place goes to the longest waiting job, or becomes free. */
  #release(): void {
    const next = this.#waiting.shift();
    if (next) next.start();
    else this.#busy -= 1;
  }

  async #take(scope: string | undefined): Promise<WorkerProcess> {
    const idle = this.#idle.find(({ worker }) => scope !== undefined && worker.served?.scope === scope);
    if (idle) {
      this.#forget(idle);
      return idle.worker;
    }
    // The job has its place; what is idle beyond the others gives up its own.
    const oldest = this.#busy + this.#idle.length > this.#options.concurrency ? this.#idle[0] : undefined;
    if (oldest) this.#end(oldest);
    const spare = this.#spare;
    this.#spare = undefined;
    const worker = await (spare ?? this.#start());
    // A spare that died while it waited is no reason to refuse the job.
    return this.#alive.has(worker) ? worker : this.#start();
  }

  /** False, and the worker is killed, where it has served enough or did not give its memory back. */
  #keepIdle(worker: WorkerProcess): boolean {
    const jobsMax = this.#options.jobsPerWorkerMax ?? JOBS_PER_WORKER_MAX;
    const spent = (worker.served?.jobs ?? 0) >= jobsMax || (worker.residentBytes() ?? 0) > PROCESS_BYTES;
    if (this.#closed || spent || !this.#alive.has(worker)) {
      worker.kill();
      return false;
    }
    const timer = setTimeout(() => this.#end(idle), this.#options.idleMs ?? IDLE_MS);
    const idle = { worker, timer };
    this.#idle.push(idle);
    return true;
  }

  #end(idle: Idle): void {
    this.#forget(idle);
    idle.worker.kill();
  }

  #forget(idle: Idle): void {
    clearTimeout(idle.timer);
    this.#idle = this.#idle.filter((other) => other !== idle);
  }

  #keepSpare(): void {
    if (this.#spare || this.#closed) return;
    this.#spare = this.#start();
    // Whoever takes it next meets the error.
    this.#spare.catch(() => {});
  }

  #start(): Promise<WorkerProcess> {
    const starting = WorkerProcess.start(this.#options.tempDir).then((worker) => {
      this.#alive.add(worker);
      worker.gone.then(() => {
        this.#alive.delete(worker);
        const idle = this.#idle.find((one) => one.worker === worker);
        if (idle) this.#forget(idle);
      });
      return worker;
    });
    this.#starting.add(starting);
    const forget = () => this.#starting.delete(starting);
    starting.then(forget, forget);
    return starting;
  }
}

function closing(): IndelibleError {
  return new IndelibleError('unavailable', 'the service is shutting down', { retryAfterS: 5 });
}

/** Directories of workers whose service was killed together with them. */
async function removeLeftovers(tempDir: string): Promise<void> {
  for (const name of await readdir(tempDir)) {
    const owner = WORKER_DIR.exec(name)?.[1];
    if (owner === undefined || isAlive(Number(owner))) continue;
    await rm(join(tempDir, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
