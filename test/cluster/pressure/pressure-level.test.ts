import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Load,
  NO_PRESSURE,
  nextPressure,
  PRESSURE_LIMITS,
  type PressureState,
} from '../../../src/cluster/pressure/index.ts';

const CALM: Load = { lagEntries: 0, pending: 0, lagMs: 0, memoryRatio: undefined };
const { dwellMs } = PRESSURE_LIMITS;

/** A load in shares of the limits of level 1, 2, 3: 2.5 is half way between the limits of 2 and 3. */
function loadOf(height: number): Load {
  const [one, two, three] = PRESSURE_LIMITS.lagEntries;
  const limits = [0, one, two, three, 10 * three];
  const low = limits[Math.floor(height)] as number;
  const high = limits[Math.floor(height) + 1] as number;
  return { ...CALM, lagEntries: Math.round(low + (height % 1) * (high - low)) };
}

const anyLoad: fc.Arbitrary<Load> = fc.record({
  lagEntries: fc.oneof(fc.nat(200_000), fc.nat(8_000)),
  pending: fc.nat(20_000),
  lagMs: fc.oneof(fc.nat(1_000_000), fc.nat(15_000)),
  memoryRatio: fc.oneof(fc.constant(undefined), fc.double({ min: 0, max: 1.2, noNaN: true })),
});
const anySteps = fc.array(fc.record({ load: anyLoad, passedMs: fc.nat(15_000) }), { maxLength: 120 });

/** By the documentation alone, apart from the code: the highest level with a limit that is reached at this share. */
function levelOf(load: Load, share: number): number {
  const { lagEntries, lagMs, memoryRatio } = PRESSURE_LIMITS;
  for (const index of [2, 1, 0] as const) {
    if (
      load.lagEntries + load.pending >= share * lagEntries[index] ||
      load.lagMs >= share * lagMs[index] ||
      (load.memoryRatio ?? 0) >= share * memoryRatio[index]
    ) {
      return index + 1;
    }
  }
  return 0;
}

function run(steps: readonly { load: Load; passedMs: number }[]) {
  let state: PressureState = NO_PRESSURE;
  let nowMs = 1_000_000;
  return steps.map(({ load, passedMs }) => {
    nowMs += passedMs;
    const before = state;
    state = nextPressure(state, load, nowMs);
    return { before: before.level, after: state.level, state, load, nowMs };
  });
}

describe('under any loads', () => {
  test('the level is at once as high as the load says, and never lower', () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        for (const { after, before, load } of run(steps)) {
          expect(after).toBeGreaterThanOrEqual(levelOf(load, 1));
          if (after > before) expect(after).toBe(levelOf(load, 1));
        }
      }),
    );
  });

  test('it goes down one level at a time, after the load was low for that level all the time', () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        const seen = run(steps);
        for (const [at, { before, after, nowMs }] of seen.entries()) {
          if (after >= before) continue;
          expect(after).toBe(before - 1);
          const during = seen.slice(0, at + 1).findLastIndex(({ load }) => levelOf(load, 0.7) >= before);
          // The first low reading after the last that was not.
          const calm = seen[during + 1];
          expect(nowMs - (calm?.nowMs ?? Number.POSITIVE_INFINITY)).toBeGreaterThanOrEqual(dwellMs);
          const lastChange = seen.slice(0, at).findLast((one) => one.after !== one.before);
          expect(nowMs - (lastChange?.nowMs ?? 0)).toBeGreaterThanOrEqual(dwellMs);
        }
      }),
    );
  });

  test('it comes down to 0 once the load is low, within a dwell for each level', () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        const downAgain = [0, 1, 2, 3].map(() => ({ load: CALM, passedMs: dwellMs }));
        expect(run([...steps, ...downAgain]).at(-1)?.state).toEqual(NO_PRESSURE);
      }),
    );
  });

  test('a cause is known at every level but 0', () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        for (const { state } of run(steps)) expect(state.cause === undefined).toBe(state.level === 0);
      }),
    );
  });
});

describe('a load that swings about a limit', () => {
  const swing = fc.record({
    limit: fc.constantFrom(1, 2, 3),
    periodMs: fc.integer({ min: 200, max: 60_000 }),
    low: fc.double({ min: 0, max: 0.99, noNaN: true }),
    high: fc.double({ min: 0, max: 0.9, noNaN: true }),
  });

  test('changes the level at most once per dwell in each direction', () => {
    fc.assert(
      fc.property(swing, ({ limit, periodMs, low, high }) => {
        const steps = Array.from({ length: 300 }, (_, at) => ({
          load: Math.floor((at * 100) / periodMs) % 2 === 0 ? loadOf(limit + high) : loadOf(limit - 1 + low),
          passedMs: 100,
        }));
        const changes = run(steps).filter(({ before, after }) => before !== after);
        for (const isRise of [true, false]) {
          const same = changes.filter(({ before, after }) => after > before === isRise);
          for (const [at, { nowMs }] of same.entries()) {
            const previous = same[at - 1];
            if (previous) expect(nowMs - previous.nowMs).toBeGreaterThanOrEqual(dwellMs);
          }
        }
      }),
    );
  });

  test('changes it once and for all where it swings faster than the dwell, or not below 70 % of the limit', () => {
    fc.assert(
      fc.property(swing, ({ limit, periodMs, high, low }) => {
        const isFast = periodMs < dwellMs;
        const [one, two, three] = PRESSURE_LIMITS.lagEntries;
        const limitEntries = [one, two, three][limit - 1] as number;
        const trough = isFast
          ? loadOf(limit - 1 + low)
          : { ...CALM, lagEntries: Math.ceil(limitEntries * (0.7 + 0.3 * low)) };
        const steps = Array.from({ length: 300 }, (_, at) => ({
          load: Math.floor((at * 100) / periodMs) % 2 === 0 ? loadOf(limit + high) : trough,
          passedMs: 100,
        }));
        const changes = run(steps).filter(({ before, after }) => before !== after);
        expect(changes.map(({ before, after }) => [before, after])).toEqual([[0, limit]]);
      }),
    );
  });
});

test('each limit raises the level, and is named as its cause', () => {
  const at = (load: Partial<Load>) => nextPressure(NO_PRESSURE, { ...CALM, ...load }, 0);
  expect(at({ lagEntries: 19_999 })).toEqual(NO_PRESSURE);
  expect(at({ lagEntries: 19_000, pending: 1_000 })).toMatchObject({ level: 1, cause: 'entries' });
  expect(at({ lagEntries: 100_000 })).toMatchObject({ level: 2, cause: 'entries' });
  expect(at({ pending: 500_000 })).toMatchObject({ level: 3, cause: 'entries' });
  expect(at({ lagMs: 10_000 })).toMatchObject({ level: 1, cause: 'age' });
  expect(at({ lagMs: 60_000 })).toMatchObject({ level: 2, cause: 'age' });
  expect(at({ lagMs: 600_000 })).toMatchObject({ level: 3, cause: 'age' });
  expect(at({ memoryRatio: 0.6 })).toMatchObject({ level: 1, cause: 'memory' });
  expect(at({ memoryRatio: 0.75 })).toMatchObject({ level: 2, cause: 'memory' });
  expect(at({ memoryRatio: 0.9, lagEntries: 1_000_000 })).toMatchObject({ level: 3, cause: 'memory' });
});

test('a clock that is set back begins the dwell anew, and no more', () => {
  let state = nextPressure(NO_PRESSURE, { ...CALM, lagMs: 10_000 }, 900_000);
  state = nextPressure(state, CALM, 900_001);
  state = nextPressure(state, CALM, 5_000);
  expect(state.level).toBe(1);
  expect(nextPressure(state, CALM, 5_000 + dwellMs - 1).level).toBe(1);
  expect(nextPressure(state, CALM, 5_000 + dwellMs).level).toBe(0);
});
