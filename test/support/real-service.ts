import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Run, run } from '../cli/run.ts';
import { type RunningService, startService } from '../cli/service.ts';
import { removeDir } from './remove-dir.ts';
import { OPERATOR_KEY, ServiceClient } from './service-client.ts';

export type RealOptions = { args?: string[]; env?: Record<string, string> };

/** The real service as a process of its own, over a data directory that outlives it: stopped, killed, started again. */
export class RealService extends ServiceClient {
  readonly dir: string;
  readonly #options: RealOptions;
  #process: RunningService;

  private constructor(dir: string, options: RealOptions, process: RunningService) {
    super();
    this.dir = dir;
    this.#options = options;
    this.#process = process;
  }

  static async start(options: RealOptions = {}): Promise<RealService> {
    const dir = await mkdtemp(join(tmpdir(), 'indelible-e2e-'));
    return new RealService(dir, options, await spawnService(dir, options));
  }

  get dataDir(): string {
    return join(this.dir, 'data');
  }

  get storeDir(): string {
    return join(this.dataDir, 'store');
  }

  get url(): string {
    return this.#process.url;
  }

  get process(): RunningService {
    return this.#process;
  }

  /** The command line, as a user of this service runs it. */
  cli(args: readonly string[], options: { env?: Record<string, string>; input?: string } = {}): Promise<Run> {
    const env = { INDELIBLE_URL: this.url, INDELIBLE_KEY: OPERATOR_KEY, ...options.env };
    return run(args, { cwd: this.dir, ...options, env });
  }

  /** Ends it by a signal. @returns its exit code, or the signal's name where that killed it */
  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    this.#process.signal(signal);
    return this.#process.ended;
  }

  /** Starts it again over the same data, after end(). */
  async startAgain(): Promise<void> {
    this.#process = await spawnService(this.dir, this.#options);
  }

  async remove(): Promise<void> {
    await this.end('SIGKILL');
    // A worker of a killed service may still be on its way out.
    await removeDir(this.dir);
  }
}

function spawnService(dir: string, { args = [], env = {} }: RealOptions): Promise<RunningService> {
  return startService({ data: join(dir, 'data'), args, env: { INDELIBLE_OPERATOR_KEY: OPERATOR_KEY, ...env } });
}
