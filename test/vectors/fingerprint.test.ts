import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Axiom } from '../../projections/index.ts';
import { FINGERPRINT_LENGTH_MAX } from '../../src/vectors/fingerprint.ts';
import { fingerprintOf } from '../../src/vectors/index.ts';

const AXIOM: Axiom = {
  source_id: 'signal-1',
  domain: 'accounts-payable',
  status: 'over_limit',
  metric_value: 417.5,
  anomaly_score: 0.93,
  emitted_at: '2026-01-02T03:04:05.000000Z',
  entity_type: 'invoice',
  entity_id: 'vendor-7',
  correlation_id: null,
  payload: null,
};

const linesOf = (payload: unknown): string[] =>
  fingerprintOf({ ...AXIOM, payload })
    .split('\n')
    .slice(6);

/** The same JSON with the members of every object in the opposite order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, member]) => [name, reversed(member)]),
  );
}

describe('the fingerprint', () => {
  it('is what makes two signals alike, one fact a line', () => {
    const payload = {
      reason: 'Amount above the LIMIT of order 20260001',
      items: [{ amount: 12 }, { amount: '47.50' }, { amount: 12 }],
      approved: false,
      nothing: null,
    };
    expect(fingerprintOf({ ...AXIOM, payload })).toBe(
      [
        'domain: accounts-payable',
        'status: over_limit',
        'about: invoice',
        'series: vendor-7',
        'score: 0.90',
        'metric: +3e2',
        'payload/approved: false',
        'payload/items[]/amount: +1e1',
        'payload/items[]/amount: +3e1',
        'payload/reason: amount above the limit of order <id>',
      ].join('\n'),
    );
  });

  it('leaves out what is absent, and what is unique to a signal', () => {
    const bare = { ...AXIOM, status: null, metric_value: null, entity_type: null, entity_id: null };
    expect(fingerprintOf(bare)).toBe('domain: accounts-payable\nscore: 0.90');
    const other = { ...AXIOM, source_id: 'x', emitted_at: '2020-01-01T00:00:00.000000Z', correlation_id: 'y' };
    expect(fingerprintOf(other)).toBe(fingerprintOf(AXIOM));
  });

  it('puts times, ids and long numbers of the payload away', () => {
    expect(linesOf({ a: '8B0F7C9E-1111-4222-8333-1234567890AB paid' })).toEqual(['payload/a: <id> paid']);
    expect(linesOf({ a: 'at 2026-01-02T03:04:05.123Z and 2026-01-02' })).toEqual(['payload/a: at <time> and <time>']);
    expect(linesOf({ a: 'commit 9fceb02d0ae598e95dc970b74767f19372d61af8' })).toEqual(['payload/a: commit <id>']);
    expect(linesOf({ 'inv-00012345': 1 })).toEqual(['payload/inv-<id>: +1e0']);
    expect(linesOf({ a: 'decade of 12345 deeds' })).toEqual(['payload/a: decade of 12345 deeds']);
  });

  it('bands scores by 0.05 and numbers by half decades', () => {
    const scoreLine = (score: number) => fingerprintOf({ ...AXIOM, anomaly_score: score }).split('\n')[4];
    expect([0, 0.049, 0.05, 0.15, 0.3, 0.9499, 0.95, 1].map(scoreLine)).toEqual(
      ['0.00', '0.00', '0.05', '0.15', '0.30', '0.90', '0.95', '1.00'].map((band) => `score: ${band}`),
    );
    const numbers = [0, -0, 1, 3.16, 3.17, 9.99, 10, 31.7, 99, 1000, -0.05, 5e-324, -1.7e308];
    const bands = [
      '0',
      '0',
      '+1e0',
      '+1e0',
      '+3e0',
      '+3e0',
      '+1e1',
      '+3e1',
      '+3e1',
      '+1e3',
      '-3e-2',
      '+3e-324',
      '-1e308',
    ];
    expect(numbers.map((value) => linesOf([value])[0])).toEqual(bands.map((band) => `payload[]: ${band}`));
  });

  it('gives no text a line of its own', () => {
    expect(linesOf({ a: 'x\ndomain: other', 'b\nc': 1 })).toEqual(['payload/a: x domain: other', 'payload/b c: +1e0']);
    const { length } = fingerprintOf({ ...AXIOM, domain: 'a\r\nb\u2028c', payload: {} }).split('\n');
    expect(length).toBe(6);
  });

  it('takes any JSON, is bounded and well-formed, and does not depend on the order of keys', () => {
    const long = fc.string({ unit: 'binary', maxLength: 400 });
    const axiom = fc.record({
      domain: long,
      status: fc.option(long),
      entity_type: fc.option(long),
      entity_id: fc.option(long),
      metric_value: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
      anomaly_score: fc.double({ min: 0, max: 1, noNaN: true }),
      payload: fc.jsonValue({ maxDepth: 12, stringUnit: 'binary' }),
    });
    fc.assert(
      fc.property(axiom, (said) => {
        const fingerprint = fingerprintOf({ ...AXIOM, ...said });
        expect(fingerprint.length).toBeLessThanOrEqual(FINGERPRINT_LENGTH_MAX);
        expect(fingerprint.isWellFormed()).toBe(true);
        expect(fingerprintOf({ ...AXIOM, ...said, payload: reversed(said.payload) })).toBe(fingerprint);
      }),
      { numRuns: 500 },
    );
  });

  it('is bounded for payloads that are long, wide or deep', () => {
    const wide = Object.fromEntries(
      Array.from({ length: 50_000 }, (_, index) => [`k${index % 9_999}-${index}`, index]),
    );
    let deep: unknown = 1;
    for (let depth = 0; depth < 50_000; depth += 1) deep = depth % 2 === 0 ? [deep] : { a: deep };
    for (const payload of [wide, deep, 'x'.repeat(1_000_000), Array.from({ length: 100_000 }, () => ({ a: 1 }))])
      expect(fingerprintOf({ ...AXIOM, payload }).length).toBeLessThanOrEqual(FINGERPRINT_LENGTH_MAX);
    expect(fingerprintOf({ ...AXIOM, payload: wide }).length).toBeGreaterThan(FINGERPRINT_LENGTH_MAX - 64);
    expect(linesOf(deep)).toEqual(['payload/a[]/a[]/a[]/a[]: {…}']);
  });
});
