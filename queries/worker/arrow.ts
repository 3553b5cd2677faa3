import { type DuckDBType, DuckDBTypeId } from '@duckdb/node-api';
import {
  Binary,
  Bool,
  type Data,
  type DataType,
  DateDay,
  Decimal,
  Field,
  Float64,
  Int32,
  Int64,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  TimestampMicrosecond,
  Uint64,
  Utf8,
} from 'apache-arrow';
import { decimalOf, isJson, isTimestamp, textColumn } from './columns.ts';
import type { Output } from './output.ts';

/** Chunks of DuckDB's 2,048 rows in one batch. */
const BATCH_CHUNKS = 4;

/** How a column of an Arrow stream is fetched from DuckDB and laid out. */
export type ArrowColumn = { name: string; sql: string; type: DataType; layout: (values: readonly unknown[]) => Layout };
type Layout = { data: ArrayBufferView; valueOffsets?: Int32Array };

const SMALL_INTEGERS = new Set([
  DuckDBTypeId.TINYINT,
  DuckDBTypeId.SMALLINT,
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.UTINYINT,
  DuckDBTypeId.USMALLINT,
]);

/**
 * Integers, doubles, booleans, decimals, binaries, dates and timestamps (microseconds, UTC) as Arrow's own; HUGEINT
 * as Decimal(38, 0); nested values as JSON text, all else as text.
 */
export function arrowColumn(name: string, column: string, type: DuckDBType): ArrowColumn {
  const { typeId } = type;
  const of = (arrowType: DataType, layout: ArrowColumn['layout'], sql = column) => ({
    name,
    sql,
    type: arrowType,
    layout,
  });
  if (isTimestamp(type)) {
    const micros = `CASE WHEN isfinite(${column}) THEN epoch_us(${column}) END`;
    return of(new TimestampMicrosecond('UTC'), int64s, micros);
  }
  const decimal = decimalOf(type);
  if (decimal) return of(new Decimal(decimal.scale, decimal.width, 128), decimals);
  if (isJson(type)) return of(new Utf8(), texts, textColumn(column, type).sql);
  if (SMALL_INTEGERS.has(typeId)) return of(new Int32(), (values) => ({ data: Int32Array.from(values, number) }));
  if (typeId === DuckDBTypeId.BIGINT || typeId === DuckDBTypeId.UINTEGER)
    return of(new Int64(), int64s, `${column}::BIGINT`);
  if (typeId === DuckDBTypeId.UBIGINT)
    return of(new Uint64(), (values) => ({ data: BigUint64Array.from(values, bigint) }));
  if (typeId === DuckDBTypeId.HUGEINT) return of(new Decimal(0, 38, 128), decimals);
  if (typeId === DuckDBTypeId.FLOAT || typeId === DuckDBTypeId.DOUBLE) {
    return of(new Float64(), (values) => ({ data: Float64Array.from(values, number) }));
  }
  if (typeId === DuckDBTypeId.BOOLEAN)
    return of(new Bool(), (values) => ({ data: bits(values, (value) => value === true) }));
  if (typeId === DuckDBTypeId.BLOB) return of(new Binary(), binaries);
  if (typeId === DuckDBTypeId.DATE) {
    const days = `CASE WHEN isfinite(${column}) THEN (${column} - DATE '1970-01-01')::INTEGER END`;
    return of(new DateDay(), (values) => ({ data: Int32Array.from(values, number) }), days);
  }
  return of(new Utf8(), texts, textColumn(column, type).sql);
}

/** An Arrow IPC stream of chunks, several to a batch. Returns the number of rows; the end marker is the caller's. */
export async function writeArrow(
  columns: readonly ArrowColumn[],
  chunks: AsyncIterable<unknown[][]>,
  output: Output,
): Promise<{ rows: number; end: () => Promise<void> }> {
  const encoder = new ArrowEncoder(columns);
  let batch: unknown[][] = columns.map(() => []);
  let held = 0;
  let rows = 0;
  for await (const values of chunks) {
    for (const [index, column] of values.entries()) batch[index]?.push(...column);
    held += 1;
    rows += values[0]?.length ?? 0;
    if (held < BATCH_CHUNKS) continue;
    await output.bytes(encoder.batch(batch));
    batch = columns.map(() => []);
    held = 0;
  }
  if (held > 0) await output.bytes(encoder.batch(batch));
  return { rows, end: () => output.bytes(encoder.end()) };
}

/** Bytes of an Arrow IPC stream, batch after batch; ends with the stream's end marker. */
class ArrowEncoder {
  readonly #columns: readonly ArrowColumn[];
  readonly #schema: Schema;
  readonly #writer = new BufferedWriter({ autoDestroy: false });

  constructor(columns: readonly ArrowColumn[]) {
    this.#columns = columns;
    this.#schema = new Schema(columns.map(({ name, type }) => new Field(name, type, true)));
    this.#writer.reset(undefined, this.#schema);
  }

  /** @param values one array per column, all of one length */
  batch(values: readonly (readonly unknown[])[]): Uint8Array {
    const length = values[0]?.length ?? 0;
    const children = this.#columns.map((column, index) => columnData(column, values[index] ?? []));
    const data = makeData({ type: new Struct(this.#schema.fields), length, nullCount: 0, children });
    this.#writer.write(new RecordBatch(this.#schema, data));
    return this.#writer.take();
  }

  end(): Uint8Array {
    // To the schema it has: writes the end marker and begins nothing new.
    this.#writer.reset(undefined, this.#schema);
    return this.#writer.take();
  }
}

/** Arrow's writer with a buffer that is emptied after every batch; its own queue has no bound. */
class BufferedWriter extends RecordBatchStreamWriter {
  #chunks: Uint8Array[] = [];

  take(): Uint8Array {
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [];
    return bytes;
  }

  protected override _write(chunk: ArrayBufferView): this {
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this._started && bytes.length > 0) {
      this.#chunks.push(bytes);
      this._position += bytes.length;
    }
    return this;
  }
}

function columnData({ type, layout }: ArrowColumn, values: readonly unknown[]): Data {
  const nullBitmap = bits(values, (value) => value !== null);
  const nullCount = values.reduce<number>((count, value) => (value === null ? count + 1 : count), 0);
  const props = { type, length: values.length, nullCount, nullBitmap, ...layout(values) };
  return makeData(props as Parameters<typeof makeData>[0]) as Data;
}

const number = (value: unknown): number => Number(value ?? 0);
const bigint = (value: unknown): bigint => BigInt((value ?? 0) as bigint);
const int64s = (values: readonly unknown[]): Layout => ({ data: BigInt64Array.from(values, bigint) });

/** 128-bit two's complement, little endian. */
function decimals(values: readonly unknown[]): Layout {
  const data = new BigUint64Array(values.length * 2);
  for (const [index, value] of values.entries()) {
    const whole = value !== null && typeof value === 'object' ? (value as { value: bigint }).value : bigint(value);
    data[index * 2] = BigInt.asUintN(64, whole);
    data[index * 2 + 1] = BigInt.asUintN(64, whole >> 64n);
  }
  return { data: new Uint32Array(data.buffer) };
}

function texts(values: readonly unknown[]): Layout {
  return variable(values, (value) => Buffer.from(value as string));
}

function binaries(values: readonly unknown[]): Layout {
  return variable(values, (value) => (value as { bytes: Uint8Array }).bytes);
}

function variable(values: readonly unknown[], bytesOf: (value: unknown) => Uint8Array): Layout {
  const valueOffsets = new Int32Array(values.length + 1);
  const chunks: Uint8Array[] = [];
  let end = 0;
  for (const [index, value] of values.entries()) {
    if (value !== null) {
      const bytes = bytesOf(value);
      chunks.push(bytes);
      end += bytes.length;
    }
    valueOffsets[index + 1] = end;
  }
  return { data: Buffer.concat(chunks, end), valueOffsets };
}

function bits(values: readonly unknown[], isSet: (value: unknown) => boolean): Uint8Array {
  const bitmap = new Uint8Array(Math.ceil(values.length / 64) * 8);
  for (const [index, value] of values.entries()) {
    if (isSet(value)) bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) | (1 << (index & 7));
  }
  return bitmap;
}
