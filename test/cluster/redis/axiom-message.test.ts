import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DraftEvent } from '../../../journal/index.ts';
import { type AxiomMessage, axiomFields, axiomOfEntry, type StreamEntry } from '../../../src/cluster/redis/index.ts';

const stored = (fields: Readonly<Record<string, string>>): StreamEntry => ({
  id: '1-0',
  fields: new Map(Object.entries(fields).map(([name, value]) => [name, Buffer.from(value)])),
});

const text = fc.string({ unit: 'binary', maxLength: 30 });
const nullable = fc.option(text, { nil: null });
const drafts: fc.Arbitrary<DraftEvent> = fc.record({
  event_id: text,
  occurred_at: nullable,
  entity_type: text,
  entity_id: text,
  field: text,
  action: text,
  old_value: nullable,
  new_value: nullable,
  actor: text,
  actor_type: nullable,
  source: nullable,
  correlation_id: nullable,
  metadata: nullable,
});
const messages: fc.Arbitrary<AxiomMessage> = fc.record({
  workspace: fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,62}$/),
  draft: drafts,
  acceptedMs: fc.maxSafeNat(),
});

describe('signals in a stream', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(axiomOfEntry(stored(axiomFields(message)))).toEqual(message);
      }),
    );
  });

  it('that cannot be read are told, with the reason', () => {
    const [message] = fc.sample(messages, { numRuns: 1, seed: 1 });
    if (message === undefined) throw new Error('no sample');
    const good = axiomFields(message);
    const draft = (members: Record<string, unknown>) => JSON.stringify({ ...message.draft, ...members });
    const cases = [
      { ...good, v: '2' },
      { ...good, workspace: 'a/b' },
      { ...good, accepted_ms: 'now' },
      { ...good, draft: '{' },
      { ...good, draft: 'null' },
      { ...good, draft: draft({ event_id: null }) },
      { ...good, draft: draft({ new_value: 7 }) },
      { ...good, draft: draft({ metadata: undefined }) },
      { v: '1', workspace: 'acme', accepted_ms: '1' },
    ];
    for (const fields of cases) expect(axiomOfEntry(stored(fields))).toEqual({ malformed: expect.stringMatching(/./) });
    expect(axiomOfEntry(stored(good))).toEqual(message);
  });

  it('are never the cause of an exception, whatever lies in the stream', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('v', 'workspace', 'accepted_ms', 'draft'), fc.oneof(text, fc.json())),
        (fields) => {
          expect(axiomOfEntry(stored({ ...fields, v: '1' }))).toHaveProperty('malformed');
        },
      ),
    );
  });
});
