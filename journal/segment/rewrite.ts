import type { Engine } from '../duckdb/index.ts';
import { EVENT_COLUMNS } from '../event.ts';
import { copySorted, type Run, type WrittenFile } from './copy.ts';
import { type EntityKey, type KeyRange, rangeConditions } from './key-range.ts';
import { segmentsSql } from './relation.ts';

/** Tells two sets of events apart, whatever their order: every column of every event takes part. */
export type Digest = { rows: number; sum: bigint; xor: bigint };

export type Survey = { digest: Digest; sample: EntityKey[] };
export type SurveyJob = { paths: readonly string[]; sampleStep: number };
export type PartJob = { paths: readonly string[]; range: KeyRange; outPath: string };
export type WrittenPart = WrittenFile & { digest: Digest };

/** What the segments hold: a digest of all, and the keys of about one in `sampleStep` events, in no order. */
export async function surveySegments(engine: Engine, { paths, sampleStep }: SurveyJob): Promise<Survey> {
  return engine.session(async (run) => {
    const rows = await run(
      `SELECT entity_type, entity_id, seq FROM (${segmentsSql(paths)}) WHERE hash(seq) % ${sampleStep} = 0`,
    );
    const sample = rows.map((row) => ({
      entityType: String(row.entity_type),
      entityId: String(row.entity_id),
      seq: Number(row.seq),
    }));
    return { digest: await digestOf(run, paths), sample };
  });
}

/** Writes the events of a key range as one sorted segment, and says what that file holds. */
export async function writePart(engine: Engine, { paths, range, outPath }: PartJob): Promise<WrittenPart> {
  return engine.session(async (run) => {
    const segments = segmentsSql(paths);
    const pieces = rangeConditions(range).map((condition) => `SELECT * FROM (${segments}) WHERE ${condition}`);
    const written = await copySorted(run, pieces.join(' UNION ALL '), outPath);
    return { ...written, digest: await digestOf(run, [outPath]) };
  });
}

async function digestOf(run: Run, paths: readonly string[]): Promise<Digest> {
  const [row] = await run(
    `SELECT count(*) AS rows, coalesce(sum(event), 0)::VARCHAR AS sum, coalesce(bit_xor(event), 0)::VARCHAR AS xor
     FROM (SELECT hash(${EVENT_COLUMNS.join(', ')}) AS event FROM (${segmentsSql(paths)}))`,
  );
  return { rows: Number(row?.rows), sum: BigInt(String(row?.sum)), xor: BigInt(String(row?.xor)) };
}
