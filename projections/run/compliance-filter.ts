import { type SqlValue, utcTextSql } from '../../journal/index.ts';
import { COMPLIANCE_EVENTS, type ComplianceRow } from '../compliance-events.ts';
import type { RowsFile } from './projection-table.ts';

/** What is absent asks nothing. */
export type ComplianceFilter = {
  /** from ≤ emitted_at < to; UTC with microseconds. */
  from?: string | undefined;
  to?: string | undefined;
  /** routed_to_ai. */
  flagged?: boolean | undefined;
  domain?: string | undefined;
  riskLevel?: string | undefined;
  status?: string | undefined;
  driver?: string | undefined;
  sourceId?: string | undefined;
  axiomEventId?: string | undefined;
  seq?: number | undefined;
};

/** Select list of a row as rowOf reads it. */
export const ROW_SELECT = COMPLIANCE_EVENTS.columns
  .map(({ name, type }) => (type === 'timestamp' ? `${utcTextSql(name)} AS ${name}` : name))
  .join(', ');

/** From a row of ROW_SELECT. */
export function rowOf(row: Record<string, unknown>): ComplianceRow {
  const { seq, axiom_seq: axiomSeq } = row;
  return { ...(row as ComplianceRow), seq: Number(seq), axiom_seq: axiomSeq === null ? null : Number(axiomSeq) };
}

const EQUALS = {
  domain: 'domain',
  riskLevel: 'risk_level',
  status: 'status',
  driver: 'driver_used',
  sourceId: 'source_id',
  axiomEventId: 'axiom_event_id',
  flagged: 'routed_to_ai',
  seq: 'seq',
} as const satisfies Partial<Record<keyof ComplianceFilter, keyof ComplianceRow>>;

const EQUAL_ENTRIES = Object.entries(EQUALS) as [keyof typeof EQUALS, keyof ComplianceRow][];

/** A condition over the columns with its parameters, by position. */
export function filterSql(filter: ComplianceFilter): { sql: string; params: SqlValue[] } {
  const conditions: string[] = [];
  const params: SqlValue[] = [];
  const add = (condition: string, value: SqlValue) => {
    params.push(value);
    conditions.push(`${condition} $${params.length}`);
  };
  for (const [member, column] of EQUAL_ENTRIES) {
    const wanted = filter[member];
    if (wanted !== undefined) add(`${column} =`, wanted);
  }
  if (filter.from !== undefined) add('emitted_at >= CAST(', filter.from);
  if (filter.to !== undefined) add('emitted_at < CAST(', filter.to);
  const sql = conditions.map((text) => (text.includes('CAST(') ? `${text} AS TIMESTAMPTZ)` : text)).join(' AND ');
  return { sql: sql || 'true', params };
}

/** The same of a row in memory. Times of one form sort as text. */
export function matchesFilter(filter: ComplianceFilter, row: ComplianceRow): boolean {
  if (filter.from !== undefined && row.emitted_at < filter.from) return false;
  if (filter.to !== undefined && row.emitted_at >= filter.to) return false;
  return EQUAL_ENTRIES.every(([member, column]) => filter[member] === undefined || filter[member] === row[column]);
}

/** Whether a file may hold such rows, by its statistics. */
export function mayHoldRows({ min, max, firstSeq, lastSeq }: RowsFile, { from, to, seq }: ComplianceFilter): boolean {
  if (seq !== undefined && (seq < firstSeq || seq > lastSeq)) return false;
  if (from !== undefined && max.emitted_at !== undefined && max.emitted_at < from) return false;
  return !(to !== undefined && min.emitted_at !== undefined && min.emitted_at >= to);
}
