import type { Engine, Row } from '../duckdb/index.ts';
import { EVENT_COLUMNS } from '../event.ts';
import { copySorted, type Run, type WrittenFile } from './copy.ts';
import { type EntityKey, type KeyRange, rangeConditions } from './key-range.ts';
import { segmentsSql } from './relation.ts';

/** Tells two sets of events apart, whatever their order: every column of every event takes part. */
export type Digest = { rows: number; sum: bigint; xor: bigint };

export function sameDigest(a: Digest, b: Digest): boolean {
  return a.rows === b.rows && a.sum === b.sum && a.xor === b.xor;
}

export type Survey = { digest: Digest; sample: EntityKey[] };
/** `fromSeq`: of the events from this position on only. */
export type SurveyJob = { paths: readonly string[]; sampleStep: number; fromSeq?: number };
export type PartJob = { paths: readonly string[]; range: KeyRange; outPath: string; fromSeq?: number };
export type WrittenPart = WrittenFile & { digest: Digest };

/**
 * What the segments hold: a digest of all, and the keys of about one in `sampleStep` events, in no order. One pass: the
 * sample is gathered beside the digest.
 */
export async function surveySegments(engine: Engine, { paths, sampleStep, fromSeq = 0 }: SurveyJob): Promise<Survey> {
  return engine.session(async (run) => {
    const keys = `list({ 'entityType': entity_type, 'entityId': entity_id, 'seq': seq }) FILTER (WHERE hash(seq) % ${sampleStep} = 0)`;
    const { digest, row } = await digestOf(run, eventsSql(paths, fromSeq), `to_json(coalesce(${keys}, []))::VARCHAR`);
    return { digest, sample: JSON.parse(String(row.more)) as EntityKey[] };
  });
}

/** Writes the events of a key range as one sorted segment, and says what that file holds. */
export async function writePart(engine: Engine, { paths, range, outPath, fromSeq = 0 }: PartJob): Promise<WrittenPart> {
  return engine.session(async (run) => {
    const events = eventsSql(paths, fromSeq);
    const pieces = rangeConditions(range).map((condition) => `SELECT * FROM (${events}) WHERE ${condition}`);
    const written = await copySorted(run, pieces.join(' UNION ALL '), outPath);
    const { digest } = await digestOf(run, segmentsSql([outPath]));
    return { ...written, digest };
  });
}

function eventsSql(paths: readonly string[], fromSeq: number): string {
  const events = segmentsSql(paths);
  return fromSeq === 0 ? events : `SELECT * FROM (${events}) WHERE seq >= ${fromSeq}`;
}

/** @param more a further aggregate over the events, as `row.more` */
async function digestOf(run: Run, eventsSql: string, more = 'NULL'): Promise<{ digest: Digest; row: Row }> {
  const [row = {}] = await run(
    `SELECT count(*) AS rows, coalesce(sum(event), 0)::VARCHAR AS sum, coalesce(bit_xor(event), 0)::VARCHAR AS xor, ${more} AS more
     FROM (SELECT *, hash(${EVENT_COLUMNS.join(', ')}) AS event FROM (${eventsSql}))`,
  );
  return {
    digest: { rows: Number(row.rows), sum: BigInt(String(row.sum)), xor: BigInt(String(row.xor)) },
    row,
  };
}
