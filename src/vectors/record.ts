import { crc32 } from 'node:zlib';
import { assert } from '../../journal/index.ts';
import type { CachedVerdict, Partition } from '../judging/index.ts';
import { VECTOR_LENGTH_MAX, type VerdictEntry, vectorBytes, vectorOfBytes } from './entries.ts';
import { SKETCH_WORDS } from './sketch.ts';

/**
 * The index file, all numbers little-endian: the 12 bytes of FILE_HEADER, then records to its end.
 *
 * | offset | bytes | a record |
 * |---|---|---|
 * | 0 | 4 | length of what follows the checksum, uint32 |
 * | 4 | 4 | CRC-32 of what follows, uint32 |
 * | 8 | 8 | seq, float64 |
 * | 16 | 4 | n, the values of the vector, uint32; 0: a mark, which only says through which seq the index is complete, and is the last record |
 * | 20 | 64 | the vector's sketch, 16 × uint32; not in a mark |
 * | 84 | 4n | the vector, float32; not in a mark |
 * | 84 + 4n | rest | JSON: event_id, partition, fingerprint, risk_level, narrative; not in a mark |
 */
const VERSION = 1;
export const FILE_HEADER = Buffer.from([...Buffer.from('INDLVECT', 'latin1'), VERSION, 0, 0, 0]);

/** Before what the checksum covers. */
export const PREFIX_BYTES = 8;
const MARK_BYTES = 12;
const SKETCH_AT = PREFIX_BYTES + MARK_BYTES;
const VECTOR_AT = SKETCH_AT + 4 * SKETCH_WORDS;
/** JSON text of values of an event, each character escaped at worst sixfold, and the longest vector. */
export const RECORD_BYTES_MAX = 16 * 1024 * 1024;

/** What is told of an entry without its vector and without its text. */
export type RecordHead = { seq: number; vectorLength: number };

type EntryText = {
  event_id: string;
  partition: Partition;
  fingerprint: string;
  risk_level: CachedVerdict['riskLevel'];
  narrative: string;
};

export function encodeEntry(entry: VerdictEntry, sketch: Uint32Array): Buffer {
  const { vector, cached, partition, fingerprint } = entry;
  assert(vector.length > 0 && vector.length <= VECTOR_LENGTH_MAX, 'a vector is of 1 to 16,384 values');
  const { embeddingModel, policyVersion, rule } = partition;
  const text: EntryText = {
    event_id: cached.eventId,
    partition: { embeddingModel, policyVersion, rule },
    fingerprint,
    risk_level: cached.riskLevel,
    narrative: cached.narrative,
  };
  const textBytes = Buffer.from(JSON.stringify(text));
  const textAt = VECTOR_AT + 4 * vector.length;
  const record = Buffer.alloc(textAt + textBytes.length);
  sketch.forEach((word, index) => {
    record.writeUInt32LE(word, SKETCH_AT + 4 * index);
  });
  record.set(vectorBytes(vector), VECTOR_AT);
  record.set(textBytes, textAt);
  return sealed(record, entry.seq, vector.length);
}

/** Says that the index is complete through this seq, where the last verdicts before it made no entry. */
export function encodeMark(seq: number): Buffer {
  return sealed(Buffer.alloc(PREFIX_BYTES + MARK_BYTES), seq, 0);
}

function sealed(record: Buffer, seq: number, vectorLength: number): Buffer {
  assert(record.length <= RECORD_BYTES_MAX, 'an entry of the index fits its limit');
  record.writeUInt32LE(record.length - PREFIX_BYTES, 0);
  record.writeDoubleLE(seq, 8);
  record.writeUInt32LE(vectorLength, 16);
  record.writeUInt32LE(crc32(record.subarray(PREFIX_BYTES)), 4);
  return record;
}

/** Length of the whole record, whose first bytes these are; undefined where none can be that long or that short. */
export function recordLength(prefix: Buffer): number | undefined {
  const length = PREFIX_BYTES + prefix.readUInt32LE(0);
  return length < PREFIX_BYTES + MARK_BYTES || length > RECORD_BYTES_MAX ? undefined : length;
}

/** Whether a whole record says what was written. */
export function isSound(record: Buffer): boolean {
  if (record.readUInt32LE(4) !== crc32(record.subarray(PREFIX_BYTES))) return false;
  const { vectorLength } = headOf(record);
  return vectorLength === 0 || VECTOR_AT + 4 * vectorLength < record.length;
}

export function headOf(record: Buffer): RecordHead {
  return { seq: record.readDoubleLE(8), vectorLength: record.readUInt32LE(16) };
}

export function sketchOfRecord(record: Buffer): Uint32Array {
  return Uint32Array.from({ length: SKETCH_WORDS }, (_, index) => record.readUInt32LE(SKETCH_AT + 4 * index));
}

/** What a sound record that is not a mark says, but for its vector. */
export function decodeEntry(record: Buffer): Omit<VerdictEntry, 'vector'> {
  const { seq, vectorLength } = headOf(record);
  const text = JSON.parse(record.toString('utf8', VECTOR_AT + 4 * vectorLength)) as EntryText;
  return {
    seq,
    partition: text.partition,
    fingerprint: text.fingerprint,
    cached: { eventId: text.event_id, riskLevel: text.risk_level, narrative: text.narrative },
  };
}

export function vectorOfRecord(record: Buffer): Float32Array {
  return vectorOfBytes(record.subarray(VECTOR_AT, VECTOR_AT + 4 * headOf(record).vectorLength));
}
