import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { objectMembers } from '../../projections/entity-state.ts';
import { applyToEntityState, emptyEntityState, foldEntityState } from '../../projections/index.ts';
import { type EventSpec, eventSpec, journalOf, plainSpec } from '../support/events.ts';

function fold(...changes: Partial<EventSpec>[]) {
  const state = foldEntityState(journalOf(changes.map(plainSpec)));
  const values = Object.fromEntries(Object.entries(state.fields).map(([name, field]) => [name, field.value]));
  return { exists: state.exists, values };
}

describe('foldEntityState', () => {
  it('does not exist before its first event', () => {
    expect(foldEntityState([])).toEqual({ exists: false, fields: {}, events: 0, first_seq: null, last_seq: null });
  });

  it('replaces all fields by the members of an object', () => {
    expect(
      fold(
        { field: 'old', new_value: '1' },
        { action: 'insert', new_value: '{"a":12345678901234567890,"b":{"c":[1.0]}}' },
      ),
    ).toEqual({ exists: true, values: { a: '12345678901234567890', b: '{"c":[1.0]}' } });
    expect(fold({ field: 'old', new_value: '1' }, { new_value: '{}' })).toEqual({ exists: true, values: {} });
  });

  it('sets the field * to any other value', () => {
    for (const value of ['"x"', '1e400', '[{"a":1}]', 'null', 'false']) {
      expect(fold({ field: 'a', new_value: '1' }, { new_value: value })).toEqual({
        exists: true,
        values: { a: '1', '*': value },
      });
    }
  });

  it('leaves the fields alone where a whole-entity event has no value', () => {
    expect(fold({ field: 'a', new_value: '1' }, { action: 'approve' })).toEqual({ exists: true, values: { a: '1' } });
  });

  it('sets and removes single fields, absent and null values apart', () => {
    expect(
      fold(
        { field: 'a', new_value: '1' },
        { field: 'b', new_value: '2' },
        { field: 'a', action: 'delete' },
        { field: 'c', new_value: null },
        { field: 'd', new_value: 'null' },
      ),
    ).toEqual({ exists: true, values: { b: '2', c: null, d: 'null' } });
  });

  it('ends with the deletion of the entity, and begins anew with a later event', () => {
    const gone = [
      { field: 'a', new_value: '1' },
      { action: 'delete', new_value: '{"a":1}' },
    ];
    expect(fold(...gone)).toEqual({ exists: false, values: {} });
    expect(fold(...gone, { field: 'b', new_value: '2' })).toEqual({ exists: true, values: { b: '2' } });
    expect(fold(...gone, { action: 'insert', new_value: '{"c":3}' })).toEqual({ exists: true, values: { c: '3' } });
    expect(fold(...gone, { field: 'a', action: 'delete' })).toEqual({ exists: false, values: {} });
    expect(fold({ field: 'a', action: 'delete' })).toEqual({ exists: true, values: {} });
  });

  it('says which event set a field', () => {
    const events = journalOf([
      plainSpec({ new_value: '{"a":1,"b":2}' }),
      plainSpec({ field: 'b', new_value: '3', actor: 'bob', occurred_at: '2026-05-05T00:00:00.000001Z' }),
    ]);
    expect(foldEntityState(events).fields).toEqual({
      a: { value: '1', seq: 0, occurred_at: '2026-01-02T03:04:05.000000Z', actor: 'ann' },
      b: { value: '3', seq: 1, occurred_at: '2026-05-05T00:00:00.000001Z', actor: 'bob' },
    });
  });

  it('takes any name for a field', () => {
    const state = foldEntityState(
      journalOf([plainSpec({ new_value: '{"__proto__":1}' }), plainSpec({ field: 'constructor', new_value: '2' })]),
    );
    expect(Object.entries(state.fields).map(([name, field]) => [name, field.value])).toEqual([
      ['__proto__', '1'],
      ['constructor', '2'],
    ]);
    expect(emptyEntityState().fields.toString).toBeUndefined();
  });

  it('is the same in one go and piece by piece, and leaves the events alone', () => {
    fc.assert(
      fc.property(fc.array(eventSpec), fc.nat(), (specs, cut) => {
        const events = journalOf(specs);
        const before = structuredClone(events);
        const state = foldEntityState(events.slice(0, cut));
        for (const event of events.slice(cut)) applyToEntityState(state, event);
        expect(state).toEqual(foldEntityState(events));
        expect(events).toEqual(before);
      }),
    );
  });
});

describe('objectMembers', () => {
  it('cuts compact text into its members to the letter', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { noNullPrototype: true }), (object) => {
        const expected = Object.entries(object).map(([name, value]) => [name, JSON.stringify(value)]);
        expect(objectMembers(JSON.stringify(object))).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it('takes any white space between', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true }), (object) => {
        const members = objectMembers(` \t\r\n${JSON.stringify(object, null, ' \t')}`);
        const parsed = members?.map(([name, value]) => [name, JSON.parse(value)]);
        expect(parsed).toEqual(Object.entries(JSON.parse(JSON.stringify(object))));
      }),
    );
  });

  it('keeps numbers as they stand', () => {
    const text = '{"a":1.0,"b":-0,"c":1E400,"d":0.10000000000000000001,"e":true}';
    expect(objectMembers(text)?.map(([, value]) => value)).toEqual([
      '1.0',
      '-0',
      '1E400',
      '0.10000000000000000001',
      'true',
    ]);
  });

  it('is undefined for other values', () => {
    for (const text of ['1', '"{}"', '[{}]', 'null', 'true']) expect(objectMembers(text)).toBeUndefined();
  });
});
