import type { JobContext } from './context.ts';
import { filterSql, type RowsSql } from './export-sql.ts';
import { type LineShape, LineSlots } from './line-slots.ts';
import { orderedLines } from './ordered-lines.ts';
import type { ExportJob, ExportMeta } from './protocol.ts';

const SLOTS_BYTES = 48 * 1024 * 1024;

export type LineFormat = LineShape & {
  /** seq, event_hash and `line`, which ends with the event_hash and `afterHash`. */
  rows: RowsSql;
};

/**
 * A line for each event of the job, by ascending seq.
 * @returns how many lines
 */
export async function writeLines(
  job: ExportJob,
  { connection, output, tempBytes }: JobContext<ExportMeta>,
  format: LineFormat,
): Promise<number> {
  const { files } = job;
  const filter = filterSql(job.filter);
  let { firstSeq: nextSeq, beforeHash } = files.start;
  let lines = 0;
  let left: Promise<void> = Promise.resolve();
  const leave = async (slots: LineSlots, before: string) => {
    const pieces = slots.pieces(format, before);
    let piece = pieces.next();
    for (; !piece.done; piece = pieces.next()) await output.bytes(piece.value);
    lines += piece.value;
  };
  const options = {
    files,
    linesSql: (events: string) => linesOf(events, format, filter),
    // One range is filled while the one before leaves.
    slots: [new LineSlots(SLOTS_BYTES), new LineSlots(SLOTS_BYTES)],
    tempBytes,
  };
  for await (const slots of orderedLines(connection, options)) {
    if (slots.fault) throw new Error(slots.fault.reason);
    if (!slots.isComplete || slots.firstSeq !== nextSeq) throw new Error('the segments lack events');
    await left;
    left = leave(slots, beforeHash);
    // Awaited above, or below: until then nobody listens.
    left.catch(() => {});
    beforeHash = slots.lastHash(format);
    nextSeq = slots.lastSeq + 1;
  }
  await left;
  return lines;
}

/** Of the events that the filter leaves out, the hash: the next event's line needs it. */
function linesOf(events: string, { rows, afterHash }: LineFormat, filter: string | undefined): string {
  if (filter === undefined) return `SELECT seq, line FROM (${rows(events)})`;
  const wanted = `SELECT seq, line FROM (${rows(`(SELECT * FROM ${events} WHERE ${filter})`)})`;
  const others = `SELECT seq, concat(lower(hex(event_hash)), '${afterHash}') AS line FROM ${events} WHERE (${filter}) IS NOT true`;
  return `${wanted} UNION ALL ${others}`;
}
