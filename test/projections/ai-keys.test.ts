import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EMPTY_AI_KEY_TABLE, foldAiKeys, type SystemEvent } from '../../projections/index.ts';

const event = (seq: number, more: Partial<SystemEvent>): SystemEvent => ({
  seq,
  entity_type: 'ai-key',
  entity_id: 'acme',
  action: 'insert',
  new_value: JSON.stringify({ key_id: `key ${seq}`, provider: 'gemini', model: null, embedding_model: null }),
  actor: `operator ${seq}`,
  recorded_at: `2026-01-01T00:00:00.00000${seq % 10}Z`,
  ...more,
});

test('a key takes the place of the one before, is removed, and may be set again', () => {
  const removal = event(2, { action: 'delete', new_value: null });
  const twice = foldAiKeys(EMPTY_AI_KEY_TABLE, [event(0, {}), event(1, {})]);
  expect([...twice.keys.values()]).toEqual([
    {
      workspace: 'acme',
      key_id: 'key 1',
      provider: 'gemini',
      model: null,
      embedding_model: null,
      set_at: '2026-01-01T00:00:00.000001Z',
      set_by: 'operator 1',
    },
  ]);
  const removed = foldAiKeys(twice, [removal]);
  expect(removed.keys.size).toBe(0);
  expect(foldAiKeys(removed, [event(3, {})]).keys.get('acme')).toMatchObject({ key_id: 'key 3' });
});

test('keys are the same folded at once, bit by bit, and again, and the events before are as they were', () => {
  const kinds = fc.record({
    entity_type: fc.constantFrom('ai-key', 'ai-key', 'key', 'hold'),
    action: fc.constantFrom('insert', 'delete', 'update'),
    entity_id: fc.constantFrom('acme', 'beta'),
  });
  fc.assert(
    fc.property(fc.array(kinds, { maxLength: 20 }), fc.nat(20), (made, cut) => {
      const events = made.map((kind, seq) => event(seq, kind));
      const whole = foldAiKeys(EMPTY_AI_KEY_TABLE, events);
      const first = foldAiKeys(EMPTY_AI_KEY_TABLE, events.slice(0, cut));
      const before = new Map(first.keys);
      expect(foldAiKeys(first, events.slice(cut))).toEqual(whole);
      expect(first.keys).toEqual(before);
      expect(foldAiKeys(whole, events)).toEqual(whole);
      for (const workspace of ['acme', 'beta']) {
        const last = events.findLast(
          ({ entity_type, entity_id, action }) =>
            entity_type === 'ai-key' && entity_id === workspace && action !== 'update',
        );
        const expected = last?.action === 'insert' ? `key ${last.seq}` : undefined;
        expect(whole.keys.get(workspace)?.key_id).toBe(expected);
      }
    }),
  );
});
