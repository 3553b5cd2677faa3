import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareUtf8, type SegmentFile } from '../../journal/index.ts';
import { mayHold } from '../../queries/filters.ts';
import { HOSTILE_TEXTS } from '../support/events.ts';

const everything = { above: -1, upTo: 1_000 };

function file(min: Record<string, string>, max: Record<string, string>): SegmentFile {
  return { path: 'x', key: 'x', rows: 1, sizeBytes: 1, firstSeq: 10, lastSeq: 20, min, max };
}

describe('compareUtf8', () => {
  it('is the order of the UTF-8 bytes', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...HOSTILE_TEXTS));
    fc.assert(
      fc.property(text, text, text, (prefix, a, b) => {
        const [left, right] = [prefix + a, prefix + b];
        expect(Math.sign(compareUtf8(left, right))).toBe(Buffer.compare(Buffer.from(left), Buffer.from(right)));
      }),
      { numRuns: 500 },
    );
  });

  it('differs from the order of UTF-16 units where it must', () => {
    expect('\u{10000}' < '\uFFFD').toBe(true);
    expect(compareUtf8('\u{10000}', '\uFFFD')).toBeGreaterThan(0);
  });
});

describe('mayHold', () => {
  it('keeps a file whose bounds are missing or of a form we do not know', () => {
    const from = '2026-01-01T00:00:00.000000Z';
    expect(mayHold(file({}, {}), { entityId: 'x', source: 'y', from, to: from, until: from }, everything)).toBe(true);
    const odd = file({ occurred_at: 'yesterday' }, { occurred_at: '+010000-01-01T00:00:00.000Z' });
    expect(mayHold(odd, { from, to: from, until: from }, everything)).toBe(true);
  });

  it('takes positions above the lower end and up to the upper one', () => {
    const ask = (above: number, upTo: number): boolean => mayHold(file({}, {}), {}, { above, upTo });
    expect([ask(-1, 9), ask(-1, 10), ask(19, 99), ask(20, 99)]).toEqual([false, true, true, false]);
  });

  it('compares milliseconds with microseconds', () => {
    const one = file({ occurred_at: '2026-01-01T00:00:00.001Z' }, { occurred_at: '2026-01-01T00:00:00.002Z' });
    const at = (micros: string): string => `2026-01-01T00:00:00.${micros}Z`;
    expect(mayHold(one, { from: at('002000') }, everything)).toBe(true);
    expect(mayHold(one, { from: at('002001') }, everything)).toBe(false);
    expect(mayHold(one, { to: at('001000') }, everything)).toBe(false);
    expect(mayHold(one, { to: at('001001') }, everything)).toBe(true);
    expect(mayHold(one, { until: at('000999') }, everything)).toBe(false);
    expect(mayHold(one, { until: at('001000') }, everything)).toBe(true);
  });

  it('knows that a bound cut before the greatest character may stand for more of them', () => {
    const cut = file({ entity_id: 'a' }, { entity_id: 'b\u{10FFFF}' });
    expect(mayHold(cut, { entityId: 'b\u{10FFFF}\u{10FFFF}z' }, everything)).toBe(true);
    expect(mayHold(cut, { entityId: 'c' }, everything)).toBe(false);
  });
});
