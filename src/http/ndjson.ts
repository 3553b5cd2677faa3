import { isUtf8 } from 'node:buffer';
import { IndelibleError, invalid, LIMITS } from '../../journal/index.ts';

/** Whole lines of a stream, as much as one append takes. */
export type LineChunk = {
  text: string;
  /** Position of the first line in the stream, from 0. */
  firstLine: number;
  lines: number;
  /** Lines that are not empty. */
  filled: number;
  bytes: number;
  /** false: the stream goes on after this chunk. */
  last: boolean;
};

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

/**
 * Cuts a byte stream into chunks of whole lines, at most `linesMax` filled ones and `bytesMax` bytes each, and holds
 * no more than one of them.
 * @throws IndelibleError too-large for a line over LIMITS.eventBytesMax, invalid for a line that is not UTF-8.
 */
export async function* lineChunks(
  source: AsyncIterable<Buffer>,
  linesMax: number = LIMITS.batchEventsMax,
  bytesMax: number = LIMITS.bodyBytesMax,
): AsyncGenerator<LineChunk> {
  const chunk = new OpenChunk();
  for await (const piece of source) {
    let start = 0;
    while (start < piece.length) {
      const newline = piece.indexOf(NEWLINE, start);
      const end = newline === -1 ? piece.length : newline + 1;
      // The chunk is handed on only when more follows it, so the caller knows whether it was all.
      if (chunk.atLineStart && chunk.isFull(linesMax)) yield chunk.take(false);
      if (chunk.bytes + (end - start) > bytesMax && chunk.lines > 0) yield chunk.takeWholeLines();
      chunk.add(piece.subarray(start, end), newline !== -1);
      start = end;
    }
  }
  yield chunk.take(true);
}

class OpenChunk {
  #pieces: Buffer[] = [];
  #firstLine = 0;
  /** Whole lines, and the bytes of the line that is not finished. */
  lines = 0;
  #filled = 0;
  #openBytes = 0;
  #openPieces = 0;
  bytes = 0;

  get atLineStart(): boolean {
    return this.#openBytes === 0;
  }

  isFull(linesMax: number): boolean {
    return this.#filled >= linesMax;
  }

  add(piece: Buffer, endsLine: boolean): void {
    this.#pieces.push(piece);
    this.bytes += piece.length;
    this.#openBytes += piece.length;
    this.#openPieces += 1;
    if (this.#openBytes > LIMITS.eventBytesMax) {
      const pointer = `/${this.#firstLine + this.lines}`;
      const message = `is larger than ${LIMITS.eventBytesMax} bytes`;
      throw new IndelibleError('too-large', `${pointer}: ${message}`, { errors: [{ pointer, message }] });
    }
    if (!endsLine) return;
    const empty = this.#openBytes === 1 || (this.#openBytes === 2 && piece.at(-2) === CARRIAGE_RETURN);
    if (!empty) this.#filled += 1;
    this.lines += 1;
    this.#openBytes = 0;
    this.#openPieces = 0;
  }

  /** All that is held; a last line without its newline counts. */
  take(last: boolean): LineChunk {
    if (this.#openBytes > 0) {
      this.lines += 1;
      this.#filled += 1;
    }
    return this.#handOver(last);
  }

  /** The finished lines; the unfinished one begins the next chunk. */
  takeWholeLines(): LineChunk {
    const open = this.#openPieces === 0 ? [] : this.#pieces.splice(-this.#openPieces);
    const openBytes = this.#openBytes;
    this.bytes -= openBytes;
    const chunk = this.#handOver(false);
    this.#pieces = open;
    this.bytes = openBytes;
    this.#openBytes = openBytes;
    this.#openPieces = open.length;
    return chunk;
  }

  #handOver(last: boolean): LineChunk {
    const bytes = Buffer.concat(this.#pieces, this.bytes);
    const { lines, bytes: size } = this;
    if (!isUtf8(bytes)) throw notUtf8(bytes, this.#firstLine);
    const text = bytes.toString();
    const chunk = { text, firstLine: this.#firstLine, lines, filled: this.#filled, bytes: size, last };
    this.#pieces = [];
    this.#firstLine += lines;
    this.lines = 0;
    this.#filled = 0;
    this.#openBytes = 0;
    this.#openPieces = 0;
    this.bytes = 0;
    return chunk;
  }
}

function notUtf8(bytes: Buffer, firstLine: number): Error {
  let line = firstLine;
  for (let start = 0; start < bytes.length; line += 1) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline === -1 ? bytes.length : newline + 1;
    if (!isUtf8(bytes.subarray(start, end))) break;
    start = end;
  }
  return invalid([{ pointer: `/${line}`, message: 'is not valid UTF-8' }]);
}

/** Faults of a chunk, as faults of the stream: `/3/field` becomes `/10003/field`. */
export function rebased(error: unknown, firstLine: number): unknown {
  if (firstLine === 0 || !(error instanceof IndelibleError) || error.errors.length === 0) return error;
  const errors = error.errors.map(({ pointer, message }) => ({
    pointer: pointer.replace(/^\/(\d+)/, (_, line) => `/${Number(line) + firstLine}`),
    message,
  }));
  const first = errors[0];
  const message = error.kind === 'invalid' && first ? `${first.pointer}: ${first.message}` : error.message;
  return new IndelibleError(error.kind, message, { errors, cause: error });
}
