import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_HOLD_TABLE, foldHolds, holdId, type SystemEvent } from '../../projections/index.ts';

const event = (seq: number, more: Partial<SystemEvent>): SystemEvent => ({
  seq,
  entity_type: 'hold',
  entity_id: holdId('acme', 'case-7'),
  action: 'insert',
  new_value: JSON.stringify({ workspace: 'acme', name: 'case-7', reason: `reason ${seq}` }),
  actor: `operator ${seq}`,
  recorded_at: `2026-01-01T00:00:00.00000${seq % 10}Z`,
  ...more,
});

describe('holds', () => {
  it('stand from the event that makes one to the one that releases it, and may be made again', () => {
    const events = [event(0, {}), event(1, {}), event(2, { action: 'delete', new_value: null })];
    const made = foldHolds(EMPTY_HOLD_TABLE, events.slice(0, 2));
    expect([...made.holds.values()]).toMatchObject([{ reason: 'reason 0', made_by: 'operator 0', released_at: null }]);
    const released = foldHolds(made, events);
    expect([...released.holds.values()]).toMatchObject([{ reason: 'reason 0', released_by: 'operator 2' }]);
    const again = foldHolds(released, [event(3, { action: 'delete', new_value: null }), event(4, {})]);
    expect([...again.holds.values()]).toMatchObject([{ reason: 'reason 4', released_at: null }]);
  });

  it('are the same folded at once, bit by bit, and again', () => {
    const kinds = fc.record({
      entity_type: fc.constantFrom('hold', 'key', 'workspace'),
      action: fc.constantFrom('insert', 'delete', 'update'),
      name: fc.constantFrom('a', 'b'),
    });
    fc.assert(
      fc.property(fc.array(kinds, { maxLength: 20 }), fc.nat(20), (made, cut) => {
        const events = made.map(({ entity_type, action, name }, seq) => {
          const new_value = JSON.stringify({ workspace: 'acme', name, reason: String(seq) });
          return event(seq, { entity_type, action, entity_id: holdId('acme', name), new_value });
        });
        const whole = foldHolds(EMPTY_HOLD_TABLE, events);
        const parts = foldHolds(foldHolds(EMPTY_HOLD_TABLE, events.slice(0, cut)), events.slice(cut));
        expect(parts).toEqual(whole);
        expect(foldHolds(whole, events)).toEqual(whole);
      }),
    );
  });
});
