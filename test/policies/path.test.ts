import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readerOf, SIGNAL_PATH } from '../../src/policies/path.ts';

const read = (path: string, json: string) => readerOf(path)(JSON.parse(json) as unknown);

/** Every value inside a value, with the path that leads to it. Empty names cannot be written as a path. */
function* valuesIn(value: unknown, names: readonly string[] = []): Generator<{ path: string; value: unknown }> {
  if (names.length > 0) yield { path: names.map((name) => name.replaceAll(/[.\\]/g, '\\$&')).join('.'), value };
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) if (name !== '') yield* valuesIn(member, [...names, name]);
}

describe('a path', () => {
  it('goes into objects by name and into lists by index', () => {
    const json = '{"payload":{"region":{"name":"eu"},"list":[{"a":1},[2,3]],"0":"zero"}}';
    expect(read('payload.region.name', json)).toBe('eu');
    expect(read('payload.list.0.a', json)).toBe(1);
    expect(read('payload.list.1.1', json)).toBe(3);
    expect(read('payload.0', json)).toBe('zero');
  });

  it('takes a dot or a backslash within a name after a backslash, and any other character as it is', () => {
    const json = String.raw`{"payload":{"net.rx":1,"net":{"rx":2},"a\\b":3,"a b/ü\"[0]":4}}`;
    expect(read(String.raw`payload.net\.rx`, json)).toBe(1);
    expect(read('payload.net.rx', json)).toBe(2);
    expect(read(String.raw`payload.a\\b`, json)).toBe(3);
    expect(read('payload.a b/ü"[0]', json)).toBe(4);
  });

  it('finds nothing where nothing is: no inherited member, no length, nothing inside a text, no other spelling of an index', () => {
    const json = '{"payload":{"list":[1,2],"text":"abc","zero":0,"none":null,"no":false}}';
    const absent = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'list.length', 'list.map', 'list.-1'];
    absent.push('list.2', 'list.01', 'list.1e0', 'list.__proto__', 'text.0', 'text.length', 'zero.x', 'none.x', 'no.x');
    for (const name of [...absent, 'x', 'x.y', 'list.0.x', '__proto__.toString', 'constructor.prototype']) {
      expect(read(`payload.${name}`, json), name).toBeUndefined();
    }
    for (const json of ['null', '1', '"x"', 'true', '[]', '{}']) expect(read('status', json)).toBeUndefined();
  });

  it('reads a member that its sender called __proto__ like any other', () => {
    expect(read('payload.__proto__.a', '{"payload":{"__proto__":{"a":1}}}')).toBe(1);
  });

  it('leads to every value of every JSON value, and nothing it says throws', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (context, path) => {
        for (const inside of valuesIn(context)) expect(readerOf(inside.path)(context)).toBe(inside.value);
        readerOf(path)(context);
      }),
    );
  });

  it('begins with a member of a signal, ends there where that holds one value, and has no empty name', () => {
    const good = ['status', 'source_id', 'anomaly_score', 'payload', 'payload.a', 'payload.0', 'payload.a b.c'];
    good.push(String.raw`payload.a\.b`, String.raw`payload.a\\.b`, 'payload.status');
    for (const path of good) expect(SIGNAL_PATH.test(path), path).toBe(true);
    const bad = ['', '.', 'stauts', 'Status', 'status.a', 'status.', '.status', 'payload.', 'payload..a', 'payloads'];
    bad.push(String.raw`payload.a\b`, 'payload.a\\', 'payload.a.', 'event_id', 'seq', '__proto__', 'status\n');
    for (const path of bad) expect(SIGNAL_PATH.test(path), path).toBe(false);
  });
});
