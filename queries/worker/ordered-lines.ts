import { BIGINT, BOOLEAN, type DuckDBConnection, DuckDBScalarFunction, VARCHAR } from '@duckdb/node-api';
import { type SnapshotFiles, segmentsSql } from '../../journal/index.ts';
import { type LineSlots, lowest, type SeqFault } from './line-slots.ts';
import { BUCKETS_MAX, LineSpool, type SeqRange, type TakeLine } from './line-spool.ts';
import { clustersOf } from './slices.ts';
import { integersOf, visitTexts } from './texts.ts';

/** Events whose lines are put in order in memory, where they fit: a segment or several as they were sealed. */
const CLUSTER_EVENTS = 131_072;
const BUCKET_SEQS = 32_768;

export type LinesOptions = {
  files: SnapshotFiles;
  /** From a relation of events, a SELECT of `seq` and `line`: a VARCHAR, never NULL. */
  linesSql: (events: string) => string;
  /** To be filled in turns. */
  slots: LineSlots[];
  /** For lines on disk. */
  tempBytes: number;
};

/** Gives the lines from a seq on, in any order. */
type Source = (fromSeq: number, take: TakeLine) => Promise<void>;

/**
 * A line for each event of the snapshot's segments, by ascending seq, range by range; each range is good until
 * its slots are filled again. DuckDB makes the text in whatever order it reads the events; their order is put here, where it costs a
 * copy and not a sort: in memory for freshly sealed segments, which follow each other, and by way of a file of buckets
 * for those that compaction sorted by entity, which all overlap.
 */
export async function* orderedLines(
  connection: DuckDBConnection,
  { files, linesSql, slots, tempBytes }: LinesOptions,
): AsyncGenerator<LineSlots> {
  const putLines = registerPutLine(connection);
  const ordering = new Ordering(slots, tempBytes);
  for (const cluster of clustersOf(files.segments, CLUSTER_EVENTS)) {
    const firstSeq = Math.min(...cluster.map((segment) => segment.firstSeq));
    const lastSeq = Math.max(...cluster.map((segment) => segment.lastSeq));
    const events = segmentsSql(cluster.map(({ path }) => path));
    yield* ordering.rangesOf({ firstSeq, lastSeq }, (fromSeq, take) => {
      // The first time all is read, so that a stray event is met and not left out.
      const some = fromSeq === firstSeq ? `(${events})` : `(SELECT * FROM (${events}) WHERE seq >= ${fromSeq})`;
      return putLines(linesSql(some), take);
    });
  }
}

export class Ordering {
  /** The first is to be filled next. */
  readonly #slots: LineSlots[];
  readonly #tempBytes: number;
  readonly #spools: LineSpool[] = [];
  #fault: SeqFault | undefined;

  constructor(slots: LineSlots[], tempBytes: number) {
    this.#slots = slots;
    this.#tempBytes = tempBytes;
  }

  get #filling(): LineSlots {
    return this.#slots[0] as LineSlots;
  }

  /** The source's lines, all with a seq of this range, as ranges that follow each other. */
  async *rangesOf(range: SeqRange, source: Source): AsyncGenerator<LineSlots> {
    this.#fault = undefined;
    for await (const slots of this.#ordered(range, source)) {
      if (slots.lastSeq === range.lastSeq || this.#faultSeq <= slots.lastSeq) slots.report(this.#fault);
      yield slots;
      this.#slots.push(this.#slots.shift() as LineSlots);
    }
  }

  get #faultSeq(): number {
    return this.#fault?.seq ?? Number.POSITIVE_INFINITY;
  }

  async *#ordered(range: SeqRange, source: Source): AsyncGenerator<LineSlots> {
    const slots = this.#filling;
    const seqs = range.lastSeq - range.firstSeq + 1;
    const bucketSeqs = Math.max(BUCKET_SEQS, Math.ceil(seqs / BUCKETS_MAX));
    let spool = seqs > CLUSTER_EVENTS ? this.#open(range, bucketSeqs) : undefined;
    if (!spool) slots.clear(range.firstSeq, range.lastSeq);
    await source(range.firstSeq, (seq, bytes, start, end) => {
      if (!spool && slots.put(seq, bytes, start, end)) return;
      spool ??= this.#moved(slots, bucketSeqs);
      spool.put(seq, bytes, start, end);
    });
    if (spool) yield* this.#emptied(spool, source);
    else yield slots;
  }

  #open(range: SeqRange, bucketSeqs: number): LineSpool {
    const others = this.#spools.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
    const path = `lines-${this.#spools.length}.spool`;
    const spool = new LineSpool({ ...range, path, bucketSeqs, bytesMax: this.#tempBytes - others });
    this.#spools.push(spool);
    return spool;
  }

  #moved(slots: LineSlots, bucketSeqs: number): LineSpool {
    const spool = this.#open({ firstSeq: slots.firstSeq, lastSeq: slots.lastSeq }, bucketSeqs);
    this.#fault = slots.fault;
    for (const { seq, bytes, start, end } of slots.entries()) spool.put(seq, bytes, start, end);
    return spool;
  }

  /** What is in the spool, and what it had no room for, by way of others. */
  async *#emptied(first: LineSpool, source: Source): AsyncGenerator<LineSlots> {
    const { lastSeq } = first.options;
    for (let spool = first; ; ) {
      this.#fault = lowest(this.#fault, spool.fault);
      const { keptSeq } = spool;
      yield* this.#bucketsOf(spool);
      spool.close();
      this.#spools.pop();
      if (keptSeq === lastSeq) return;
      const fromSeq = keptSeq + 1;
      const next = this.#open({ firstSeq: fromSeq, lastSeq }, first.options.bucketSeqs);
      await source(fromSeq, (...line) => next.put(...line));
      spool = next;
    }
  }

  async *#bucketsOf(spool: LineSpool): AsyncGenerator<LineSlots> {
    for (const { index, bytes, firstSeq, lastSeq } of spool.buckets()) {
      const slots = this.#filling;
      if (bytes <= slots.bytesMax || firstSeq === lastSeq) {
        slots.clear(firstSeq, lastSeq);
        await spool.load(index, bytes, slots);
        yield slots;
        continue;
      }
      const source: Source = (fromSeq, take) => spool.pour(index, bytes, fromSeq, take);
      const seqs = lastSeq - firstSeq + 1;
      const bucketSeqs = Math.max(1, Math.floor((seqs * slots.bytesMax) / bytes / 2), Math.ceil(seqs / BUCKETS_MAX));
      const smaller = this.#open({ firstSeq, lastSeq }, bucketSeqs);
      await source(firstSeq, (...line) => smaller.put(...line));
      yield* this.#emptied(smaller, source);
    }
  }
}

/** Gives SQL a function `put_line`; the answer runs a SELECT of seq and line, and hands on its lines. */
function registerPutLine(connection: DuckDBConnection): (sql: string, take: TakeLine) => Promise<void> {
  let target: TakeLine;
  const putLine = DuckDBScalarFunction.create({
    name: 'put_line',
    parameterTypes: [BIGINT, VARCHAR],
    returnType: BOOLEAN,
    volatile: true,
    mainFunction: (_info, { chunk }, output) => {
      const seqOf = integersOf(chunk, 0);
      visitTexts(chunk, 1, (row, bytes, start, end) => {
        target(seqOf(row), bytes, start, end);
        output.setItem(row, true);
      });
      output.flush();
    },
  });
  connection.registerScalarFunction(putLine);
  return async (sql, take) => {
    target = take;
    await connection.run(`SELECT count(*) FILTER (WHERE put_line(seq, line)) FROM (${sql})`);
  };
}
