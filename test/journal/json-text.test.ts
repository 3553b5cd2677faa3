import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalTime, parseJsonExact, readEvents, timeOfMs, valueText } from '../../journal/index.ts';

/** JSON values, with members of any name, and texts without what the door refuses. */
const text = fc.string({ unit: 'binary' }).map((value) => value.toWellFormed().replaceAll('\0', ''));
const ordinary = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    text,
    fc.boolean(),
    fc.constant(null),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.oneof(text, fc.constantFrom('__proto__', 'constructor', 'a')), tie('value'), { maxKeys: 5 }),
  ),
})).value;

/** Numbers as JSON text may write them, within the range of a double. */
const numberText = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(fc.constant('0'), fc.bigInt({ min: 1n, max: 10n ** 25n }).map(String), fc.nat(99).map(String)),
    fc.option(fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: 22 }), { nil: '' }),
    fc.option(fc.tuple(fc.constantFrom('e', 'E', 'e+', 'E-', 'e-'), fc.nat(250)), { nil: undefined }),
  )
  .map(([sign, whole, fraction, exponent]) => {
    const point = fraction === '' ? '' : `.${fraction}`;
    return `${sign}${whole}${point}${exponent ? exponent.join('') : ''}`;
  });

const kept = (json: string) => {
  const result = valueText(parseJsonExact(json));
  return result.ok ? result.text : expect.fail(result.message);
};

describe('JSON without loss', () => {
  it('keeps every ordinary value as JSON.stringify prints it', () => {
    fc.assert(
      fc.property(ordinary, (value) => {
        const json = JSON.stringify(value);
        expect(kept(json)).toBe(json);
        expect(JSON.parse(kept(JSON.stringify(value, null, 3)))).toEqual(JSON.parse(json));
      }),
      { numRuns: 500 },
    );
  });

  it('keeps every number to the letter, wherever it stands', () => {
    const around = fc.constantFrom(['', ''], ['[', ']'], ['[0, ', ',"x"]'], ['{"a":', '}'], ['{"a":[{"b":\n', ' }]}']);
    fc.assert(
      fc.property(numberText, around, (number, [before, after]) => {
        const json = `${before}${number}${after}`;
        expect(kept(json)).toBe(json.replaceAll(/[ \n]/g, ''));
      }),
      { numRuns: 2000 },
    );
  });

  it('reads texts full of numbers as JSON.parse does', () => {
    const texts = fc.constantFrom('1e5', ':-0', '[1.10,', ' 12345678901234567890', '2026-01-02T03:04:05.000Z');
    fc.assert(
      fc.property(fc.array(texts), fc.integer(), (values, number) => {
        const json = JSON.stringify({ values, number });
        expect(parseJsonExact(json)).toEqual(JSON.parse(json));
        expect(kept(json)).toBe(json);
      }),
    );
  });

  it('throws where JSON.parse throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:0.-e+1 \\na') }), (json) => {
        const outcome = (parse: (text: string) => unknown) => {
          try {
            return { value: JSON.stringify(parse(json)).length > 0 };
          } catch (error) {
            return { thrown: error instanceof SyntaxError };
          }
        };
        expect('thrown' in outcome(parseJsonExact)).toBe('thrown' in outcome(JSON.parse));
      }),
      { numRuns: 3000 },
    );
  });

  it('goes through the door unchanged', () => {
    fc.assert(
      fc.property(ordinary, (value) => {
        const json = JSON.stringify(value);
        const body = `{"entity_type":"t","entity_id":"1","action":"a","actor":"b","metadata":${json}}`;
        expect(readEvents(body, 'json', 'acme')[0]?.metadata).toBe(json);
        expect(readEvents(`\n${body}\r\n`, 'ndjson', 'acme')[0]?.metadata).toBe(json);
      }),
    );
  });
});

describe('times', () => {
  const date = fc.date({
    min: new Date('0001-01-02T00:00:00Z'),
    max: new Date('9999-12-30T00:00:00Z'),
    noInvalidDate: true,
  });

  it('are those of Date, at any offset', () => {
    fc.assert(
      fc.property(date, fc.integer({ min: -1439, max: 1439 }), (at, offset) => {
        const ms = Math.floor(at.getTime() / 1000) * 1000;
        const sign = offset < 0 ? '-' : '+';
        const zone = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map((part) =>
          String(part).padStart(2, '0'),
        );
        const local = new Date(ms + offset * 60_000).toISOString().slice(0, 19);
        expect(canonicalTime(`${local}${sign}${zone.join(':')}`)).toEqual({
          ok: true,
          text: new Date(ms).toISOString().replace('.000Z', '.000000Z'),
        });
      }),
    );
  });

  it('keep six digits, and sort as text', () => {
    fc.assert(
      fc.property(date, date, fc.integer({ min: 0, max: 999_999 }), (a, b, micros) => {
        const digits = String(micros).padStart(6, '0');
        const textOf = (at: Date) => `${at.toISOString().slice(0, 19)}.${digits}Z`;
        expect(canonicalTime(textOf(a))).toEqual({ ok: true, text: textOf(a) });
        const order = Math.sign(Math.floor(a.getTime() / 1000) - Math.floor(b.getTime() / 1000));
        expect(textOf(a) < textOf(b) ? -1 : textOf(a) > textOf(b) ? 1 : 0).toBe(order);
        expect(canonicalTime(timeOfMs(a.getTime()))).toEqual({ ok: true, text: timeOfMs(a.getTime()) });
      }),
    );
  });

  it('refuse days that Date would carry over', () => {
    const pad = (value: number) => String(value).padStart(2, '0');
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9999 }), fc.nat(14), fc.nat(32), (year, month, day) => {
        const dayText = `${String(year).padStart(4, '0')}-${pad(month)}-${pad(day)}`;
        const parsed = new Date(`${dayText}T00:00:00Z`);
        const exists = !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(dayText);
        expect(canonicalTime(`${dayText}T00:00:00Z`).ok).toBe(exists);
      }),
      { numRuns: 1000 },
    );
  });
});
