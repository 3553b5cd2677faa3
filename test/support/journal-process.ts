import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What a child process says of itself, one JSON message at a time. */
export type Said = { type: string } & Record<string, unknown>;

/** A journal in a process of its own (journal-child.ts), which can be killed at any instant. */
export class JournalProcess {
  readonly said: Said[] = [];
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #waiters: { type: string; wake: (said: Said) => void }[] = [];

  constructor(options: Record<string, unknown>) {
    const script = fileURLToPath(new URL('./journal-child.ts', import.meta.url));
    this.#child = fork(script, [JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', (message) => this.#hear(message as Said));
    this.exited = new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  send(message: Said): void {
    this.#child.send(message);
  }

  /** The first message of this type, also one that came before. Rejects where the process ends without it. */
  heard(type: string): Promise<Said> {
    const before = this.said.find((said) => said.type === type);
    if (before) return Promise.resolve(before);
    const { promise, resolve, reject } = Promise.withResolvers<Said>();
    this.#waiters.push({ type, wake: resolve });
    this.exited.then(() => reject(new Error(`the process ended and never said '${type}'`)));
    return promise;
  }

  /** Resolves once it has said so that many times. */
  async heardTimes(type: string, times: number): Promise<void> {
    while (this.said.filter((said) => said.type === type).length < times) await this.#next();
  }

  /** SIGKILL; resolves once the process is gone and all it said was heard. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  #next(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#child.once('message', () => resolve());
    this.exited.then(() => reject(new Error('the process ended')));
    return promise;
  }

  #hear(said: Said): void {
    this.said.push(said);
    for (const waiter of this.#waiters.filter(({ type }) => type === said.type)) waiter.wake(said);
  }
}
