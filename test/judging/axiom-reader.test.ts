import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { type DraftEvent, IndelibleError, type JournalEvent, LIMITS } from '../../journal/index.ts';
import { axiomOf } from '../../projections/index.ts';
import { AXIOM_FIELDS, readAxioms } from '../../src/judging/index.ts';
import { hostileText } from '../support/events.ts';

const MINIMAL = { source_id: 's', domain: 'water', anomaly_score: 0.5 };

const read = (axioms: unknown) => readAxioms(JSON.stringify(axioms), 'json', 'key-1');
const readText = (text: string) => readAxioms(text, 'json', 'key-1').drafts[0] as DraftEvent;
const draftOf = (more: Record<string, unknown> = {}) => read({ ...MINIMAL, ...more }).drafts[0] as DraftEvent;
const idOf = (more: Record<string, unknown> = {}) => draftOf(more).event_id;

/** Pointers and messages of what is wrong with a body. */
function faultsOf(body: string): string[] {
  try {
    readAxioms(body, 'json', 'key-1');
  } catch (error) {
    if (!(error instanceof IndelibleError)) throw error;
    expect(error.kind).toBe('invalid');
    return error.errors.map(({ pointer, message }) => `${pointer} ${message}`);
  }
  return [];
}
const faults = (more: Record<string, unknown>) => faultsOf(JSON.stringify({ ...MINIMAL, ...more }));

describe('what is wrong with a signal is told with its place', () => {
  it.each([
    [{ domain: undefined }, '/domain is missing'],
    [{ domain: null }, '/domain is missing'],
    [{ domain: '' }, '/domain is empty'],
    [{ domain: 7 }, '/domain must be a string, not a number'],
    [{ domain: 'x'.repeat(129) }, '/domain is longer than 128 characters'],
    [{ domain: 'a\0' }, '/domain holds a NUL character'],
    [{ domain: '\ud800' }, '/domain holds a lone surrogate, which is no valid Unicode'],
    [{ source_id: 7 }, '/source_id must be a string, not a number'],
    [{ source_id: 'x'.repeat(1025) }, '/source_id is longer than 1024 characters'],
    [{ status: {} }, '/status must be a string, not an object'],
    [{ status: 'x'.repeat(129) }, '/status is longer than 128 characters'],
    [{ metric_value: '12' }, '/metric_value must be a number, not a string'],
    [{ metric_value: [1] }, '/metric_value must be a number, not an array'],
    [{ anomaly_score: undefined }, '/anomaly_score is missing'],
    [{ anomaly_score: null }, '/anomaly_score is missing'],
    [{ anomaly_score: true }, '/anomaly_score must be a number, not a boolean'],
    [{ emitted_at: 5 }, '/emitted_at must be an RFC 3339 string, not a number'],
    [{ emitted_at: 'x'.repeat(41) }, '/emitted_at is too long for a time'],
    [{ entity_type: '' }, '/entity_type is empty: leave it out instead'],
    [{ entity_type: 'x'.repeat(257) }, '/entity_type is longer than 256 characters'],
    [{ entity_id: 'x'.repeat(1025) }, '/entity_id is longer than 1024 characters'],
    [{ correlation_id: 'x'.repeat(513) }, '/correlation_id is longer than 512 characters'],
    [{ payload: { a: 'b\0' } }, '/payload holds a NUL character'],
    [{ 'a/b~': 1 }, '/a~1b~0 is not a member of an axiom: put it in payload'],
    [{ event_id: 'mine' }, '/event_id is not a member of an axiom: put it in payload'],
  ])('%j', (more, fault) => {
    expect(faults(more)).toEqual([fault]);
  });

  it('each of several, in several', () => {
    const body = JSON.stringify([MINIMAL, { domain: 1, anomaly_score: 'x', more: 1 }, 3]);
    expect(faultsOf(body).map((fault) => fault.split(' ')[0])).toEqual([
      '/1/more',
      '/1/domain',
      '/1/anomaly_score',
      '/2',
    ]);
  });

  it('a payload nested too deeply, or too long; a body that holds none, or too many', () => {
    const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    const withPayload = (payload: string) => `{"domain":"d","anomaly_score":0,"payload":${payload}}`;
    expect(faultsOf(withPayload(nested(64)))).toEqual([]);
    expect(faultsOf(withPayload(nested(66)))[0]).toMatch(/^\/payload is nested deeper/);
    expect(faultsOf(withPayload(nested(100_000))).length).toBe(1);
    expect(faultsOf(withPayload(`"${'x'.repeat(LIMITS.valueBytesMax)}"`))[0]).toMatch(/^\/payload is longer than/);
    expect(faultsOf('[]')).toEqual([' holds no axiom: send at least one']);
    expect(() => read(new Array(LIMITS.batchEventsMax + 1).fill(MINIMAL))).toThrow(/at most 10000/);
    expect(faultsOf(JSON.stringify(new Array(100).fill(0)))).toHaveLength(LIMITS.errorsListedMax);
  });
});

describe('numbers', () => {
  it.each(['1.10', '12345678901234567890', '-0', '1e2', '0.1', '1E-7', '-3.50e+2'])('%s stays as it is', (number) => {
    const { new_value } = readText(
      `{"domain":"d","metric_value":${number},"anomaly_score":${number},"payload":{"n":[${number}]}}`,
    );
    expect(new_value).toBe(
      `{"domain":"d","metric_value":${number},"anomaly_score":${number},"payload":{"n":[${number}]}}`,
    );
  });

  it.each(['metric_value', 'anomaly_score', 'payload'])('beyond a double is refused in %s', (name) => {
    const members = { domain: '"d"', anomaly_score: '0', [name]: '1e400' };
    const body = `{${Object.entries(members).map(([member, value]) => `"${member}":${value}`)}}`;
    expect(faultsOf(body)).toHaveLength(1);
    expect(faultsOf(body)[0]).toMatch(new RegExp(`^/${name} .*beyond the range of a double`));
  });
});

describe('emitted_at', () => {
  it.each([
    ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05.000000Z'],
    ['2026-01-02T03:04:05.123456Z', '2026-01-02T03:04:05.123456Z'],
    ['2026-01-02T03:04:05+01:00', '2026-01-02T02:04:05.000000Z'],
  ])('%s', (said, occurredAt) => {
    expect(draftOf({ emitted_at: said }).occurred_at).toBe(occurredAt);
  });

  it('absent or null: the journal gives its own', () => {
    expect(draftOf().occurred_at).toBeNull();
    expect(draftOf({ emitted_at: null }).occurred_at).toBeNull();
  });

  it.each(['', 'yesterday', '2026-02-30T00:00:00Z', '2026-01-02T03:04:05', '1767323045'])('%j is refused', (said) => {
    expect(faults({ emitted_at: said }).map((fault) => fault.split(' ')[0])).toEqual(['/emitted_at']);
  });
});

describe('a signal without a source', () => {
  it.each([[undefined], [null], [''], ['unknown']])('%j is unknown, and has no id of its own', (source_id) => {
    const batch = read([{ ...MINIMAL, source_id }, MINIMAL]);
    expect(batch.unknown).toBe(1);
    expect(batch.drafts.map(({ entity_id, event_id }) => [entity_id, event_id === null])).toEqual([
      ['unknown', true],
      ['s', false],
    ]);
  });
});

describe('the id', () => {
  it('is the same for the same content, in whatever order and by whatever shape it is sent', () => {
    const said = { ...MINIMAL, status: 'ok', payload: { b: 1, a: 2 } };
    const [one] = read(said).drafts;
    const reversed = Object.fromEntries(Object.entries(said).toReversed());
    expect(read([reversed]).drafts).toEqual([one]);
    expect(readAxioms(`\n${JSON.stringify(said)}\n`, 'ndjson', 'key-1').drafts).toEqual([one]);
    expect(one?.event_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/);
  });

  it('is the same where what is absent is said to be null', () => {
    const absent = Object.keys(AXIOM_FIELDS).filter((name) => !Object.hasOwn(MINIMAL, name) && name !== 'payload');
    for (const name of absent) expect([name, idOf({ [name]: null })]).toEqual([name, idOf()]);
  });

  it('is another for any other content, and for another sender', () => {
    const ids = [
      idOf(),
      idOf({ source_id: 't' }),
      idOf({ domain: 'gas' }),
      idOf({ status: 'ok' }),
      idOf({ metric_value: 1 }),
      idOf({ anomaly_score: 0.51 }),
      idOf({ emitted_at: '2026-01-02T03:04:05Z' }),
      idOf({ entity_type: 'a' }),
      idOf({ entity_id: 'a' }),
      idOf({ correlation_id: 'a' }),
      idOf({ payload: {} }),
      readText('{"source_id":"s","domain":"water","anomaly_score":0.50}').event_id,
      readAxioms(JSON.stringify(MINIMAL), 'json', 'key-2').drafts[0]?.event_id,
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });
});

test('any JSON is read, or refused with its faults', () => {
  const name = fc.constantFrom(...Object.keys(AXIOM_FIELDS), 'other', '__proto__');
  const value = fc.oneof(fc.jsonValue(), hostileText, fc.constantFrom('unknown', '2026-01-02T03:04:05Z', 0.5, null));
  const axiom = fc.oneof(
    fc.jsonValue(),
    fc.dictionary(name, value).map((more) => ({ ...MINIMAL, ...more })),
  );
  fc.assert(
    fc.property(fc.oneof(axiom, fc.array(axiom, { maxLength: 3 })), (body) => {
      const text = JSON.stringify(body);
      if (faultsOf(text).length === 0) expect(readAxioms(text, 'json', 'k').drafts.length).toBeGreaterThan(0);
    }),
    { numRuns: 500 },
  );
});

test('what was said comes back from the event', () => {
  const maybe = <T>(made: fc.Arbitrary<T>) => fc.option(made);
  const double = fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number));
  const axiom = fc.record({
    source_id: hostileText,
    domain: hostileText,
    status: maybe(hostileText),
    metric_value: maybe(double),
    anomaly_score: double,
    entity_type: maybe(hostileText),
    entity_id: maybe(hostileText),
    correlation_id: maybe(hostileText),
    payload: fc.jsonValue().map((made) => JSON.parse(JSON.stringify(made)) as unknown),
  });
  fc.assert(
    fc.property(axiom, (said) => {
      const recorded = { ...read(said).drafts[0], seq: 3, recorded_at: 'then', occurred_at: 'earlier' };
      const { event_id, seq, recorded_at, emitted_at, ...rest } = axiomOf(recorded as unknown as JournalEvent);
      expect(rest).toEqual(said);
      expect([seq, recorded_at, emitted_at]).toEqual([3, 'then', 'earlier']);
      expect(event_id).toBe(recorded.event_id);
    }),
  );
});
