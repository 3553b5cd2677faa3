import { assert } from './errors.ts';

/** Every limit of the record in one place; their relations are asserted below. Bytes are UTF-8 bytes. */
export const LIMITS = {
  /** A request that is all or nothing. */
  bodyBytesMax: 16 * 1024 * 1024,
  batchEventsMax: 10_000,
  /** One event as the caller sends it: an NDJSON line, an array element. */
  eventBytesMax: 4 * 1024 * 1024,
  /** JSON text of one old_value, new_value or metadata. */
  valueBytesMax: 1024 * 1024,
  /** Nesting of arrays and objects in one value. */
  valueDepthMax: 64,
  /** Faults listed for one bad request. */
  errorsListedMax: 20,
  /** A WAL line: an event whose text is escaped at worst sixfold. */
  walLineBytesMax: 32 * 1024 * 1024,
  /** Positions are doubles in JavaScript and 32 bits in the id index. */
  seqMax: 2 ** 32 - 2,
} as const;

assert(3 * LIMITS.valueBytesMax < LIMITS.eventBytesMax, 'three values fit one event');
assert(LIMITS.eventBytesMax < LIMITS.bodyBytesMax, 'an event fits a body');
assert(6 * LIMITS.eventBytesMax < LIMITS.walLineBytesMax, 'an escaped event fits a WAL line');
