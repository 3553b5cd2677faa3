import fc from 'fast-check';
import { expect, test } from 'vitest';
import { axiomOf, type Verdict, verdictDraft, verdictOf } from '../../projections/index.ts';
import { verdict, verdicts } from './projection-lab.ts';

const reread = (made: Verdict) => {
  const { entity_id, new_value } = verdictDraft(made, null);
  return verdictOf({ entity_id, new_value });
};

test('a verdict is read from its event as JSON has it', () => {
  fc.assert(
    fc.property(verdicts, (made) => {
      expect(reread(made)).toEqual(JSON.parse(JSON.stringify(made)));
    }),
  );
});

test('of a signal that has no position yet nothing is said of one', () => {
  const made = verdict('s', { axiom: { event_id: 'axiom-1', seq: null } });
  const said = JSON.parse(String(verdictDraft(made, null).new_value)) as Verdict;
  expect(said.axiom).toEqual({ event_id: 'axiom-1' });
  expect(reread(made).axiom).toEqual({ event_id: 'axiom-1', seq: null });
});

test('a verdict that does not name its signal is read all the same', () => {
  expect(verdictOf({ entity_id: 's', new_value: '{}' }).axiom).toEqual({ event_id: '', seq: null });
});

test('a signal is the same before it has its position and after', () => {
  const event = {
    event_id: 'axiom-1',
    recorded_at: '2026-01-02T03:04:06.000000Z',
    entity_id: 'meter-7',
    occurred_at: '2026-01-02T03:04:05.000000Z',
    correlation_id: null,
    new_value: '{"domain":"water","anomaly_score":0.9,"payload":[1]}',
  };
  expect(axiomOf({ ...event, seq: null })).toEqual({ ...axiomOf({ ...event, seq: 7 }), seq: null });
});
