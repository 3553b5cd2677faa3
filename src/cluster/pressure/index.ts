export {
  type PressureChange,
  PressureGauge,
  type PressureObserver,
  type PressureOptions,
} from './pressure-gauge.ts';
export {
  type Load,
  NO_PRESSURE,
  nextPressure,
  PRESSURE_LIMITS,
  type PressureLevel,
  type PressureLimits,
  type PressureState,
} from './pressure-level.ts';
export { groupLoad } from './read-load.ts';
