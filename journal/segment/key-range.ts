import { sqlString } from '../duckdb/index.ts';
import { compareUtf8 } from '../utf8-order.ts';

/** Where an event stands in a segment: by entity_type and entity_id in the order of their UTF-8 bytes, then by seq. */
export type EntityKey = { entityType: string; entityId: string; seq: number };

/** From (inclusive) to (exclusive); null: open on that side. */
export type KeyRange = { from: EntityKey | null; to: EntityKey | null };

/**
 * Conditions that together hold of exactly the events in the range, no two of them of the same event. Each is a
 * conjunction on single columns, by which Parquet's row groups can be told apart; the range itself is not.
 */
export function rangeConditions({ from, to }: KeyRange): string[] {
  if (from && to && from.entityType === to.entityType) {
    const type = `entity_type = ${sqlString(from.entityType)}`;
    return idConditions(from, to).map((condition) => `${type} AND ${condition}`);
  }
  const above = from && `entity_type > ${sqlString(from.entityType)}`;
  const below = to && `entity_type < ${sqlString(to.entityType)}`;
  const conditions = [[above, below].filter(Boolean).join(' AND ') || 'true'];
  for (const [type, ids] of [
    [from?.entityType, from && idConditions(from, null)],
    [to?.entityType, to && idConditions(null, to)],
  ] as const) {
    for (const condition of ids ?? []) conditions.push(`entity_type = ${sqlString(type ?? '')} AND ${condition}`);
  }
  return conditions;
}

/** The same within one entity_type. */
function idConditions(from: EntityKey | null, to: EntityKey | null): string[] {
  if (from && to && from.entityId === to.entityId) {
    return [`entity_id = ${sqlString(from.entityId)} AND seq >= ${from.seq} AND seq < ${to.seq}`];
  }
  const above = from && `entity_id ${from.seq === 0 ? '>=' : '>'} ${sqlString(from.entityId)}`;
  const below = to && `entity_id < ${sqlString(to.entityId)}`;
  const conditions = [[above, below].filter(Boolean).join(' AND ')];
  if (from && from.seq > 0) conditions.push(`entity_id = ${sqlString(from.entityId)} AND seq >= ${from.seq}`);
  if (to && to.seq > 0) conditions.push(`entity_id = ${sqlString(to.entityId)} AND seq < ${to.seq}`);
  return conditions;
}

/** Orders as DuckDB and Parquet do. */
export function compareKeys(a: EntityKey, b: EntityKey): number {
  return compareUtf8(a.entityType, b.entityType) || compareUtf8(a.entityId, b.entityId) || a.seq - b.seq;
}
