import { hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { canonicalSql, lowerEscapesSql } from '../../journal/index.ts';
import { HASH_CHARS, type LineSlots, lowest, type SeqFault, twice } from './line-slots.ts';

const BEFORE_HOLE = Buffer.from('"prev_hash":"');
const AFTER_HOLE = '","recorded_at":"';
const TIME_AT = HASH_CHARS + AFTER_HOLE.length;
const TIME_CHARS = '2026-01-01T00:00:00.000000Z'.length;
const TAILS_MAX = 8;
/** DuckDB waits meanwhile for the thread to take the next lines. */
const LINES_AT_ONCE = 256;

/**
 * `line`: what an event's leaf hash is computed of, with the event's own event_hash in place of prev_hash, where
 * LeafChain takes it from and puts in the one of the event before.
 */
export function leafLinesSql(events: string): string {
  const text = `SELECT seq, concat(chr(0), ${canonicalSql('lower(hex(event_hash))')}) AS text FROM ${events}`;
  return `SELECT seq, ${lowerEscapesSql('text')} AS line FROM (${text})`;
}

export type Link = { nextSeq: number; hash: string; recordedAt: string };

type Line = { seq: number; bytes: Buffer; start: number; end: number };
/** What the line says of itself; `hole`: where the hash of the event before goes. */
type Leaf = { hole: number; isWhole: boolean; hash: string; recordedAt: string };

/** Computes every leaf hash again, each with the event_hash before it, event after event. */
export class LeafChain {
  readonly #foot: string;
  #end: Link;
  /** How long lines are from the hole on: few lengths, newest first, so that hardly any hole is searched for. */
  #tails: number[] = [];

  constructor(workspace: string, start: { firstSeq: number; beforeHash: string }) {
    this.#foot = `"workspace_id":${JSON.stringify(workspace)}}`;
    this.#end = { nextSeq: start.firstSeq, hash: start.beforeHash, recordedAt: '' };
  }

  /** Behind the last range that was sound. */
  get end(): Link {
    return this.#end;
  }

  /** The lowest fault of a range that should follow the one before; the lines are of no more use then. */
  async check(slots: LineSlots): Promise<SeqFault | undefined> {
    if (slots.firstSeq < this.#end.nextSeq) return twice(slots.firstSeq);
    let link = this.#end;
    const lines = slots.entries();
    for (const line of lines) {
      const { seq } = line;
      if (seq !== link.nextSeq) return lowest(slots.fault, missing(link.nextSeq));
      const leaf = this.#leafOf(line);
      const reason = this.#wrong(line, leaf, link);
      const next = { nextSeq: seq + 1, hash: leaf.hash, recordedAt: leaf.recordedAt };
      if (reason !== undefined) {
        const after = lines.next();
        const isLinked = after.done || after.value.seq !== seq + 1 || this.#matches(after.value, next.hash);
        return lowest(slots.fault, { seq, reason: reason === CHANGED && !isLinked ? brokenLink(seq) : reason });
      }
      link = next;
      if (seq % LINES_AT_ONCE === 0) await setImmediate();
    }
    const fault = link.nextSeq <= slots.lastSeq ? missing(link.nextSeq) : undefined;
    if (!fault && !slots.fault) this.#end = link;
    return lowest(slots.fault, fault);
  }

  #wrong(line: Line, leaf: Leaf, before: Link): string | undefined {
    const { seq, bytes, end } = line;
    if (bytes.toString('latin1', end - this.#foot.length, end) !== this.#foot)
      return `seq ${seq} is of another workspace`;
    if (!matches(line, leaf, before.hash)) return CHANGED;
    // Texts of one length and form: their order is that of the times.
    return leaf.recordedAt < before.recordedAt ? `recorded_at runs backwards at seq ${seq}` : undefined;
  }

  #matches(line: Line, beforeHash: string): boolean {
    return matches(line, this.#leafOf(line), beforeHash);
  }

  #leafOf({ bytes, start, end }: Line): Leaf {
    const hole = end - this.#tailOf(bytes, end);
    const text = bytes.toString('latin1', hole, hole + TIME_AT + TIME_CHARS);
    const isWhole = hole > start && text.startsWith(AFTER_HOLE, HASH_CHARS);
    return { hole, isWhole, hash: text.slice(0, HASH_CHARS), recordedAt: text.slice(TIME_AT) };
  }

  /** The mark before the hole is unlike anything within a JSON string, where a quote has a backslash before it. */
  #tailOf(bytes: Buffer, end: number): number {
    for (const tail of this.#tails) if (isMarked(bytes, end - tail)) return tail;
    const tail = end - bytes.lastIndexOf(BEFORE_HOLE, end) - BEFORE_HOLE.length;
    this.#tails = [tail, ...this.#tails.slice(0, TAILS_MAX - 1)];
    return tail;
  }
}

function isMarked(bytes: Buffer, hole: number): boolean {
  for (let back = 1; back <= BEFORE_HOLE.length; back += 1) {
    if (bytes[hole - back] !== BEFORE_HOLE[BEFORE_HOLE.length - back]) return false;
  }
  return true;
}

const CHANGED = 'event_hash does not match the stored columns and the event before';

/** A replaced event_hash fits neither its own row nor the link of the next; a replaced column only breaks its row. */
function brokenLink(seq: number): string {
  return `event_hash does not match the stored columns, and seq ${seq + 1} does not link to it`;
}

function matches({ bytes, start, end }: Line, leaf: Leaf, beforeHash: string): boolean {
  if (!leaf.isWhole) return false;
  bytes.write(beforeHash, leaf.hole, 'latin1');
  return hash('sha256', bytes.subarray(start, end), 'hex') === leaf.hash;
}

export function missing(seq: number): SeqFault {
  return { seq, reason: `seq ${seq} is missing` };
}
