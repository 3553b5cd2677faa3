import { randomBytes } from 'node:crypto';
import type { Clock, Random } from '../journal/index.ts';

/** The real clock and randomness, for the composition roots. */
export const systemClock: Clock = { nowMs: () => Date.now() };
export const systemRandom: Random = { bytes: (count) => randomBytes(count) };
