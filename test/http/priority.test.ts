import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { priorityOf } from '../../src/http/priority.ts';

describe('the Priority header (RFC 9218)', () => {
  test.each([
    ['u=0', 'normal'],
    ['u=4', 'normal'],
    ['u=5', 'low'],
    ['u=7, i', 'low'],
    ['i, u=6', 'low'],
    ['u=6;why="busy, u=1"', 'low'],
    ['x="u=6"', undefined],
    ['x=(u=6), u=2', undefined],
    ['x=("a" b;c=1 2.5), u=2', 'normal'],
    ['u=1,u=7', 'low'],
    ['u=7 ,\tu=1', 'normal'],
    ['  u=5  ', 'low'],
    ['u=05', 'low'],
    ['i', undefined],
    ['', undefined],
    // No urgency, or none that the RFC knows: passed over.
    ['u', undefined],
    ['u=8', undefined],
    ['u=-1', undefined],
    ['u=5.0', undefined],
    ['u="5"', undefined],
    ['u=?1', undefined],
    ['u=low', undefined],
    ['u=@5', undefined],
    ['u=:NQ==:', undefined],
    ['u=(5)', undefined],
    ['u=5, u=9', undefined],
    // No dictionary: the whole header is passed over.
    ['u=5,', undefined],
    ['u=5 i', undefined],
    ['u= 5', undefined],
    ['U=5', undefined],
    ['u=5, =', undefined],
    ['u=5, x="open', undefined],
    ['u=5, x=(a', undefined],
    ['u=+5', undefined],
    ['u=5, é', undefined],
    ['u=5, x=1234567890123456', undefined],
  ])('%j is %s', (header, expected) => {
    expect(priorityOf(header, 'normal')).toBe(expected ?? 'normal');
    expect(priorityOf(header, 'low')).toBe(expected ?? 'low');
  });

  test('where nothing is said it is what the route says', () => {
    expect([priorityOf(undefined, 'normal'), priorityOf(undefined, 'low')]).toEqual(['normal', 'low']);
  });

  const key = fc.stringMatching(/^[a-z*][a-z0-9_.*-]{0,4}$/);
  const value = fc.oneof(
    fc.integer({ min: -10, max: 10 }).map(String),
    fc.integer({ min: -999_999_999_999_999, max: 999_999_999_999_999 }).map(String),
    fc.tuple(fc.integer({ min: -99, max: 99 }), fc.stringMatching(/^\d{1,3}$/)).map(([a, b]) => `${a}.${b}`),
    fc.stringMatching(/^[ !#-[\]-~]{0,6}$/).map((text) => `"${text}"`),
    fc.constantFrom('"\\""', '"\\\\"', '"u=7, "'),
    fc.stringMatching(/^[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,6}$/),
    fc.constantFrom('?0', '?1', ':aGk=:', '@1767322800', '%"f%c3%bc"'),
  );
  const parameters = fc
    .array(fc.tuple(key, fc.option(value, { nil: undefined }), fc.constantFrom(';', '; ')), { maxLength: 2 })
    .map((all) => all.map(([name, of, sign]) => `${sign}${name}${of === undefined ? '' : `=${of}`}`).join(''));
  const item = fc.tuple(value, parameters).map(([of, more]) => of + more);
  const list = fc.array(item, { maxLength: 3 }).map((items) => `(${items.join(' ')})`);
  const member = fc.record({
    name: fc.oneof(fc.constantFrom('u', 'i'), key),
    value: fc.option(fc.oneof(value, list), { nil: undefined }),
    parameters,
    separator: fc.constantFrom(',', ', ', ' ,', '\t,  '),
  });

  test('of any dictionary the last urgency counts, if it is one', () => {
    const property = fc.property(fc.array(member, { minLength: 1, maxLength: 6 }), (members) => {
      const text = members.map(({ name, value: of, parameters: more, separator }, index) => {
        const sign = index === members.length - 1 ? '' : separator;
        return `${name}${of === undefined ? '' : `=${of}`}${more}${sign}`;
      });
      const last = members.findLast(({ name }) => name === 'u')?.value;
      const urgency = last !== undefined && /^-?\d+$/.test(last) ? Number(last) : -1;
      const expected = urgency < 0 || urgency > 7 ? undefined : urgency >= 5 ? 'low' : 'normal';
      for (const otherwise of ['normal', 'low'] as const)
        expect(priorityOf(text.join(''), otherwise)).toBe(expected ?? otherwise);
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('an odd header is never an error', () => {
    const odd = fc.oneof(
      fc.string({ maxLength: 60 }),
      fc.string({ unit: fc.constantFrom(...'u=57,; ()"\\?:@%.-i*'), maxLength: 60 }),
    );
    const property = fc.property(odd, (text) => {
      expect(['normal', 'low']).toContain(priorityOf(text, 'normal'));
    });
    fc.assert(property, { numRuns: 500 });
    expect(priorityOf(`u=7, x="${'a'.repeat(100_000)}"`, 'normal')).toBe('normal');
  });
});
