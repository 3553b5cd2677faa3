import type { BoundKind, TableField } from '../journal/index.ts';

/** The first row by seq of each key is kept; of rows whose key is NULL every one. */
type Unique = {
  kind: 'unique';
  /** SQL over the columns of a row. */
  keySql: string;
};

/** Rows are partial sums: those of the same group add up, and nothing else identifies them. */
type Additive = { kind: 'additive'; groupBy: readonly string[]; sums: readonly string[] };

/**
 * A rule from events to rows. Pure: SQL over whatever relation holds the events, so that the same text folds segments,
 * the durable tail, and the view `journal` of a query.
 */
export type Projection = {
  /** Of its tables and its view. */
  name: string;
  /** What the view shows, in its order. */
  columns: readonly ProjectionColumn[];
  /** Every row has a column `seq` in its table: its event's position, or of the last event that it counts. */
  combine: Unique | Additive;
  /** Bounds in the statistics, beside those of `seq`. */
  bounds: Readonly<Record<string, BoundKind>>;
  /**
   * SELECT of the rows that the events give, with the columns of `tableColumns`: one row an event, or one a group.
   * @param events a relation with the columns of an event, in parentheses or by name
   */
  foldSql(events: string): string;
};

export type ProjectionColumn = { name: string; type: Exclude<TableField['type'], 'binary'> };

const SEQ: ProjectionColumn = { name: 'seq', type: 'long' };

/** What the table holds: the view's columns, and `seq` where the view has none. */
export function tableColumns({ columns }: Projection): ProjectionColumn[] {
  return columns.some(({ name }) => name === 'seq') ? [...columns] : [...columns, SEQ];
}

/**
 * SELECT of what the events add to the rows that are there.
 * @param known the rows up to those events, as a relation; undefined: none
 */
export function newRowsSql({ combine, foldSql }: Projection, events: string, known: string | undefined): string {
  if (combine.kind === 'additive') return foldSql(events);
  const { keySql } = combine;
  const rows = foldSql(events);
  // Narrow, so that nothing of a row is made but its key. Of the keys that are NULL each position is a group.
  const firsts = `SELECT min(seq) AS seq FROM (SELECT seq, ${keySql} AS key FROM (${rows})) GROUP BY key, CASE WHEN key IS NULL THEN seq END`;
  const added = `SELECT * FROM (${rows}) WHERE seq IN (${firsts})`;
  if (known === undefined) return added;
  // A NULL equals nothing: those rows stay.
  return `SELECT * FROM (${added}) ANTI JOIN (SELECT ${keySql} AS taken FROM ${known}) ON ${keySql} = taken`;
}

/**
 * SELECT of what a reader sees: the rows of the table, and those that newer events give.
 * @param table the table's rows as a relation; undefined: it has none
 * @param newer events after the table's position, as a relation
 */
export function viewSql(projection: Projection, table: string | undefined, newer: string): string {
  const fresh = newRowsSql(projection, newer, table);
  const rows = table === undefined ? fresh : `SELECT * FROM ${table} UNION ALL BY NAME (${fresh})`;
  const columns = projection.columns.map(({ name }) => name).join(', ');
  return `SELECT ${columns} FROM (${combinedSql(projection, `(${rows})`)})`;
}

/**
 * SELECT of the rows that a rebuild cannot make, because retention removed their events.
 * @param old the rows of the version before
 * @param made those that were made of the events that are left; undefined: none
 */
export function carriedSql({ combine }: Projection, old: string, made: string | undefined, firstSeq: number) {
  if (combine.kind === 'unique') return `SELECT * FROM ${old} WHERE seq < ${firstSeq}`;
  const { groupBy, sums } = combine;
  const groups = groupBy.join(', ');
  const plus = `SELECT ${groups}, ${sums.join(', ')} FROM ${old}`;
  const minus = `SELECT ${groups}, ${sums.map((name) => `-${name} AS ${name}`).join(', ')} FROM ${made}`;
  const left = sums.map((name) => `sum(${name})::BIGINT AS ${name}`).join(', ');
  const all = made === undefined ? plus : `${plus} UNION ALL ${minus}`;
  const isLeft = sums.map((name) => `${name} > 0`).join(' OR ');
  return `SELECT *, ${firstSeq - 1}::BIGINT AS seq FROM (SELECT ${groups}, ${left} FROM (${all}) GROUP BY ${groups}) WHERE ${isLeft}`;
}

/** SELECT of the same content in as few rows as there can be, with the columns of the table. */
export function combinedSql(projection: Projection, rows: string): string {
  const { combine } = projection;
  const names = tableColumns(projection).map(({ name }) => name);
  if (combine.kind === 'unique') return `SELECT ${names.join(', ')} FROM ${rows}`;
  const { groupBy, sums } = combine;
  const selected = names.map((name) => {
    if (groupBy.includes(name)) return name;
    return sums.includes(name) ? `sum(${name})::BIGINT AS ${name}` : `max(${name}) AS ${name}`;
  });
  return `SELECT ${selected.join(', ')} FROM ${rows} GROUP BY ${groupBy.join(', ')}`;
}
