import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Condition, compileCondition } from '../../src/policies/rules.ts';

const holds = (condition: Condition, context: unknown) => compileCondition(condition)(context);
/** Of `{"payload": …}`; without an argument payload is absent. */
const equals = (value: unknown, ...payload: [] | [unknown]) =>
  holds({ type: 'FieldEquals', path: 'payload', value }, payload.length === 0 ? {} : { payload: payload[0] });
const isEmpty = (payload: unknown) => holds({ type: 'FieldEmpty', path: 'payload' }, { payload });
const greater = (payload: unknown, than: number, orEqual?: boolean) =>
  holds({ type: 'FieldGreater', path: 'payload', than, orEqual }, { payload });

/** One of each type, and the empty ones; no two are equal. */
const KINDS = [null, false, true, 0, 1, -1, 0.5, '', '0', '1', 'null', ' ', [], [0], [[]], {}, { a: 1 }, { a: null }];

const always: Condition = { type: 'Always' };
const never: Condition = { type: 'Not', of: always };

const condition: fc.Memo<Condition> = fc.memo((depth) => {
  const path = fc.constantFrom('payload', 'payload.a', 'a', '0', 'a.0', '__proto__', 'constructor.name', 'length');
  const leaf = fc.oneof(
    fc.constant(always),
    fc.record({ type: fc.constant('FieldEquals' as const), path, value: fc.jsonValue() }),
    fc.record({ type: fc.constant('FieldEmpty' as const), path }),
    fc.record({
      type: fc.constant('FieldGreater' as const),
      path,
      than: fc.double({ noNaN: true }),
      orEqual: fc.boolean(),
    }),
  );
  if (depth <= 1) return leaf;
  const inner = condition(depth - 1);
  const group = fc.record({
    type: fc.constantFrom('All' as const, 'Any' as const),
    of: fc.array(inner, { minLength: 1, maxLength: 3 }),
  });
  return fc.oneof(leaf, group, fc.record({ type: fc.constant('Not' as const), of: inner }));
});

/** JSON, also with members called a, 0 and __proto__. */
const context = fc.oneof(
  fc.jsonValue(),
  fc.tuple(fc.jsonValue(), fc.jsonValue()).map(([a, b]): unknown => {
    const [inner, other] = [JSON.stringify(a), JSON.stringify(b)];
    return JSON.parse(`{"payload":{"a":${inner},"__proto__":${other}},"a":[${inner}],"0":${other}}`);
  }),
);

describe('FieldEquals', () => {
  it('holds for the same JSON value of every type, and for no other', () => {
    for (const [index, value] of KINDS.entries()) {
      for (const [other, payload] of KINDS.entries()) {
        expect(equals(value, structuredClone(payload)), JSON.stringify([value, payload])).toBe(index === other);
      }
    }
  });

  it('holds for nothing that is absent, also not null', () => {
    for (const value of KINDS) expect(equals(value), JSON.stringify(value)).toBe(false);
  });

  it('minds the order of a list and not that of members, and takes numbers as doubles', () => {
    expect(equals([1, 2], [2, 1])).toBe(false);
    expect(equals([1], [1, 2])).toBe(false);
    expect(equals({ a: 1, b: [{ c: null }] }, { b: [{ c: null }], a: 1 })).toBe(true);
    expect(equals({ a: 1 }, { a: 1, b: null })).toBe(false);
    expect(equals(JSON.parse('{"__proto__":{}}'), { a: 1 })).toBe(false);
    expect(equals(JSON.parse('1.0'), 1)).toBe(true);
    expect(equals(0, -0)).toBe(true);
  });

  it('agrees with the canonical JSON of both sides', () => {
    const pair = fc
      .jsonValue()
      .chain((value) => fc.tuple(fc.constant(value), fc.oneof(fc.constant(value), fc.jsonValue())));
    fc.assert(
      fc.property(pair, ([value, payload]) => {
        const copy: unknown = JSON.parse(JSON.stringify(payload));
        expect(equals(value, copy)).toBe(canonicalize(value) === canonicalize(copy));
      }),
    );
  });

  it('is not led deeper than its own value by what a sender nests', () => {
    const levels = 100_000;
    const deep: unknown = JSON.parse('['.repeat(levels) + ']'.repeat(levels));
    expect(equals([[[1]]], deep)).toBe(false);
    expect(isEmpty(deep)).toBe(false);
  });
});

describe('FieldEmpty', () => {
  it('holds for what is absent, null, "", [] and {}, and for nothing else', () => {
    expect(holds({ type: 'FieldEmpty', path: 'payload' }, {})).toBe(true);
    expect(holds({ type: 'FieldEmpty', path: 'payload.a.b' }, { payload: 1 })).toBe(true);
    const empty = KINDS.filter(isEmpty);
    expect(empty).toEqual([null, '', [], {}]);
  });
});

describe('FieldGreater', () => {
  it('compares numbers, with the bound itself only where it says so', () => {
    expect(greater(2, 1)).toBe(true);
    expect(greater(1, 1)).toBe(false);
    expect(greater(1, 1, true)).toBe(true);
    expect(greater(1, 1, false)).toBe(false);
    expect(greater(0.5, 1, true)).toBe(false);
    expect(greater(-1, -2)).toBe(true);
  });

  it('holds for nothing but numbers, whatever a text reads', () => {
    for (const payload of ['9', '9e9', true, null, [], [9], {}, { valueOf: 9 }]) {
      expect(greater(payload, 1), JSON.stringify(payload)).toBe(false);
      expect(greater(payload, -1, true), JSON.stringify(payload)).toBe(false);
    }
    expect(holds({ type: 'FieldGreater', path: 'payload', than: -1 }, {})).toBe(false);
  });
});

describe('conditions of conditions', () => {
  it('hold for all, for any, or not', () => {
    expect(holds(always, {})).toBe(true);
    expect(holds(never, {})).toBe(false);
    expect(holds({ type: 'All', of: [always, always] }, {})).toBe(true);
    expect(holds({ type: 'All', of: [always, never] }, {})).toBe(false);
    expect(holds({ type: 'Any', of: [never, always] }, {})).toBe(true);
    expect(holds({ type: 'Any', of: [never, never] }, {})).toBe(false);
  });

  it('answer for every JSON value, and Not with the opposite', () => {
    fc.assert(
      fc.property(condition(4), context, (of, value) => {
        const answer = holds(of, value);
        expect(typeof answer).toBe('boolean');
        expect(holds({ type: 'Not', of }, value)).toBe(!answer);
      }),
      { numRuns: 1_000 },
    );
  });
});
