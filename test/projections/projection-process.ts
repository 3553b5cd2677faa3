import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A process that folds or rebuilds (projection-child.ts), which can be killed at any instant. */
export class ProjectionProcess {
  readonly #child: ChildProcess;
  readonly #said: string[] = [];
  readonly #exited: Promise<void>;

  constructor(options: Record<string, unknown>) {
    const script = fileURLToPath(new URL('./projection-child.ts', import.meta.url));
    this.#child = fork(script, [JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', (message) => this.#said.push(String(message)));
    this.#exited = new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }

  /** The first of these words that the process says. Rejects where it ends without. */
  async first(...words: string[]): Promise<string> {
    for (;;) {
      const said = this.#said.find((word) => words.includes(word));
      if (said !== undefined) return said;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#child.once('message', () => resolve());
      this.#exited.then(() => reject(new Error(`the process ended and said nothing of ${words.join(', ')}`)));
      await promise;
    }
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}
