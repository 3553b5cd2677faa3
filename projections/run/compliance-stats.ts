import type { Row } from '../../journal/index.ts';
import type { ComplianceRow } from '../compliance-events.ts';
import { type Failure, UNKNOWN_SOURCE } from '../signals.ts';

/** Verdicts alike in these, and how many they are. */
type Group = {
  /** Of created_at in UTC: `2026-01-02T03:00:00Z`. */
  hour: string;
  tier: string;
  risk_level: string;
  routed_to_ai: boolean;
  is_unknown: boolean;
  verdicts: number;
};

type Fallback = { tier: string; cause: string; count: number };

/** Figures of all verdicts of a workspace, each a count of rows of compliance_events. */
export type ComplianceStats = {
  verdicts: number;
  tiers: Record<string, number>;
  risks: Record<string, number>;
  /** Whose score reached the threshold. */
  routed: number;
  /** Without a source_id. */
  unknown: number;
  /** Tiers that could not answer, by cause. A verdict that two failed for counts in both. */
  fallbacks: Fallback[];
  /** Hours in which verdicts were recorded, ascending. */
  hours: { hour: string; verdicts: number; routed: number; cache_hits: number }[];
  /** Every event up to this seq is counted; -1: the journal is empty. */
  position: number;
};

/** Over a relation `rows` of compliance_events; epoch_us: the hour is UTC's, whatever the session's time zone. */
export const GROUPS_SQL = `SELECT strftime(make_timestamp(epoch_us(created_at)), '%Y-%m-%dT%H:00:00Z') AS hour,
  tier, risk_level, routed_to_ai, source_id = '${UNKNOWN_SOURCE}' AS is_unknown, count(*) AS verdicts FROM rows GROUP BY ALL`;

/** The same. */
export const FALLBACKS_SQL = `SELECT failure.tier AS tier, failure.cause AS cause, count(*) AS verdicts FROM (
  SELECT unnest(from_json(failures, '[{"tier":"VARCHAR","cause":"VARCHAR"}]')) AS failure FROM rows WHERE failures IS NOT NULL
) GROUP BY ALL`;

/**
 * @param groups rows of GROUPS_SQL
 * @param fallbacks rows of FALLBACKS_SQL
 * @param fresh what the table does not hold yet
 */
export function statsOf(
  groups: readonly Row[],
  fallbacks: readonly Row[],
  fresh: readonly ComplianceRow[],
  position: number,
): ComplianceStats {
  const all = [...groups.map((row) => ({ ...(row as Group), verdicts: Number(row.verdicts) })), ...fresh.map(groupOf)];
  const hours = new Map<string, ComplianceStats['hours'][number]>();
  const stats = { verdicts: 0, tiers: {}, risks: {}, routed: 0, unknown: 0, position };
  for (const { hour, tier, risk_level, routed_to_ai, is_unknown, verdicts } of all) {
    const routed = routed_to_ai ? verdicts : 0;
    stats.verdicts += verdicts;
    stats.routed += routed;
    if (is_unknown) stats.unknown += verdicts;
    add(stats.tiers, tier, verdicts);
    add(stats.risks, risk_level, verdicts);
    const before = hours.get(hour) ?? { hour, verdicts: 0, routed: 0, cache_hits: 0 };
    hours.set(hour, {
      hour,
      verdicts: before.verdicts + verdicts,
      routed: before.routed + routed,
      cache_hits: before.cache_hits + (tier === 'cache' ? verdicts : 0),
    });
  }
  return {
    ...stats,
    fallbacks: fallbacksOf(fallbacks, fresh),
    hours: [...hours.values()].sort((a, b) => (a.hour < b.hour ? -1 : 1)),
  };
}

function groupOf({ created_at, tier, risk_level, routed_to_ai, source_id }: ComplianceRow): Group {
  const hour = `${created_at.slice(0, 13)}:00:00Z`;
  return { hour, tier, risk_level, routed_to_ai, is_unknown: source_id === UNKNOWN_SOURCE, verdicts: 1 };
}

function fallbacksOf(rows: readonly Row[], fresh: readonly ComplianceRow[]): Fallback[] {
  const counts = new Map<string, Fallback>();
  const note = (tier: string, cause: string, verdicts: number) => {
    const id = JSON.stringify([tier, cause]);
    counts.set(id, { tier, cause, count: (counts.get(id)?.count ?? 0) + verdicts });
  };
  for (const { tier, cause, verdicts } of rows) note(String(tier), String(cause), Number(verdicts));
  for (const { failures } of fresh) {
    for (const { tier, cause } of JSON.parse(failures ?? '[]') as Failure[]) note(tier, cause, 1);
  }
  return [...counts.values()].sort((a, b) => b.count - a.count || (a.tier + a.cause < b.tier + b.cause ? -1 : 1));
}

function add(counts: Record<string, number>, name: string, more: number): void {
  counts[name] = (counts[name] ?? 0) + more;
}
