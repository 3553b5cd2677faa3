import { assert, type Clock, IndelibleError } from '../../../journal/index.ts';
import { clusterStreams } from '../cluster-streams.ts';
import type { Redis } from '../redis/index.ts';
import { Repeated } from '../repeat.ts';
import {
  type Load,
  type LoadCause,
  NO_PRESSURE,
  nextPressure,
  PRESSURE_LIMITS,
  type PressureLevel,
  type PressureLimits,
} from './pressure-level.ts';
import { readLoad } from './read-load.ts';

/** Why a level changed: a limit that was reached, Redis that is away or back, or a load that was low for long enough. */
export type PressureCause = LoadCause | 'redis-away' | 'redis-back' | 'calm';

export type PressureChange = {
  from: PressureLevel;
  to: PressureLevel;
  cause: PressureCause;
  /** What was read; undefined where Redis is away. */
  load: Load | undefined;
};

export type PressureObserver = {
  levelChanged?(change: PressureChange): void;
  /** Each reading. */
  loadRead?(load: Load): void;
};

export type PressureOptions = {
  /** A connection for commands: what it cannot do within its time limit, Redis is away for. */
  redis: Redis;
  partitions: number;
  clock: Clock;
  /** Default: PRESSURE_LIMITS. */
  limits?: Partial<PressureLimits>;
  /** Between two readings; default one second. */
  intervalMs?: number;
  observer?: PressureObserver;
};

const INTERVAL_MS = 1_000;
/** When to come back while Redis is away: it may be there again at any moment. */
const AWAY_RETRY_S = 2;
/** At level 1 and above so many times less is read at once. */
const SMALLER_READS = 4;

const LIMIT_WORDS: Readonly<Record<LoadCause, string>> = {
  entries: 'too many entries wait to be recorded or judged',
  age: 'what waits to be recorded or judged is too old',
  memory: 'the memory of Redis is almost full',
};

/**
 * Reads how much there is to do and says what may be taken. Every process has one of its own; since all read the same
 * and go by the same limits, they agree within about a second.
 */
export class PressureGauge {
  readonly #options: PressureOptions;
  readonly #limits: PressureLimits;
  readonly #readings: Repeated;
  #state = NO_PRESSURE;
  #load: Load | undefined;
  #isAway = false;

  constructor(options: PressureOptions) {
    this.#options = options;
    this.#limits = { ...PRESSURE_LIMITS, ...options.limits };
    const streams = clusterStreams(options.partitions);
    this.#readings = new Repeated(() => this.#read(streams), options.intervalMs ?? INTERVAL_MS);
  }

  /** 3 while Redis is away. */
  get level(): PressureLevel {
    return this.#isAway ? 3 : this.#state.level;
  }

  /** As it was last read; undefined before, and while Redis is away. */
  get load(): Load | undefined {
    return this.#load;
  }

  start(): void {
    this.#readings.start();
  }

  async stop(): Promise<void> {
    await this.#readings.stop();
  }

  /**
   * Lets what may be taken pass.
   * @throws IndelibleError busy at level 2, for low priority only; unavailable at level 3; both with retryAfterS
   */
  admit(priority: 'normal' | 'low'): void {
    if (this.#isAway) {
      throw new IndelibleError('unavailable', 'Redis is away: nothing can be taken now', { retryAfterS: AWAY_RETRY_S });
    }
    const { level, cause } = this.#state;
    if (level < 2 || (level === 2 && priority === 'normal')) return;
    assert(cause !== undefined, 'a level above 0 has its cause');
    const why = LIMIT_WORDS[cause];
    const retryAfterS = Math.ceil(this.#limits.dwellMs / 1_000);
    throw level === 3
      ? new IndelibleError('unavailable', `nothing is taken now: ${why}`, { retryAfterS })
      : new IndelibleError('busy', `what has low priority waits now: ${why}`, { retryAfterS });
  }

  /** How many entries to read at once, of `max`. */
  readCount(max: number): number {
    return this.level === 0 ? max : Math.max(1, Math.floor(max / SMALLER_READS));
  }

  async #read(streams: ReturnType<typeof clusterStreams>): Promise<void> {
    const { redis, clock, observer } = this.#options;
    const from = this.level;
    const wasAway = this.#isAway;
    try {
      this.#load = await readLoad(redis, streams);
      this.#isAway = false;
      this.#state = nextPressure(this.#state, this.#load, clock.nowMs(), this.#limits);
      observer?.loadRead?.(this.#load);
    } catch {
      this.#load = undefined;
      this.#isAway = true;
      // Nobody knows what the load was meanwhile.
      this.#state = { ...this.#state, calmSinceMs: undefined };
    }
    const to = this.level;
    if (from !== to) observer?.levelChanged?.({ from, to, cause: this.#causeOf(from, wasAway), load: this.#load });
  }

  #causeOf(from: PressureLevel, wasAway: boolean): PressureCause {
    if (this.#isAway) return 'redis-away';
    if (wasAway) return 'redis-back';
    // Level 0 has no cause: it is gone down to.
    return this.#state.level < from ? 'calm' : (this.#state.cause ?? 'calm');
  }
}
