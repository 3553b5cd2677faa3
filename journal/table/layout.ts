import { type BoundKind, JOURNAL_BOUNDS } from './stats.ts';

export type TableField = {
  name: string;
  type: 'long' | 'string' | 'timestamp' | 'binary' | 'double' | 'boolean' | 'date';
  /** Field ids from the first day keep the way to Iceberg open; they are never reused. */
  fieldId: number;
};

/** What tells one kind of table from another. */
export type TableLayout = {
  /** Of the table below its workspace, with a slash at its end; '' is the journal itself. */
  dir: string;
  schema: readonly TableField[];
  /** Columns that get bounds in the statistics: those that questions filter by, and `seq`. */
  bounds: Readonly<Record<string, BoundKind>>;
  /** The files hold exactly one row for each position from the table's start to its last. */
  isGapFree: boolean;
  /** Rows stay for ever as they were written; other files may hold them. */
  isAppendOnly: boolean;
};

export const JOURNAL_LAYOUT: TableLayout = {
  dir: '',
  schema: [
    { name: 'seq', type: 'long', fieldId: 1 },
    { name: 'event_id', type: 'string', fieldId: 2 },
    { name: 'occurred_at', type: 'timestamp', fieldId: 3 },
    { name: 'recorded_at', type: 'timestamp', fieldId: 4 },
    { name: 'workspace_id', type: 'string', fieldId: 5 },
    { name: 'entity_type', type: 'string', fieldId: 6 },
    { name: 'entity_id', type: 'string', fieldId: 7 },
    { name: 'field', type: 'string', fieldId: 8 },
    { name: 'action', type: 'string', fieldId: 9 },
    { name: 'old_value', type: 'string', fieldId: 10 },
    { name: 'new_value', type: 'string', fieldId: 11 },
    { name: 'actor', type: 'string', fieldId: 12 },
    { name: 'actor_type', type: 'string', fieldId: 13 },
    { name: 'source', type: 'string', fieldId: 14 },
    { name: 'correlation_id', type: 'string', fieldId: 15 },
    { name: 'metadata', type: 'string', fieldId: 16 },
    { name: 'event_hash', type: 'binary', fieldId: 17 },
  ],
  bounds: JOURNAL_BOUNDS,
  isGapFree: true,
  isAppendOnly: true,
};

const SQL_TYPES: Readonly<Record<TableField['type'], string>> = {
  long: 'BIGINT',
  string: 'VARCHAR',
  timestamp: 'TIMESTAMPTZ',
  binary: 'BLOB',
  double: 'DOUBLE',
  boolean: 'BOOLEAN',
  date: 'DATE',
};

/** The type that DuckDB reads and writes for a column. */
export function sqlType({ type }: TableField): string {
  return SQL_TYPES[type];
}

/** SELECT of no rows with the table's columns. */
export function emptySql({ schema }: TableLayout): string {
  return `SELECT ${schema.map((field) => `NULL::${sqlType(field)} AS ${field.name}`).join(', ')} WHERE false`;
}
