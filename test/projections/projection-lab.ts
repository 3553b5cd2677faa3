import fc from 'fast-check';
import type { DraftEvent, Journals } from '../../journal/index.ts';
import {
  type ComplianceRow,
  type RecordedAxiom,
  ProjectionRunner,
  type RunnerOptions,
  UNKNOWN_SOURCE,
  type Verdict,
  verdictDraft,
} from '../../projections/index.ts';
import { HOSTILE_TEXTS } from '../support/events.ts';
import { draft } from '../support/journal-lab.ts';

/** What a verdict is made from, as far as it matters to a projection. */
export function verdict(source: string, changes: Partial<Verdict> = {}): Verdict {
  return {
    axiom: { event_id: `axiom-of-${source}`, seq: 7 },
    source_id: source,
    domain: 'payments',
    status: null,
    metric_value: null,
    anomaly_score: 0.5,
    emitted_at: '2026-01-02T03:04:05.000006Z',
    entity_type: null,
    entity_id: null,
    routed_to_ai: false,
    risk_level: 'low',
    tier: 'rules',
    driver: 'rules',
    narrative: 'As the rules have it.',
    policy_version: 'p1',
    passages: null,
    rule: null,
    model: null,
    prompt_hash: null,
    embedding_model: null,
    fingerprint: null,
    embedding: null,
    similarity: null,
    cached_from: null,
    failures: null,
    timings: null,
    ...changes,
  };
}

/** The event of a verdict; `eventId` in the place of the one that follows from the source. */
export function verdictEvent(source: string, changes: Partial<Verdict> = {}, eventId?: string): DraftEvent {
  const made = verdictDraft(verdict(source, changes), null);
  return eventId === undefined ? made : { ...made, event_id: eventId };
}

export function axiomEvent(source: string): Pick<RecordedAxiom, 'event_id'> & DraftEvent {
  return draft({
    event_id: `axiom-of-${source}`,
    entity_type: 'indelible.axiom',
    entity_id: source,
    action: 'insert',
    new_value: '{"domain":"payments","anomaly_score":0.5}',
  }) as DraftEvent & { event_id: string };
}

const text = fc.constantFrom(...HOSTILE_TEXTS, 'plain text');
const maybe = <T>(some: fc.Arbitrary<T>) => fc.option(some, { freq: 2 });
const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(0, 1, 0.1, 1e21, 5e-324));
const time = fc.constantFrom(
  '2026-01-02T03:04:05.000006Z',
  '1969-12-31T23:59:59.999999Z',
  '9999-12-31T23:59:59.999999Z',
);

/** A verdict on one of a few sources, with whatever a text or a number can be. */
export const verdicts: fc.Arbitrary<Verdict> = fc
  .record({
    source_id: fc.constantFrom(UNKNOWN_SOURCE, 'a', 'b', 'c', ...HOSTILE_TEXTS.slice(1, 4)),
    axiom: fc.record({ event_id: text, seq: maybe(fc.nat()) }),
    domain: text,
    status: maybe(text),
    metric_value: maybe(number),
    anomaly_score: number,
    emitted_at: time,
    entity_type: maybe(text),
    entity_id: maybe(text),
    routed_to_ai: fc.boolean(),
    risk_level: fc.constantFrom('low', 'medium', 'high', 'critical'),
    tier: fc.constantFrom('threshold', 'cache', 'model', 'rules'),
    driver: text,
    narrative: text,
    rule: maybe(text),
    model: maybe(text),
    prompt_hash: maybe(text),
    similarity: maybe(number),
    cached_from: maybe(text),
    failures: maybe(
      fc.array(
        fc.record(
          { tier: fc.constantFrom('cache', 'model'), cause: text, detail: text },
          { requiredKeys: ['tier', 'cause'] },
        ),
        { maxLength: 2 },
      ),
    ),
  })
  .map((made) => verdict(made.source_id, made as Partial<Verdict>));

/** A runner that folds when it is asked to. */
export function manualRunner(journals: Journals, more: Partial<RunnerOptions> = {}): ProjectionRunner {
  return new ProjectionRunner({
    journals,
    isAutomatic: false,
    graceMs: 3_600_000,
    retryMs: 5,
    observer: {},
    ...more,
  });
}

/** First write wins, in the plainest way there is. */
export function firstOfEach(rows: readonly ComplianceRow[]): ComplianceRow[] {
  const seen = new Set<string>();
  return rows.filter(({ source_id }) => {
    if (source_id === UNKNOWN_SOURCE) return true;
    const isFirst = !seen.has(source_id);
    seen.add(source_id);
    return isFirst;
  });
}
