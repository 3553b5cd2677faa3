import { crc32, constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { assert, IndelibleError, type JournalEvent } from '../../journal/index.ts';
import type { EntityKey } from './entity-key.ts';

/**
 * A file of history blocks (docs/format.md): `blocks ‖ index ‖ trailer`.
 *
 * - Block: zstd of lines, each `\n["<entity_id>",<seq>,<the other columns in the order of the table>]`, times as text with
 *   microseconds, the hash as hex. An event whose values are too large to be kept here is `\n["<entity_id>",<seq>]`.
 *   Lines ascend by the UTF-8 bytes of entity_id, then by seq, through all blocks.
 * - Index: zstd of a JSON header and its newline, then, padded to four bytes, five arrays of little-endian 32-bit
 *   numbers, one of each for a block (offsets has one more), then the first ids' bytes, then the filter of ids.
 * - Trailer, 32 bytes: offset of the index (64 bits), its bytes, its bytes before compression, the CRC-32 of the index and
 *   of these 16 bytes, version, magic.
 *
 * Every block has its CRC-32 in the index: what was damaged is found before it is decompressed.
 */
export const MAGIC = 'INDHIST\n';
export const VERSION = 1;
export const TRAILER_BYTES = 32;
const LENGTHS_BYTES = 16;
/** Offsets are 32 bits. */
export const FILE_BYTES_MAX = 2 ** 32 - 1;

/** Events with larger values are left to DuckDB: what is held for one look-up must not depend on what was recorded. */
export const EVENT_BYTES_MAX = 64 * 1024;

/** Which segment the blocks are of. */
export type Source = { key: string; sizeBytes: number; rows: number };

export type BlockIndex = {
  /** Where each block begins, and where the last one ends. */
  offsets: Uint32Array;
  /** Bytes of each before compression. */
  rawBytes: Uint32Array;
  checksums: Uint32Array;
  /** The first line of each: its seq, and where its id ends in `ids`. */
  firstSeqs: Uint32Array;
  idEnds: Uint32Array;
  ids: Buffer;
  filter: Buffer;
};

/** The file is not what was built: it is thrown away. */
export function damaged(message: string): IndelibleError {
  return new IndelibleError('corrupt', `history blocks: ${message}`);
}

/** Small blocks decompress fast; the higher levels hardly make them smaller. */
const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

export function compress(bytes: Buffer): Buffer {
  return zstdCompressSync(bytes, LEVEL);
}

/** @throws corrupt */
export function decompress(bytes: Buffer, rawBytes: number, checksum: number): Buffer {
  if (crc32(bytes) !== checksum) throw damaged('the checksum is another');
  return inflate(bytes, rawBytes);
}

function inflate(bytes: Buffer, rawBytes: number): Buffer {
  // With room for all of it at once, half the time goes.
  return zstdDecompressSync(bytes, { chunkSize: rawBytes + 64, maxOutputLength: rawBytes + 64 });
}

type Header = Source & { blocks: number; idBytes: number; filterBytes: number };

/** The index and the trailer of a file whose blocks end at `offset`. */
export function encodeIndex(source: Source, index: BlockIndex, offset: number): Buffer {
  const { offsets, rawBytes, checksums, firstSeqs, idEnds, ids, filter } = index;
  const header: Header = { ...source, blocks: rawBytes.length, idBytes: ids.length, filterBytes: filter.length };
  const text = Buffer.from(JSON.stringify(header));
  const head = Buffer.concat([text, Buffer.alloc(3 - (text.length % 4), ' '), Buffer.from('\n')]);
  const arrays = [offsets, rawBytes, checksums, firstSeqs, idEnds].map((array) => Buffer.from(array.buffer));
  const raw = Buffer.concat([head, ...arrays, ids, filter]);
  const compressed = compress(raw);
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeBigUInt64LE(BigInt(offset), 0);
  trailer.writeUInt32LE(compressed.length, 8);
  trailer.writeUInt32LE(raw.length, 12);
  trailer.writeUInt32LE(crc32(trailer.subarray(0, LENGTHS_BYTES), crc32(compressed)), 16);
  trailer.writeUInt32LE(VERSION, 20);
  trailer.write(MAGIC, 24, 'latin1');
  return Buffer.concat([compressed, trailer]);
}

export type Trailer = { offset: number; bytes: number; rawBytes: number; lengths: Buffer; checksum: number };

/** @throws corrupt where it is not one of this version, or not that of a file with so many bytes. */
export function decodeTrailer(trailer: Buffer, fileBytes: number): Trailer {
  const isOurs = trailer.length === TRAILER_BYTES && trailer.toString('latin1', 24) === MAGIC;
  if (!isOurs || trailer.readUInt32LE(20) !== VERSION) throw damaged('no history blocks of this version');
  const offset = Number(trailer.readBigUInt64LE(0));
  const bytes = trailer.readUInt32LE(8);
  if (offset + bytes + TRAILER_BYTES !== fileBytes) throw damaged('the file has another length');
  const lengths = trailer.subarray(0, LENGTHS_BYTES);
  return { offset, bytes, rawBytes: trailer.readUInt32LE(12), lengths, checksum: trailer.readUInt32LE(16) };
}

/** @throws corrupt where it is not that of the source. */
export function decodeIndex(compressed: Buffer, trailer: Trailer, source: Source): BlockIndex {
  if (crc32(trailer.lengths, crc32(compressed)) !== trailer.checksum) throw damaged('the index has another checksum');
  const raw = inflate(compressed, trailer.rawBytes);
  const headBytes = raw.indexOf('\n') + 1;
  const header = JSON.parse(raw.toString('utf8', 0, headBytes)) as Header;
  const { key, sizeBytes, rows, blocks, idBytes, filterBytes } = header;
  if (key !== source.key || sizeBytes !== source.sizeBytes || rows !== source.rows) {
    throw damaged('the blocks are of another segment');
  }
  let at = headBytes;
  const numbers = (count: number): Uint32Array => {
    const copy = new Uint32Array(count);
    raw.copy(new Uint8Array(copy.buffer), 0, at, at + 4 * count);
    at += 4 * count;
    return copy;
  };
  // Copies: what is kept must not hold on to a larger buffer.
  const bytes = (count: number): Buffer => {
    at += count;
    return Buffer.from(raw.subarray(at - count, at));
  };
  return {
    offsets: numbers(blocks + 1),
    rawBytes: numbers(blocks),
    checksums: numbers(blocks),
    firstSeqs: numbers(blocks),
    idEnds: numbers(blocks),
    ids: bytes(idBytes),
    filter: bytes(filterBytes),
  };
}

/** Memory that an index takes, in bytes. */
export function indexBytes({ offsets, ids, filter }: BlockIndex): number {
  return 5 * 4 * offsets.length + ids.length + filter.length;
}

/** The blocks that may hold the entity's events with fromSeq ≤ seq ≤ toSeq, as indexes; none where first > last. */
export function blockRange(
  index: BlockIndex,
  key: EntityKey,
  fromSeq: number,
  toSeq: number,
): { first: number; last: number } {
  return { first: Math.max(0, blocksUpTo(index, key, fromSeq) - 1), last: blocksUpTo(index, key, toSeq) - 1 };
}

/** How many blocks begin at or before the position. */
function blocksUpTo({ idEnds, ids, firstSeqs }: BlockIndex, { id }: EntityKey, seq: number): number {
  let low = 0;
  let high = idEnds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const begin = middle === 0 ? 0 : (idEnds[middle - 1] as number);
    const order = ids.compare(id, 0, id.length, begin, idEnds[middle]) || (firstSeqs[middle] as number) - seq;
    if (order <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

type Line = [
  entity_id: string,
  seq: number,
  event_id: string,
  occurred_at: string,
  recorded_at: string,
  workspace_id: string,
  entity_type: string,
  field: string,
  action: string,
  old_value: string | null,
  new_value: string | null,
  actor: string,
  actor_type: string | null,
  source: string | null,
  correlation_id: string | null,
  metadata: string | null,
  event_hash: string,
];
type LargeLine = [entity_id: string, seq: number];

/** The entity's events of a block with fromSeq ≤ seq ≤ toSeq, ascending; 'large': one of them is not kept here. */
export function eventsOfBlock(raw: Buffer, key: EntityKey, fromSeq: number, toSeq: number): JournalEvent[] | 'large' {
  const events: JournalEvent[] = [];
  const { linePrefix } = key;
  let at = raw.indexOf(linePrefix);
  while (at >= 0) {
    const next = raw.indexOf(10, at + 1);
    const end = next < 0 ? raw.length : next;
    const line = JSON.parse(raw.toString('utf8', at + 1, end)) as Line | LargeLine;
    const seq = line[1];
    if (seq >= fromSeq && seq <= toSeq) {
      if (line.length === 2) return 'large';
      events.push(eventOf(line));
    }
    at = next >= 0 && linePrefix.equals(raw.subarray(next, next + linePrefix.length)) ? next : -1;
  }
  return events;
}

function eventOf(line: Line): JournalEvent {
  assert(line.length === 17, 'a line of a history block has every column');
  return {
    seq: line[1],
    event_id: line[2],
    occurred_at: line[3],
    recorded_at: line[4],
    workspace_id: line[5],
    entity_type: line[6],
    entity_id: line[0],
    field: line[7],
    action: line[8],
    old_value: line[9],
    new_value: line[10],
    actor: line[11],
    actor_type: line[12],
    source: line[13],
    correlation_id: line[14],
    metadata: line[15],
    event_hash: line[16],
  };
}
