import duckdb from '@duckdb/node-bindings';

/** What one VARCHAR of DuckDB's takes in a vector: length, then the first bytes and a pointer, or up to 12 bytes. */
const SLOT_BYTES = 16;
const INLINE_BYTES_MAX = 12;
/** DuckDB begins each text that it makes at a multiple of this many bytes. */
const ALIGNMENT_BYTES = 8;

/** Gets the text of a row: `bytes` from `start` to `end`, good until it returns. */
type TextVisitor = (row: number, bytes: Buffer, start: number, end: number) => void;

/**
 * The texts of a VARCHAR column, without NULLs, as UTF-8 where DuckDB keeps them. Texts that an expression just made
 * lie side by side: hundreds are reached with one call into DuckDB, where a call for each would cost more than the
 * visit.
 */
export function visitTexts(chunk: duckdb.DataChunk, column: number, visit: TextVisitor): void {
  const rows = duckdb.data_chunk_get_size(chunk);
  const slots = duckdb.vector_get_data(duckdb.data_chunk_get_vector(chunk, column), rows * SLOT_BYTES);
  const words = new Uint32Array(slots.buffer, slots.byteOffset, rows * (SLOT_BYTES / 4));
  const lengthOf = (row: number) => words[row * 4] as number;
  const addressOf = (row: number) => (words[row * 4 + 3] as number) * 2 ** 32 + (words[row * 4 + 2] as number);
  let row = 0;
  while (row < rows) {
    if (lengthOf(row) <= INLINE_BYTES_MAX) {
      const start = row * SLOT_BYTES + 4;
      visit(row, bufferOf(slots), start, start + lengthOf(row));
      row += 1;
      continue;
    }
    const first = row;
    const base = addressOf(first);
    let end = base;
    // Padding lies within the memory of the text before it: nothing is read that is not DuckDB's.
    while (row < rows && lengthOf(row) > INLINE_BYTES_MAX) {
      const gap = addressOf(row) - end;
      if (gap < 0 || gap >= ALIGNMENT_BYTES) break;
      end += gap + lengthOf(row);
      row += 1;
    }
    const pointer = slots.byteOffset + first * SLOT_BYTES + 8;
    const bytes = bufferOf(duckdb.get_data_from_pointer(slots.buffer as ArrayBuffer, pointer, end - base));
    for (let index = first; index < row; index += 1) {
      const start = addressOf(index) - base;
      visit(index, bytes, start, start + lengthOf(index));
    }
  }
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** The values of a BIGINT column without NULLs. */
export function integersOf(chunk: duckdb.DataChunk, column: number): (row: number) => number {
  const rows = duckdb.data_chunk_get_size(chunk);
  const { buffer, byteOffset } = duckdb.vector_get_data(duckdb.data_chunk_get_vector(chunk, column), rows * 8);
  const words = new Int32Array(buffer, byteOffset, rows * 2);
  return (row) => (words[row * 2 + 1] as number) * 2 ** 32 + ((words[row * 2] as number) >>> 0);
}
