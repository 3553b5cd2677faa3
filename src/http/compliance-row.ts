import { z } from '@hono/zod-openapi';
import { AXIOM_TYPE, type ComplianceRow, RISK_LEVELS, TIERS } from '../../projections/index.ts';

const TEXT = z.string();
const MAYBE_TEXT = z.string().nullable();
const SEQ = z.int();
const HREF = z.string().openapi({ format: 'uri-reference' });

/** A verdict as the routes show it: the columns of L6 in their order, what led to it, and where to go from here. */
export const ComplianceEvent = z
  .object({
    id: TEXT.openapi({ description: 'event_id of the verdict.' }),
    source_id: TEXT,
    domain: TEXT,
    status: MAYBE_TEXT,
    metric_value: z.number().nullable(),
    anomaly_score: z.number(),
    routed_to_ai: z
      .boolean()
      .openapi({ description: 'The score reached the threshold, whichever tier then answered.' }),
    risk_level: z.enum(RISK_LEVELS),
    driver_used: TEXT.openapi({ description: "Who answered: threshold, cache, rules, or the model's provider." }),
    audit_narrative: TEXT,
    emitted_at: TEXT,
    created_at: TEXT.openapi({ description: 'When the verdict was recorded.' }),
    seq: SEQ.openapi({ description: 'Of the verdict.' }),
    axiom_event_id: TEXT,
    axiom_seq: SEQ.nullable().openapi({ description: 'null: it was judged before it had a position.' }),
    tier: z.enum(TIERS),
    rule: MAYBE_TEXT,
    model: MAYBE_TEXT,
    policy_version: TEXT,
    prompt_hash: MAYBE_TEXT,
    similarity: z.number().nullable(),
    cached_from: MAYBE_TEXT,
    failures: z
      .array(z.object({ tier: TEXT, cause: TEXT, detail: TEXT.optional() }))
      .nullable()
      .openapi({ description: 'Tiers that were asked before and could not answer.' }),
    entity_type: MAYBE_TEXT,
    entity_id: MAYBE_TEXT,
    links: z
      .object({
        self: HREF,
        axiom: HREF,
        verdict: HREF,
        signals: HREF.openapi({ description: 'Every signal of this source.' }),
        history: HREF.optional().openapi({ description: 'Of the entity that the signal is about.' }),
        cached_from: HREF.optional().openapi({ description: 'The verdict that was reused.' }),
      })
      .openapi({ description: 'Paths of this service.' }),
  })
  .openapi('ComplianceEvent');

/** A row as its JSON has it. */
export function complianceView(row: ComplianceRow): Record<string, unknown> {
  const failures = row.failures === null ? null : (JSON.parse(row.failures) as unknown);
  return { ...row, failures, links: linksOf(row) };
}

export function compliancePath(sourceId: string): string {
  return `/compliance/events/${encodeURIComponent(sourceId)}`;
}

export function eventPath(eventId: string): string {
  return `/journal/events/${encodeURIComponent(eventId)}`;
}

export function historyPath(entityId: string, entityType: string | null): string {
  const type = entityType === null ? '' : `?type=${encodeURIComponent(entityType)}`;
  return `/journal/entity/${encodeURIComponent(entityId)}${type}`;
}

function linksOf(row: ComplianceRow): Record<string, string> {
  const { id, source_id, axiom_event_id, entity_type, entity_id, cached_from } = row;
  return {
    self: compliancePath(source_id),
    axiom: eventPath(axiom_event_id),
    verdict: eventPath(id),
    signals: historyPath(source_id, AXIOM_TYPE),
    ...(entity_id === null ? {} : { history: historyPath(entity_id, entity_type) }),
    ...(cached_from === null ? {} : { cached_from: eventPath(cached_from) }),
  };
}
