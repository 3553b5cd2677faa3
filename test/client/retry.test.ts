import { expect, test } from 'vitest';
import { jsonEqual, updateEvents } from '../../src/client/changes.ts';
import { nextDelayMs, RETRY_DEFAULTS, retryAfterMs } from '../../src/client/retry.ts';
import { uuidV7 } from '../../src/client/uuid.ts';

const attempt = { triesMade: 1, elapsedMs: 0, retryAfterMs: undefined, fraction: 0 };

test('delays double from the first to the largest, with jitter of half a step', () => {
  const policy = { ...RETRY_DEFAULTS, attemptsMax: 99, totalMs: 1e9, firstDelayMs: 100, delayMsMax: 1000 };
  const low = [1, 2, 3, 4, 5, 6].map((triesMade) => nextDelayMs(policy, { ...attempt, triesMade }));
  const high = [1, 2, 3, 4, 5, 6].map((triesMade) => nextDelayMs(policy, { ...attempt, triesMade, fraction: 1 }));
  expect(low).toEqual([50, 100, 200, 400, 500, 500]);
  expect(high).toEqual([100, 200, 400, 800, 1000, 1000]);
});

test('never earlier than the service asked, never later than the total, never more often than allowed', () => {
  expect(nextDelayMs(RETRY_DEFAULTS, { ...attempt, retryAfterMs: 7000 })).toBe(7000);
  expect(nextDelayMs(RETRY_DEFAULTS, { ...attempt, retryAfterMs: RETRY_DEFAULTS.totalMs + 1 })).toBeUndefined();
  expect(nextDelayMs(RETRY_DEFAULTS, { ...attempt, elapsedMs: RETRY_DEFAULTS.totalMs })).toBeUndefined();
  expect(nextDelayMs(RETRY_DEFAULTS, { ...attempt, triesMade: RETRY_DEFAULTS.attemptsMax })).toBeUndefined();
});

test('Retry-After is seconds or a date; anything else is passed over', () => {
  expect(retryAfterMs('3', 0)).toBe(3000);
  expect(retryAfterMs('Thu, 01 Jan 1970 00:00:05 GMT', 2000)).toBe(3000);
  expect(retryAfterMs('Thu, 01 Jan 1970 00:00:01 GMT', 2000)).toBe(0);
  expect(retryAfterMs('soon', 0)).toBeUndefined();
  expect(retryAfterMs(null, 0)).toBeUndefined();
});

test('a UUIDv7 holds the milliseconds, the version and the variant', () => {
  expect(uuidV7(0x0192_3456_789a, () => new Uint8Array(10).fill(0xff))).toBe('01923456-789a-7fff-bfff-ffffffffffff');
  expect(uuidV7(0, () => new Uint8Array(10))).toBe('00000000-0000-7000-8000-000000000000');
});

test('JSON equality minds types and presence, not order', () => {
  expect(jsonEqual({ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 })).toBe(true);
  expect(jsonEqual({ a: null }, {})).toBe(false);
  expect(jsonEqual([], {})).toBe(false);
  expect(jsonEqual(1, '1')).toBe(false);
  expect(jsonEqual([1, 2], [2, 1])).toBe(false);
});

test('a member that no field can name makes the update a whole one', () => {
  const events = updateEvents({ type: 't', id: '1' }, { '*': 1 }, { '*': 2 }, { actor: 'a' });
  expect(events).toMatchObject([{ field: '*', action: 'update', old_value: { '*': 1 }, new_value: { '*': 2 } }]);
});
