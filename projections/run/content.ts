import { emptySql, type Run, sqlStrings, utcTextSql } from '../../journal/index.ts';
import { combinedSql, type Projection, type ProjectionColumn, tableColumns } from '../definition.ts';
import type { VersionContent } from './certificate.ts';
import { layoutOf } from './versions.ts';

/** The rows of these Parquet files as a relation; undefined: there are none. */
export function rowsRelation(projection: Projection, paths: readonly string[]): string | undefined {
  if (paths.length === 0) return undefined;
  const columns = tableColumns(projection).map(({ name }) => name);
  return `(SELECT ${columns.join(', ')} FROM read_parquet(${sqlStrings(paths)}, hive_partitioning=false))`;
}

/**
 * A row's text: a JSON array of its columns in the table's order, times and days as text, as DuckDB's json_array writes
 * it. Of partial sums the position of the last event is no content: it depends on how the events were folded.
 */
function rowTextSql(projection: Projection): string {
  const isAdditive = projection.combine.kind === 'additive';
  const columns = tableColumns(projection).filter(({ name }) => !isAdditive || name !== 'seq');
  return `json_array(${columns.map(valueSql).join(', ')})::VARCHAR`;
}

function valueSql({ name, type }: ProjectionColumn): string {
  if (type === 'timestamp') return utcTextSql(name);
  return type === 'date' ? `${name}::VARCHAR` : name;
}

export type Content = Omit<VersionContent, 'version'>;
export const NO_CONTENT: Content = { rows: 0, last_seq: -1, content_hash: '0'.repeat(32) };

/** Of two sets of rows together, none of which is in both. */
export function added(a: Content, b: Content): Content {
  const sum = (BigInt(`0x${a.content_hash}`) + BigInt(`0x${b.content_hash}`)) % (HALF * HALF);
  return { rows: a.rows + b.rows, last_seq: Math.max(a.last_seq, b.last_seq), content_hash: hashText(sum) };
}

function hashText(sum: bigint): string {
  return sum.toString(16).padStart(32, '0');
}

const HALF = 1n << 64n;

/** What the rows of a relation are, whatever their order and their files. */
export async function contentOf(run: Run, projection: Projection, relation: string | undefined): Promise<Content> {
  if (relation === undefined) return NO_CONTENT;
  const texts = `SELECT seq, sha256(${rowTextSql(projection)}) AS hash FROM (${combinedSql(projection, relation)})`;
  // In two halves: DuckDB adds up 64 bits exactly.
  const [row] = await run(
    `SELECT count(*) AS rows, coalesce(max(seq), -1) AS last_seq, coalesce(sum(${halfSql(1)}), 0)::VARCHAR AS high,
       coalesce(sum(${halfSql(17)}), 0)::VARCHAR AS low FROM (${texts})`,
  );
  const sum = (BigInt(String(row?.high)) * HALF + BigInt(String(row?.low))) % (HALF * HALF);
  return {
    rows: Number(row?.rows),
    last_seq: Number(row?.last_seq),
    content_hash: hashText(sum),
  };
}

function halfSql(from: number): string {
  return `('0x' || substr(hash, ${from}, 16))::UBIGINT`;
}

/** Positions of the first rows that only one of the relations holds. */
export async function differingSeqs(
  run: Run,
  projection: Projection,
  ...relations: (string | undefined)[]
): Promise<number[]> {
  const none = `(${emptySql(layoutOf(projection, 1))})`;
  const [left, right] = relations.map(
    (relation) => `SELECT seq, ${rowTextSql(projection)} AS text FROM (${combinedSql(projection, relation ?? none)})`,
  );
  const rows = await run(
    `SELECT DISTINCT seq FROM ((FROM (${left}) EXCEPT ALL FROM (${right})) UNION ALL (FROM (${right}) EXCEPT ALL FROM (${left})))
     ORDER BY seq LIMIT ${DIFFERING_MAX}`,
  );
  return rows.map(({ seq }) => Number(seq));
}

const DIFFERING_MAX = 10;
