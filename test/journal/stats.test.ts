import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deltaStats } from '../../journal/table/index.ts';
import { fileBounds } from '../../journal/table/stats.ts';
import { HOSTILE_TEXTS } from '../support/events.ts';

const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

type Stats = {
  minValues: Record<string, string>;
  maxValues: Record<string, string>;
  nullCount: Record<string, number>;
};

/** Statistics of a file that holds these texts in entity_id, as DuckDB reports least and greatest: by UTF-8 bytes. */
function textStats(texts: readonly string[]): Stats {
  const sorted = [...texts].sort(byBytes);
  const entity = { min: sorted[0] as string, max: sorted.at(-1) as string, null_count: '0' };
  const columns = new Map([
    ['seq', { min: '0', max: '9', null_count: '0' }],
    ['entity_id', entity],
  ]);
  return JSON.parse(deltaStats(10, columns)) as Stats;
}

const point = fc.oneof(
  fc.constantFrom(
    'a',
    'z',
    '~',
    '\u007f',
    '\u0080',
    'é',
    '\uD7FF',
    '\uE000',
    '\uFFFF',
    '\u{10000}',
    '\u{10FFFF}',
    '\u0001',
  ),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
);
const longText = fc
  .tuple(fc.constantFrom('', 'x'.repeat(30), 'x'.repeat(31), 'x'.repeat(32)), fc.array(point, { maxLength: 6 }))
  .map(([prefix, points]) => (prefix + points.join('')).toWellFormed() || 'x');

describe('text bounds', () => {
  it('hold every value between them, cut or not, in the order of UTF-8 bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(longText, fc.constantFrom(...HOSTILE_TEXTS)), { minLength: 1 }), (texts) => {
        const { minValues, maxValues } = textStats(texts);
        const [min, max] = [minValues.entity_id as string, maxValues.entity_id];
        expect([...min].length).toBeLessThanOrEqual(32);
        expect(min.isWellFormed()).toBe(true);
        expect(max?.isWellFormed() ?? true).toBe(true);
        for (const text of texts) {
          expect(byBytes(min, text)).toBeLessThanOrEqual(0);
          if (max !== undefined) expect(byBytes(text, max)).toBeLessThanOrEqual(0);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['short', 'short'],
    ['x'.repeat(32), 'x'.repeat(32)],
    [`${'x'.repeat(32)}y`, `${'x'.repeat(32)}\u007f`],
    [`${'x'.repeat(32)}\u007f`, `${'x'.repeat(32)}\u{10FFFF}`],
    [`${'x'.repeat(32)}é`, `${'x'.repeat(32)}\u{10FFFF}`],
    [`${'x'.repeat(31)}\u{1F600}y`, `${'x'.repeat(31)}\u{10FFFF}`],
  ])('the upper bound of %j is %j', (text, bound) => {
    expect(textStats([text]).maxValues.entity_id).toBe(bound);
  });
});

describe('time bounds', () => {
  const timeStats = (min: string, max: string) => {
    const columns = new Map([
      ['seq', { min: '0', max: '0' }],
      ['occurred_at', { min, max }],
    ]);
    return JSON.parse(deltaStats(1, columns)) as Stats;
  };

  it.each([
    ['2026-01-02 03:04:05+00', '2026-01-02T03:04:05.000Z', '2026-01-02T03:04:05.000Z'],
    ['2026-01-02 03:04:05.1+00', '2026-01-02T03:04:05.100Z', '2026-01-02T03:04:05.100Z'],
    ['2026-01-02 03:04:05.123+00', '2026-01-02T03:04:05.123Z', '2026-01-02T03:04:05.123Z'],
    ['2026-01-02 03:04:05.123001+00', '2026-01-02T03:04:05.123Z', '2026-01-02T03:04:05.124Z'],
    ['2026-12-31 23:59:59.999999+00', '2026-12-31T23:59:59.999Z', '2027-01-01T00:00:00.000Z'],
    ['0001-01-01 00:00:00+00', '0001-01-01T00:00:00.000Z', '0001-01-01T00:00:00.000Z'],
    ['1969-12-31 23:59:59.999999+00', '1969-12-31T23:59:59.999Z', '1970-01-01T00:00:00.000Z'],
  ])('%s lies from %s to %s', (text, floor, ceiling) => {
    const { minValues, maxValues } = timeStats(text, text);
    expect([minValues.occurred_at, maxValues.occurred_at]).toEqual([floor, ceiling]);
  });

  it('has none above the last microseconds there are', () => {
    const { minValues, maxValues } = timeStats('9999-12-31 23:59:59.999999+00', '9999-12-31 23:59:59.999999+00');
    expect(minValues.occurred_at).toBe('9999-12-31T23:59:59.999Z');
    expect(maxValues).not.toHaveProperty('occurred_at');
  });

  it('refuses what is no time', () => {
    for (const text of ['2026-01-02 03:04:05', '2026-01-02T03:04:05Z', '2026-01-02 03:04:05+02', 'infinity']) {
      expect(() => timeStats(text, text)).toThrow(/statistics of a time column/);
    }
  });
});

describe('statistics', () => {
  it('print longs as raw digits', () => {
    const seq = { min: '12345678901234567', max: '9223372036854775807', null_count: '0' };
    expect(deltaStats(7, new Map([['seq', seq]]))).toBe(
      '{"numRecords":7,"minValues":{"seq":12345678901234567},"maxValues":{"seq":9223372036854775807},"nullCount":{"seq":0}}',
    );
    expect(() => deltaStats(7, new Map([['seq', { ...seq, min: '1.5' }]]))).toThrow(/long column/);
  });

  it('bound no payload, and nothing that is all null', () => {
    const columns = new Map([
      ['seq', { min: '0', max: '1', null_count: '0' }],
      ['new_value', { min: 'a', max: 'b', null_count: '1' }],
      ['event_id', { min: 'a', max: 'b', null_count: '0' }],
      ['actor', { null_count: '2' }],
    ]);
    expect(JSON.parse(deltaStats(2, columns))).toEqual({
      numRecords: 2,
      minValues: { seq: 0 },
      maxValues: { seq: 1 },
      nullCount: { seq: 0, new_value: 1, event_id: 0, actor: 2 },
    });
  });

  it('are read back for pruning, with times as the journal writes them', () => {
    const stats = deltaStats(
      3,
      new Map([
        ['seq', { min: '5', max: '7' }],
        ['occurred_at', { min: '2026-01-02 03:04:05.000001+00', max: '2026-01-02 03:04:05.000001+00' }],
        ['actor', { min: 'ann', max: 'bob' }],
      ]),
    );
    expect(fileBounds('p', stats)).toEqual({
      rows: 3,
      firstSeq: 5,
      lastSeq: 7,
      min: { seq: '5', occurred_at: '2026-01-02T03:04:05.000000Z', actor: 'ann' },
      max: { seq: '7', occurred_at: '2026-01-02T03:04:05.001000Z', actor: 'bob' },
    });
    for (const bad of [undefined, '', 'null', '7', '{}', '{"numRecords":1}', stats.replace('"seq":5', '"seq":"5"')]) {
      expect(() => fileBounds('p', bad), String(bad)).toThrow(/without numRecords or the bounds of seq/);
    }
  });
});
