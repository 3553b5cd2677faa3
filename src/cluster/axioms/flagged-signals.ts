import { Lane, type LaneOptions } from './lane.ts';
import type { Signal } from './signal.ts';

/** Signals that wait aside, in memory and unacknowledged; beyond them no more flagged ones are read. */
const SIGNALS_MAX = 1_000;
/** And what they say, in UTF-16 units. */
const LENGTH_MAX = 64 * 1024 * 1024;

/** The flagged signals of all workspaces: each workspace has a lane of its own. */
export class FlaggedSignals {
  readonly #options: Omit<LaneOptions, 'workspace'>;
  readonly #lanes = new Map<string, Lane>();
  #count = 0;
  #length = 0;
  #roomMade = Promise.withResolvers<void>();

  constructor(options: Omit<LaneOptions, 'workspace'>) {
    this.#options = options;
    options.signal.addEventListener('abort', () => this.#roomMade.resolve(), { once: true });
  }

  /** Taken up and not settled. */
  get count(): number {
    return this.#count;
  }

  hasRoom(signals: number): boolean {
    return this.#count + signals <= SIGNALS_MAX && this.#length < LENGTH_MAX;
  }

  /** Resolves once it is taken up: at once, where there is room. @throws where the service stops */
  async add(signal: Signal): Promise<void> {
    while (!this.hasRoom(1)) {
      this.#options.signal.throwIfAborted();
      await this.#roomMade.promise;
    }
    this.#count += 1;
    this.#length += signal.length;
    this.#lane(signal.workspace).add(signal);
  }

  /** Promptly, after the signal has aborted. */
  async close(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lane) => lane.close()));
  }

  #lane(workspace: string): Lane {
    let lane = this.#lanes.get(workspace);
    if (!lane) {
      lane = new Lane({ ...this.#options, workspace, left: (signal) => this.#left(signal) });
      this.#lanes.set(workspace, lane);
    }
    return lane;
  }

  #left(signal: Signal): void {
    this.#count -= 1;
    this.#length -= signal.length;
    this.#options.left(signal);
    // All who wait look again: there is room for some of them.
    this.#roomMade.resolve();
    this.#roomMade = Promise.withResolvers();
  }
}
