/**
 * Times are text: UTC with microseconds, `2026-01-02T03:04:05.000000Z` (RFC 3339). Text of this form sorts in the
 * order of time, and nothing is lost on the way through JSON, DuckDB and Parquet.
 */

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$/;

/** What is wrong with a time, or the time in canonical form. */
export type TimeResult = { ok: true; text: string } | { ok: false; message: string };

const EXAMPLE = 'write RFC 3339 with a zone, e.g. 2026-01-02T03:04:05.000000Z';

/** Canonical form of an RFC 3339 time of the years 0001 to 9999. More than microseconds is refused, not cut. */
export function canonicalTime(text: string): TimeResult {
  // The common case, on the hot path: UTC, at most microseconds, and a day that every month has.
  if (PLAIN_UTC.test(text)) return { ok: true, text: `${text.slice(0, 19)}.${text.slice(20, -1).padEnd(6, '0')}Z` };
  const match = RFC3339.exec(text);
  if (!match) return { ok: false, message: `is not a time: ${EXAMPLE}` };
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = match as unknown as string[];
  if (fraction.length > 6 && /[1-9]/.test(fraction.slice(6))) {
    return {
      ok: false,
      message: 'is finer than a microsecond: round it to six digits (the full text can go in metadata)',
    };
  }
  const wallMs = wallClockMs(Number(year), Number(month), Number(day), Number(hour), Number(minute), Number(second));
  if (wallMs === undefined) return { ok: false, message: 'is not a time of the calendar (leap seconds are not kept)' };
  const offsetMinutes = zoneMinutes(zone);
  if (offsetMinutes === undefined) return { ok: false, message: 'has a zone beyond 23:59' };
  const utc = new Date(wallMs - offsetMinutes * 60_000);
  const utcYear = utc.getUTCFullYear();
  if (utcYear < 1 || utcYear > 9999) return { ok: false, message: 'is outside the years 0001 to 9999 UTC' };
  return { ok: true, text: `${utc.toISOString().slice(0, 19)}.${fraction.slice(0, 6).padEnd(6, '0')}Z` };
}

const PLAIN_UTC =
  /^[12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?Z$/;

/** Milliseconds of a UTC wall clock, undefined where the calendar has no such time. */
function wallClockMs(year: number, month: number, day: number, hour: number, minute: number, second: number) {
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  // Date.UTC takes years 0 to 99 for 1900 to 1999.
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  return date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000;
}

function zoneMinutes(zone: string): number | undefined {
  if (zone === 'Z' || zone === 'z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  if (hours > 23 || minutes > 59) return undefined;
  return (zone[0] === '-' ? -1 : 1) * (hours * 60 + minutes);
}

/** A wall-clock reading in canonical form. */
export function timeOfMs(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}
