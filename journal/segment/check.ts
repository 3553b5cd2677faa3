import { type Row, type SqlValue, sqlString } from '../duckdb/index.ts';
import { IndelibleError } from '../errors.ts';
import { canonicalSql, leafHashSql } from './canonical-sql.ts';

/** Segments up to this many rows are checked whole. */
const WHOLE_ROWS_MAX = 16_384;
/** Of larger ones every so many-th row: checking all would cost as much as sealing. */
const SAMPLE_STEP = 16;

/**
 * I3: proves a new segment against the hashes its events were receipted with, from its own columns, before the WAL that it
 * replaces may go. `prevHash` is the event_hash at firstSeq − 1.
 * @throws corrupt: the WAL is kept.
 */
export async function checkSegment(
  run: (sql: string, params?: readonly SqlValue[]) => Promise<Row[]>,
  segment: { workspace: string; path: string; firstSeq: number; lastSeq: number; prevHash: string },
): Promise<void> {
  const { workspace, firstSeq, lastSeq, prevHash } = segment;
  const rows = lastSeq - firstSeq + 1;
  const step = rows <= WHOLE_ROWS_MAX ? 1 : SAMPLE_STEP;
  const file = `read_parquet(${sqlString(segment.path)})`;
  const [totals] = await run(`SELECT count(*) AS rows, min(seq) AS first, max(seq) AS last FROM ${file}`);
  // As bits: half the time of count(DISTINCT). They must lie in the range that the line above found.
  const inRange =
    Number(totals?.rows) === rows && Number(totals?.first) === firstSeq && Number(totals?.last) === lastSeq;
  const [bits] = inRange
    ? await run(`SELECT bit_count(bitstring_agg(seq, ${firstSeq}, ${lastSeq})) AS seqs FROM ${file}`)
    : [];
  if (Number(bits?.seqs) !== rows) {
    throw new IndelibleError(
      'corrupt',
      `a new segment of ${workspace} does not hold exactly seq ${firstSeq} to ${lastSeq}`,
    );
  }
  const [bad] = await run(
    `WITH previous AS (
       SELECT seq + 1 AS seq, lower(hex(event_hash)) AS prev_hash FROM ${file} WHERE (seq + 1 - ${firstSeq}) % ${step} = 0
     ), checked AS (
       SELECT event.*, coalesce(prev_hash, ${sqlString(prevHash)}) AS prev_hash
       FROM ${file} event LEFT JOIN previous USING (seq) WHERE (event.seq - ${firstSeq}) % ${step} = 0
     ), hashed AS (
       SELECT seq, event_hash, ${canonicalSql('prev_hash')} AS text FROM checked
     )
     SELECT min(seq) AS seq FROM hashed WHERE ${leafHashSql('text')} IS DISTINCT FROM lower(hex(event_hash))`,
  );
  if (bad?.seq !== null) {
    throw new IndelibleError(
      'corrupt',
      `a new segment of ${workspace} does not verify at seq ${bad?.seq}: the WAL file is kept`,
    );
  }
}
