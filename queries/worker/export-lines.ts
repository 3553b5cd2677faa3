import { BIGINT, BOOLEAN, type DuckDBConnection, DuckDBScalarFunction, VARCHAR } from '@duckdb/node-api';
import type { JobContext } from './context.ts';
import { type Piece, piecesOf } from './export-pieces.ts';
import { filterSql, linkedSql, type RowsSql } from './export-sql.ts';
import { type LineShape, LineSlots } from './line-slots.ts';
import type { ExportJob, ExportMeta } from './protocol.ts';
import { integersOf, visitTexts } from './texts.ts';

/** Events put in order at a time: a segment as it was sealed, whole, since reading a part decodes all of it. */
const SLICE_EVENTS = 131_072;
/** Twice this much text is held: one slice is filled while the one before leaves. */
const SLICE_BYTES_MAX = 48 * 1024 * 1024;

export type LineFormat = LineShape & {
  /** seq, event_hash and `line`, which ends with the event_hash and `afterHash` characters more. */
  rows: RowsSql;
};

/**
 * A line for each event of the job, by ascending seq. DuckDB makes the text in whatever order it reads the events;
 * their order is put here, where it costs a copy and not a sort.
 * @returns how many lines
 */
export async function writeLines(
  job: ExportJob,
  { connection, output }: JobContext<ExportMeta>,
  format: LineFormat,
): Promise<number> {
  const filter = filterSql(job.filter);
  const putLines = registerPutLine(connection);
  let [filling, leaving] = [new LineSlots(SLICE_BYTES_MAX), new LineSlots(SLICE_BYTES_MAX)];
  let lines = 0;
  let left: Promise<void> = Promise.resolve();
  const leave = async (slots: LineSlots, beforeHash: string | undefined) => {
    for (const bytes of slots.pieces(format, beforeHash)) await output.bytes(bytes);
  };
  for await (const piece of piecesOf(connection, job.files, SLICE_EVENTS)) {
    let { beforeHash } = piece;
    const ranges = [{ firstSeq: piece.firstSeq, lastSeq: piece.lastSeq }];
    for (let range = ranges.pop(); range; range = ranges.pop()) {
      const { firstSeq, lastSeq } = range;
      filling.clear(firstSeq, lastSeq);
      await putLines(linesSql(piece, range, format.rows, filter), filling);
      if (filling.isFull) {
        const middle = Math.floor((firstSeq + lastSeq) / 2);
        ranges.push({ firstSeq: middle + 1, lastSeq }, { firstSeq, lastSeq: middle });
        continue;
      }
      if (filter === undefined && filling.lines !== lastSeq - firstSeq + 1) throw new Error('a segment lacks events');
      lines += filling.lines;
      await left;
      left = leave(filling, filter === undefined ? beforeHash : undefined);
      // Awaited above, or below: until then nobody listens.
      left.catch(() => {});
      if (filter === undefined) beforeHash = filling.lastHash(format);
      [filling, leaving] = [leaving, filling];
    }
  }
  await left;
  return lines;
}

type Range = { firstSeq: number; lastSeq: number };

/** A whole piece is read as it is, so that a stray event is met and not left out. */
function linesSql(piece: Piece, range: Range, rows: RowsSql, filter: string | undefined): string {
  const isWhole = range.firstSeq === piece.firstSeq && range.lastSeq === piece.lastSeq;
  const terms = [!isWhole && `seq BETWEEN ${range.firstSeq} AND ${range.lastSeq}`, filter && `(${filter})`];
  const where = terms.filter(Boolean).join(' AND ');
  const lines = rows(where ? `(SELECT * FROM (${piece.sql}) WHERE ${where})` : `(${piece.sql})`);
  return filter === undefined ? lines : `SELECT seq, concat(line, prev) AS line FROM (${linkedSql(lines, piece)})`;
}

/** Gives SQL a function `put_line`; the answer runs a SELECT of seq and line, and takes its lines into the slots. */
function registerPutLine(connection: DuckDBConnection): (sql: string, slots: LineSlots) => Promise<void> {
  let target: LineSlots;
  const putLine = DuckDBScalarFunction.create({
    name: 'put_line',
    parameterTypes: [BIGINT, VARCHAR],
    returnType: BOOLEAN,
    volatile: true,
    mainFunction: (_info, { chunk }, output) => {
      const seqOf = integersOf(chunk, 0);
      visitTexts(chunk, 1, (row, bytes, start, end) => {
        target.put(seqOf(row), bytes, start, end);
        output.setItem(row, true);
      });
      output.flush();
    },
  });
  connection.registerScalarFunction(putLine);
  return async (sql, slots) => {
    target = slots;
    await connection.run(`SELECT count(*) FILTER (WHERE put_line(seq, line)) FROM (${sql})`);
  };
}
