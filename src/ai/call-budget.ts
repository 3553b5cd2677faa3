import type { Clock } from '../../journal/index.ts';
import { AiError } from '../judging/index.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

export type CallLimits = { callsPerMinute: number; callsPerDay: number };

/**
 * How many calls one workspace may still make, in minutes and days of UTC. Kept in memory: a restart begins anew. A
 * clock that is set back leaves what was counted.
 */
export class CallBudget {
  readonly #clock: Clock;
  readonly #windows: { name: string; lengthMs: number; callsMax: number; index: number; calls: number }[];

  constructor(clock: Clock, { callsPerMinute, callsPerDay }: CallLimits) {
    this.#clock = clock;
    this.#windows = [
      { name: 'minute', lengthMs: MINUTE_MS, callsMax: callsPerMinute, index: 0, calls: 0 },
      { name: 'day', lengthMs: DAY_MS, callsMax: callsPerDay, index: 0, calls: 0 },
    ];
  }

  /** Counts a call. @throws AiError budget, where it is not to be made */
  take(): void {
    const nowMs = this.#clock.nowMs();
    for (const window of this.#windows) {
      const index = Math.floor(nowMs / window.lengthMs);
      if (index > window.index) Object.assign(window, { index, calls: 0 });
      if (window.calls >= window.callsMax) {
        throw new AiError('budget', `the ${window.callsMax} calls of this ${window.name} are used`);
      }
    }
    for (const window of this.#windows) window.calls += 1;
  }
}
