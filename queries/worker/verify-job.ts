import type { DuckDBConnection } from '@duckdb/node-api';
import { canonicalPartsSql, lowerEscapesSql, removalSql, segmentsSql, sqlString } from '../../journal/index.ts';
import type { JobContext } from './context.ts';
import { rowsOf } from './database.ts';
import { registerLeafMatches } from './leaf-matches.ts';
import type { Verification, VerifyJob } from './protocol.ts';
import { type Slice, slicesOf } from './slices.ts';

type Fault = { seq: number; reason: string };
/** Events joined with their predecessors at a time. */
const SLICE_EVENTS = 262_144;
/** The event before a slice's first: what the first one links to. */
type Before = { hash: string; recordedAt: string | null };

/**
 * Recomputes every hash and link of the snapshot from its columns. Checks that each seq is there exactly once, that
 * each event_hash is the hash of its row and of the event_hash before it, that recorded_at never runs backwards and
 * that all is of one workspace. Where the journal begins later than at seq 0, one of its events has to say so.
 */
export async function verifyEvents(job: VerifyJob, { connection }: JobContext<null>): Promise<Verification> {
  const { files } = job;
  registerLeafMatches(connection);
  const { firstSeq, beforeHash } = files.start;
  let before: Before = { hash: beforeHash, recordedAt: null };
  let nextSeq = firstSeq;
  let events = 0;
  let found: Fault | undefined;
  for await (const slice of slicesOf(connection, files, SLICE_EVENTS)) {
    const seen = await examine(connection, slice, before, files.workspace);
    const sound =
      seen.rows === slice.lastSeq - nextSeq + 1 && seen.firstSeq === nextSeq && seen.lastSeq === slice.lastSeq;
    events += seen.rows;
    if (!sound || seen.badSeq !== undefined) {
      found = await firstFault(connection, slice, nextSeq, before, files.workspace);
      if (!found) throw new Error('a fault that was counted was not found again');
      break;
    }
    before = { hash: seen.lastHash, recordedAt: seen.lastRecordedAt };
    nextSeq = slice.lastSeq + 1;
  }
  if (!found && nextSeq !== files.durableSeq + 1) found = { seq: nextSeq, reason: missing(nextSeq) };
  if (!found && firstSeq > 0 && !(await isRemovalRecorded(job, connection))) {
    found = { seq: firstSeq - 1, reason: `everything up to seq ${firstSeq - 1} is missing, and no event says why` };
  }
  const verification = {
    events,
    head_hash: before.hash,
    first_seq: events > 0 ? firstSeq : null,
    last_seq: nextSeq > firstSeq ? nextSeq - 1 : null,
  };
  return found ? { valid: false, ...verification, first_bad: found } : { valid: true, ...verification };
}

/** A removal is an event of the journal: without one the journal was cut by somebody else. */
async function isRemovalRecorded({ files }: VerifyJob, connection: DuckDBConnection): Promise<boolean> {
  const events = segmentsSql(files.segments.map(({ path }) => path));
  const rows = await rowsOf(connection, `SELECT 1 FROM (${events}) WHERE ${removalSql(files.start)} LIMIT 1`);
  return rows.length > 0;
}

type Seen = {
  rows: number;
  firstSeq: number;
  lastSeq: number;
  badSeq: number | undefined;
  lastHash: string;
  lastRecordedAt: string | null;
};

/**
 * One pass. Each event meets its predecessor in a join: a doubled seq doubles rows, a missing one leaves its
 * successor without. So rows = lastSeq − firstSeq + 1 with no bad row proves that each seq is there once.
 */
async function examine(connection: DuckDBConnection, slice: Slice, before: Before, workspace: string): Promise<Seen> {
  const [row] = await rowsOf(
    connection,
    `SELECT count(*) AS rows, min(seq) AS first_seq, max(seq) AS last_seq, min(seq) FILTER (WHERE bad) AS bad_seq, lower(hex(max_by(event_hash, seq))) AS last_hash, max(recorded_at)::VARCHAR AS last_recorded_at
     FROM (SELECT seq, event_hash, recorded_at, ${badSql(workspace)} AS bad FROM (${hashedSql(slice, before)}))`,
  );
  const seq = (value: unknown) => (value === null || value === undefined ? undefined : Number(value));
  return {
    rows: Number(row?.rows),
    firstSeq: seq(row?.first_seq) ?? -1,
    lastSeq: seq(row?.last_seq) ?? -1,
    badSeq: seq(row?.bad_seq),
    lastHash: String(row?.last_hash),
    lastRecordedAt: (row?.last_recorded_at ?? null) as string | null,
  };
}

/** A NULL where none may be is bad too: comparisons must not swallow it. */
function badSql(workspace: string): string {
  return `changed OR workspace_id IS DISTINCT FROM ${sqlString(workspace)} OR coalesce(recorded_at < before_at, false)`;
}

/**
 * The slice's events, and whether each is `changed`: its event_hash is not the leaf hash that its columns and its
 * predecessor's event_hash give. The text is made before the join: there DuckDB still escapes a repeated value once.
 */
function hashedSql({ sql, firstSeq }: Slice, before: Before): string {
  const beforeAt = before.recordedAt === null ? 'NULL' : sqlString(before.recordedAt);
  const links = `SELECT seq + 1 AS seq, lower(hex(event_hash)) AS before_hash, recorded_at AS before_at FROM (${sql}) UNION ALL SELECT ${firstSeq}, '${before.hash}', ${beforeAt}::TIMESTAMPTZ`;
  const { head, tail } = canonicalPartsSql();
  const parts = `SELECT seq, event_hash, recorded_at, workspace_id, ${head} AS head, ${tail} AS tail FROM (${sql})`;
  const texts = `SELECT *, concat(chr(0), head, before_hash, tail) AS text FROM (${parts}) LEFT JOIN (${links}) USING (seq)`;
  const isLeaf = `octet_length(event_hash) = 32 AND leaf_matches(concat(${lowerEscapesSql('text')}, to_base64(event_hash)))`;
  return `SELECT seq, event_hash, recorded_at, before_at, workspace_id, (${isLeaf}) IS DISTINCT FROM true AS changed FROM (${texts})`;
}

/** The lowest seq with a fault, and why. Only for a journal that is known to be broken. */
async function firstFault(
  connection: DuckDBConnection,
  slice: Slice,
  nextSeq: number,
  before: Before,
  workspace: string,
): Promise<Fault | undefined> {
  const gaps = await rowsOf(
    connection,
    `SELECT seq, lag(seq, 1, ${nextSeq - 1}::BIGINT) OVER (ORDER BY seq) AS previous FROM (${slice.sql}) QUALIFY seq <> previous + 1 ORDER BY seq LIMIT 1`,
  );
  const rows = await rowsOf(
    connection,
    `SELECT seq, changed, workspace_id IS DISTINCT FROM ${sqlString(workspace)} AS foreign_row FROM (${hashedSql(slice, before)}) WHERE ${badSql(workspace)} ORDER BY seq LIMIT 2`,
  );
  const faults = [structuralFault(gaps[0], nextSeq), rowFault(rows)].filter((fault) => fault !== undefined);
  const [end] = await rowsOf(connection, `SELECT max(seq) AS last_seq FROM (${slice.sql})`);
  const lastSeq = Number(end?.last_seq ?? nextSeq - 1);
  if (lastSeq < slice.lastSeq) faults.push({ seq: lastSeq + 1, reason: missing(lastSeq + 1) });
  // Where a seq is missing, its successor's link fails as well: the structure names the cause.
  return faults.sort((a, b) => a.seq - b.seq)[0];
}

function structuralFault(row: Record<string, unknown> | undefined, nextSeq: number): Fault | undefined {
  if (!row) return undefined;
  const [seq, previous] = [Number(row.seq), Number(row.previous)];
  if (seq === previous) return { seq, reason: `seq ${seq} appears twice` };
  if (seq < nextSeq) return { seq, reason: `seq ${seq} appears twice` };
  return { seq: previous + 1, reason: missing(previous + 1) };
}

function rowFault(rows: readonly Record<string, unknown>[]): Fault | undefined {
  const [first, second] = rows;
  if (!first) return undefined;
  const seq = Number(first.seq);
  if (first.foreign_row) return { seq, reason: `seq ${seq} is of another workspace` };
  if (!first.changed) return { seq, reason: `recorded_at runs backwards at seq ${seq}` };
  // A replaced event_hash fits neither its own row nor the link of the next; a replaced column only breaks its row.
  const linkBroken = second?.changed === true && Number(second.seq) === seq + 1;
  return {
    seq,
    reason: linkBroken
      ? `event_hash does not match the stored columns, and seq ${seq + 1} does not link to it`
      : 'event_hash does not match the stored columns and the event before',
  };
}

function missing(seq: number): string {
  return `seq ${seq} is missing`;
}
