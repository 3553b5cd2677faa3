import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../journal/index.ts';
import { decodeCursor, encodeCursor } from '../../queries/index.ts';

const secret = new Uint8Array(32).fill(7);
const scope = { workspace: 'acme', route: '/journal/recent', filter: { actor: 'ann', order: 'asc', flagged: true } };
const refused = expect.objectContaining({
  kind: 'invalid',
  errors: [expect.objectContaining({ pointer: '/cursor' })],
});

describe('cursor', () => {
  it('carries a position', () => {
    fc.assert(
      fc.property(fc.nat(LIMITS.seqMax), (seq) => {
        const cursor = encodeCursor(secret, scope, seq);
        expect(cursor).toMatch(/^[A-Za-z0-9_-]{30}$/);
        expect(decodeCursor(secret, scope, cursor)).toBe(seq);
      }),
    );
    expect(decodeCursor(secret, scope, encodeCursor(secret, scope, LIMITS.seqMax))).toBe(LIMITS.seqMax);
  });

  it('does not mind the order of the filter, nor parameters that are absent', () => {
    const same = { ...scope, filter: { flagged: true, field: undefined, order: 'asc', actor: 'ann' } };
    expect(decodeCursor(secret, same, encodeCursor(secret, scope, 5))).toBe(5);
  });

  it.each([
    ['workspace', { ...scope, workspace: 'acme2' }],
    ['route', { ...scope, route: '/journal/entity/a' }],
    ['filter value', { ...scope, filter: { ...scope.filter, actor: 'bob' } }],
    ['filter type', { ...scope, filter: { ...scope.filter, flagged: 'true' } }],
    ['further filter', { ...scope, filter: { ...scope.filter, field: 'x' } }],
    ['lost filter', { ...scope, filter: { actor: 'ann', order: 'asc' } }],
    ['moved border', { ...scope, workspace: 'acme/journal', route: '/recent' }],
  ])('is refused under another %s', (_name, other) => {
    const cursor = encodeCursor(secret, scope, 5);
    expect(() => decodeCursor(secret, other, cursor)).toThrow(refused);
  });

  it('is refused under another secret', () => {
    const cursor = encodeCursor(new Uint8Array(32), scope, 5);
    expect(() => decodeCursor(secret, scope, cursor)).toThrow(refused);
  });

  it('is refused when any character is changed, added or missing', () => {
    const cursor = encodeCursor(secret, scope, 123_456_789);
    for (let at = 0; at < cursor.length; at += 1) {
      const changed = cursor.slice(0, at) + (cursor[at] === 'A' ? 'B' : 'A') + cursor.slice(at + 1);
      expect(() => decodeCursor(secret, scope, changed)).toThrow(refused);
    }
    for (const changed of ['', cursor.slice(1), cursor.slice(0, -1), `${cursor}A`, `${cursor}=`, ` ${cursor}`]) {
      expect(() => decodeCursor(secret, scope, changed)).toThrow(refused);
    }
  });

  it('is refused for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        expect(() => decodeCursor(secret, scope, text)).toThrow(refused);
      }),
    );
  });
});
