import { assert } from '../../../journal/index.ts';

/** Both parts of an id are unsigned numbers of 64 bits: more than a double holds. */
const NUMBER_MAX = 2n ** 64n - 1n;

/** The order of entries in a stream, by their ids: negative where `a` comes first. An id without its second part is `<ms>-0`. */
export function compareIds(a: string, b: string): number {
  const [aMs = '', aNumber = '0'] = a.split('-');
  const [bMs = '', bNumber = '0'] = b.split('-');
  return compareNumbers(aMs, bMs) || compareNumbers(aNumber, bNumber);
}

/** Decimal numbers without leading zeros, of any size. */
function compareNumbers(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : Number(a > b);
}

/** The greatest id before this one. */
export function idBefore(id: string): string {
  const [ms = '', number = '0'] = id.split('-');
  if (BigInt(number) > 0n) return `${ms}-${BigInt(number) - 1n}`;
  assert(BigInt(ms) > 0n, 'nothing comes before the first id');
  return `${BigInt(ms) - 1n}-${NUMBER_MAX}`;
}

/** The smallest id that Redis gives in this millisecond. */
export function idOfMs(ms: number): string {
  return `${ms}-0`;
}
