import { randomBytes } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningService, startService } from '../cli/service.ts';
import { removeDir } from './remove-dir.ts';
import { OPERATOR_KEY, ServiceClient } from './service-client.ts';

/** How many processes of each role; a key may be a list of roles, as `--role` takes it. */
export type RoleCounts = Readonly<Record<string, number>>;

export type ClusterProcessesOptions = {
  redisUrl: string;
  roles: RoleCounts;
  /** Settings of every process, over those below. */
  env?: Record<string, string>;
};

export const ALL_ROLES = 'web,worker,reclaimer,compactor';

/** What a process of a cluster is told beside where everything is: short waits, so that a test sees what follows them. */
const SETTINGS = {
  INDELIBLE_LEASE_MS: '3000',
  INDELIBLE_FLUSH_AGE_MS: '1000',
  INDELIBLE_RECLAIM_IDLE_MS: '5000',
  INDELIBLE_RECLAIM_EVERY_MS: '1000',
  INDELIBLE_LOG_LEVEL: 'info',
};

/** One process of a cluster, with a data directory of its own. */
export class ClusterProcess extends ServiceClient {
  readonly role: string;
  readonly name: string;
  readonly #process: RunningService;
  #isRunning = true;

  constructor(role: string, name: string, process: RunningService) {
    super();
    this.role = role;
    this.name = name;
    this.#process = process;
    void process.ended.then(() => {
      this.#isRunning = false;
    });
  }

  get url(): string {
    return this.#process.url;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** What it has logged and printed so far. */
  get log(): string {
    return this.#process.stdout() + this.#process.stderr();
  }

  /** SIGSTOP: its connections stay, and it does nothing. */
  pause(): void {
    this.#process.signal('SIGSTOP');
  }

  resume(): void {
    this.#process.signal('SIGCONT');
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** @returns its exit code, or the signal's name where that ended it */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    this.#isRunning = false;
    this.#process.signal(signal);
    return this.#process.ended;
  }
}

/** A cluster as it is run: a process for each role, over a Redis and a store directory that all of them reach. */
export class ClusterProcesses {
  readonly dir: string;
  /** All that ever ran, for their logs. */
  readonly all: ClusterProcess[] = [];
  readonly #options: ClusterProcessesOptions;
  readonly #secret = randomBytes(32).toString('hex');
  #count = 0;

  private constructor(dir: string, options: ClusterProcessesOptions) {
    this.dir = dir;
    this.#options = options;
  }

  /** Resolves when all of them listen. */
  static async start(options: ClusterProcessesOptions): Promise<ClusterProcesses> {
    const cluster = new ClusterProcesses(await mkdtemp(join(tmpdir(), 'indelible-cluster-')), options);
    const roles = Object.entries(options.roles).flatMap(([role, count]) => new Array<string>(count).fill(role));
    try {
      await Promise.all(roles.map((role) => cluster.add(role)));
      return cluster;
    } catch (error) {
      await cluster.remove();
      throw error;
    }
  }

  /** Those that run, of one role or of all, in the order of their start. */
  running(role?: string): ClusterProcess[] {
    return this.all.filter((one) => one.isRunning && (role === undefined || one.role === role));
  }

  /** The first of a role. */
  first(role: string): ClusterProcess {
    const [found] = this.running(role);
    if (found === undefined) throw new Error(`no ${role} is running`);
    return found;
  }

  /** Starts one more, on an empty disk; resolves when it listens. */
  async add(role: string): Promise<ClusterProcess> {
    this.#count += 1;
    const name = `${role.replaceAll(',', '-')}-${this.#count}`;
    const env = {
      ...SETTINGS,
      INDELIBLE_REDIS_URL: this.#options.redisUrl,
      INDELIBLE_STORE: join(this.dir, 'store'),
      INDELIBLE_SECRET: this.#secret,
      INDELIBLE_OPERATOR_KEY: OPERATOR_KEY,
      ...this.#options.env,
    };
    const running = await startService({ data: join(this.dir, name), args: ['--role', role], env });
    const added = new ClusterProcess(role, name, running);
    this.all.push(added);
    return added;
  }

  /** Lines of the logs of all that ever ran, of level warn and above, each after the name of its process. */
  warnings(): string[] {
    return this.all.flatMap(({ name, log }) =>
      log
        .split('\n')
        .filter((line) => /^\{"level":"(warn|error|fatal)"/.test(line))
        .map((line) => `${name}: ${line}`),
    );
  }

  /** Kills all and removes what they wrote. */
  async remove(): Promise<void> {
    await Promise.all(this.running().map((one) => one.kill()));
    await removeDir(this.dir);
  }
}
