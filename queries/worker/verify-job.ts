import type { DuckDBConnection } from '@duckdb/node-api';
import { removalSql, segmentsSql } from '../../journal/index.ts';
import type { JobContext } from './context.ts';
import { rowsOf } from './database.ts';
import { LeafChain, leafLinesSql, missing } from './leaf-chain.ts';
import { LineSlots, type SeqFault } from './line-slots.ts';
import { orderedLines } from './ordered-lines.ts';
import type { Verification, VerifyJob } from './protocol.ts';

/** More than a hundred thousand usual events. */
const SLOTS_BYTES = 48 * 1024 * 1024;

/**
 * Recomputes every hash and link of the snapshot from its columns. Checks that each seq is there exactly once, that
 * each event_hash is the hash of its row and of the event_hash before it, that recorded_at never runs backwards and
 * that all is of one workspace. Where the journal begins later than at seq 0, one of its events has to say so.
 */
export async function verifyEvents(job: VerifyJob, { connection, tempBytes }: JobContext<null>): Promise<Verification> {
  const { files } = job;
  const { firstSeq } = files.start;
  const chain = new LeafChain(files.workspace, files.start);
  let events = 0;
  let checked: Promise<SeqFault | undefined> = Promise.resolve(undefined);
  const options = {
    files,
    linesSql: leafLinesSql,
    // One range is filled while the one before is checked.
    slots: [new LineSlots(SLOTS_BYTES), new LineSlots(SLOTS_BYTES)],
    tempBytes,
  };
  for await (const slots of orderedLines(connection, options)) {
    if (await checked) break;
    events += slots.lines;
    checked = chain.check(slots);
    // Awaited above, or below: until then nobody listens.
    checked.catch(() => {});
  }
  let found = await checked;
  const { nextSeq, hash } = chain.end;
  if (!found && nextSeq !== files.durableSeq + 1) found = missing(nextSeq);
  if (!found && firstSeq > 0 && !(await isRemovalRecorded(job, connection))) {
    found = { seq: firstSeq - 1, reason: `everything up to seq ${firstSeq - 1} is missing, and no event says why` };
  }
  const verification = {
    events,
    head_hash: hash,
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
