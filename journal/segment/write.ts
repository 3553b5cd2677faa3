import { stat } from 'node:fs/promises';
import type { Engine, Row, SqlValue } from '../duckdb/index.ts';
import { assert, IndelibleError } from '../errors.ts';
import { type ColumnStatistics, deltaStats, TABLE_SCHEMA } from '../table/index.ts';
import { checkSegment } from './check.ts';
import { sqlString, walSql } from './relation.ts';

/** Rows of a row group: what a question for one entity reads and unpacks at least. */
const ROW_GROUP_ROWS = 8192;
const FIELD_IDS = TABLE_SCHEMA.map(({ name, fieldId }) => `${name}: ${fieldId}`).join(', ');
const ORDER = 'entity_type, entity_id, seq';

export type SegmentPlan = {
  workspace: string;
  firstSeq: number;
  lastSeq: number;
  /** event_hash at firstSeq − 1. */
  prevHash: string;
  outPath: string;
};
/** A closed WAL file. */
export type WalSource = { path: string; lineBytesMax: number };
export type WrittenSegment = { plan: SegmentPlan; rows: number; sizeBytes: number; stats: string };

type Run = (sql: string, params?: readonly SqlValue[]) => Promise<Row[]>;

/**
 * Turns a closed WAL file into one Parquet segment for each workspace in it, sorted by entity, with statistics. The
 * files are local and not yet durable.
 * @throws corrupt where a segment does not hold exactly the events it was asked for, as they were receipted.
 */
export async function writeSegments(
  engine: Engine,
  wal: WalSource,
  plans: readonly SegmentPlan[],
): Promise<WrittenSegment[]> {
  return engine.session(async (run) => {
    // One pass over the file for a single workspace; for several it is parsed once into a table.
    if (plans.length === 1)
      return [await writeSegment(run, `(${walSql([wal.path], wal.lineBytesMax)})`, plans[0] as SegmentPlan)];
    await run(`CREATE OR REPLACE TEMP TABLE sealing AS ${walSql([wal.path], wal.lineBytesMax)}`);
    try {
      const written: WrittenSegment[] = [];
      for (const plan of plans) written.push(await writeSegment(run, 'sealing', plan));
      return written;
    } finally {
      await run('DROP TABLE sealing');
    }
  });
}

async function writeSegment(run: Run, relation: string, plan: SegmentPlan): Promise<WrittenSegment> {
  const { workspace, firstSeq, lastSeq, outPath } = plan;
  const [result] = await run(
    `COPY (SELECT * FROM ${relation} WHERE workspace_id = ${sqlString(workspace)} AND seq BETWEEN ${firstSeq} AND ${lastSeq} ORDER BY ${ORDER})
     TO ${sqlString(outPath)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${ROW_GROUP_ROWS}, PARQUET_VERSION V1, FIELD_IDS {${FIELD_IDS}}, RETURN_STATS)`,
  );
  assert(result, 'COPY with RETURN_STATS answers one row');
  const rows = Number(result.count);
  if (rows !== lastSeq - firstSeq + 1) {
    throw new IndelibleError(
      'corrupt',
      `sealing ${workspace} ${firstSeq}–${lastSeq} gave ${rows} rows: the WAL file is not what was written`,
    );
  }
  const columns = columnStatistics(result.column_statistics);
  await checkSegment(run, { ...plan, path: outPath });
  return { plan, rows, sizeBytes: (await stat(outPath)).size, stats: deltaStats(rows, columns) };
}

type MapEntries<T> = { key: string; value: T }[];

/** DuckDB's MAP of MAPs; column names come quoted. */
function columnStatistics(value: unknown): Map<string, ColumnStatistics> {
  const columns = new Map<string, ColumnStatistics>();
  for (const column of value as MapEntries<MapEntries<string>>) {
    const name = column.key.replace(/^"|"$/g, '');
    columns.set(name, Object.fromEntries(column.value.map((entry) => [entry.key, entry.value])));
  }
  return columns;
}
