/** Pure: how much the cluster takes, by how much it has to do. */

/**
 * 0 normal; 1 everybody reads less at a time; 2 what has low priority waits; 3 nothing is taken.
 */
export type PressureLevel = 0 | 1 | 2 | 3;

export type Load = {
  /** Entries of all streams that were not delivered yet, and those that were and are not acknowledged. */
  lagEntries: number;
  pending: number;
  /** Age of the oldest of them. */
  lagMs: number;
  /** used_memory / maxmemory of the fullest server; undefined where Redis has no limit. */
  memoryRatio: number | undefined;
};

/** Of the levels 1, 2 and 3. */
export type PerLevel = readonly [number, number, number];

/** A level begins where one of its limits is reached. */
export type PressureLimits = {
  /** Entries that are not done: lagEntries + pending. */
  lagEntries: PerLevel;
  lagMs: PerLevel;
  memoryRatio: PerLevel;
  /** How long the load must be low before the level goes down by one. */
  dwellMs: number;
};

export const PRESSURE_LIMITS: PressureLimits = {
  lagEntries: [20_000, 100_000, 500_000],
  lagMs: [10_000, 60_000, 600_000],
  memoryRatio: [0.6, 0.75, 0.9],
  dwellMs: 10_000,
};

/** Which limit was reached: of entries, of their age, or of the memory of Redis. */
export type LoadCause = 'entries' | 'age' | 'memory';

export type PressureState = {
  level: PressureLevel;
  /** Since when the load has been low for this level, ms; undefined: it is not. */
  calmSinceMs: number | undefined;
  /** What raised the level last. */
  cause: LoadCause | undefined;
};

export const NO_PRESSURE: PressureState = { level: 0, calmSinceMs: undefined, cause: undefined };

/** A level is left only below this share of its limits: a load that wavers about a limit does not move it. */
const CALM_SHARE = 0.7;

/**
 * The level goes up at once, as far as the load says, and down one level at a time, each after the load was below 70 % of
 * that level's limits for `dwellMs` without a break.
 */
export function nextPressure(
  state: PressureState,
  load: Load,
  nowMs: number,
  limits: PressureLimits = PRESSURE_LIMITS,
): PressureState {
  for (const level of [3, 2, 1] as const) {
    if (level <= state.level) break;
    const cause = reached(load, limits, level, 1);
    if (cause !== undefined) return { level, calmSinceMs: undefined, cause };
  }
  if (!isCalm(load, limits, state.level)) return { ...state, calmSinceMs: undefined };
  // A clock that was set back begins the time anew, and cannot hold the level longer than that.
  const calmSinceMs = Math.min(state.calmSinceMs ?? nowMs, nowMs);
  if (nowMs - calmSinceMs < limits.dwellMs) return { ...state, calmSinceMs };
  const level = (state.level - 1) as PressureLevel;
  const cause = level === 0 ? undefined : state.cause;
  return { level, calmSinceMs: isCalm(load, limits, level) ? nowMs : undefined, cause };
}

/** Below level 0 there is nothing to go to. */
function isCalm(load: Load, limits: PressureLimits, level: PressureLevel): boolean {
  return level !== 0 && reached(load, limits, level, CALM_SHARE) === undefined;
}

function reached(load: Load, limits: PressureLimits, level: 1 | 2 | 3, share: number): LoadCause | undefined {
  const at = (perLevel: PerLevel) => share * (perLevel[level - 1] as number);
  if (load.memoryRatio !== undefined && load.memoryRatio >= at(limits.memoryRatio)) return 'memory';
  if (load.lagEntries + load.pending >= at(limits.lagEntries)) return 'entries';
  return load.lagMs >= at(limits.lagMs) ? 'age' : undefined;
}
