import { type Engine, sqlString } from '../duckdb/index.ts';
import { IndelibleError } from '../errors.ts';
import { checkSegment } from './check.ts';
import { copySorted, type Run, type WrittenFile } from './copy.ts';
import { walSql } from './relation.ts';

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
export type WrittenSegment = WrittenFile & { plan: SegmentPlan };

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
  const written = await copySorted(
    run,
    `SELECT * FROM ${relation} WHERE workspace_id = ${sqlString(workspace)} AND seq BETWEEN ${firstSeq} AND ${lastSeq}`,
    outPath,
  );
  if (written.rows !== lastSeq - firstSeq + 1) {
    throw new IndelibleError(
      'corrupt',
      `sealing ${workspace} ${firstSeq}–${lastSeq} gave ${written.rows} rows: the WAL file is not what was written`,
    );
  }
  await checkSegment(run, { ...plan, path: outPath });
  return { plan, ...written };
}
