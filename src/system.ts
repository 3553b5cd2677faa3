import { randomBytes } from 'node:crypto';
import type { Clock, Random } from '../journal/index.ts';

/** The real clock and randomness, for the composition roots. */
export const systemClock: Clock = { nowMs: () => Date.now() };

const POOL_BYTES = 8192;
let pool = randomBytes(POOL_BYTES);
let used = 0;

/** Drawn in larger lots (a call for each id costs 1.7 µs, a share of a lot 0.1 µs); every byte is given out once. */
export const systemRandom: Random = {
  bytes(count) {
    if (count > POOL_BYTES / 8) return randomBytes(count);
    if (used + count > POOL_BYTES) {
      pool = randomBytes(POOL_BYTES);
      used = 0;
    }
    used += count;
    return pool.subarray(used - count, used);
  },
};
