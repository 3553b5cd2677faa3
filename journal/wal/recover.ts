import { Buffer } from 'node:buffer';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { IndelibleError } from '../errors.ts';
import { checkLine, type LineRef } from './format.ts';
import type { ClosedWalFile, SeqRange } from './wal.ts';

/** A line whose hash was checked. */
export type RecoveredLine = LineRef & {
  workspace: string;
  seq: number;
  eventId: string;
  entityId: string;
  recordedAt: string;
  prevHash: string;
  eventHash: string;
};

export type Recovery = {
  files: ClosedWalFile[];
  nextFileNumber: number;
  /** Bytes of a torn write that were cut off. They were never acknowledged. */
  cutBytes: number;
};

const NAME = /^(\d{20})\.ndjson$/;
const NEWLINE = 0x0a;
const SECTOR_BYTES = 512;

/**
 * Reads what an earlier process left behind, oldest first, handing every line to `onLine`. Each line is checked by its
 * hash. A torn write at the end of the newest file is cut off; any other damage throws `corrupt` and changes nothing.
 */
export async function recoverWal(
  dir: string,
  onLine: (line: RecoveredLine) => Promise<void> | undefined,
): Promise<Recovery> {
  const names = (await readdir(dir)).filter((name) => NAME.test(name)).sort();
  const newest = names.at(-1);
  const recovery: Recovery = { files: [], nextFileNumber: newest ? Number(newest.slice(0, 20)) + 1 : 1, cutBytes: 0 };
  for (const name of names) {
    const path = join(dir, name);
    const buffer = await readWhole(path);
    const ranges = new Map<string, SeqRange>();
    let events = 0;
    let lineBytesMax = 0;
    let validBytes = 0;
    for (const ref of validLines(path, buffer, name === newest)) {
      const line = parseLine(path, ref);
      const pending = onLine(line);
      if (pending) await pending;
      const range = ranges.get(line.workspace);
      if (range) range.lastSeq = line.seq;
      else ranges.set(line.workspace, { firstSeq: line.seq, lastSeq: line.seq });
      events += 1;
      validBytes = ref.end + 1;
      lineBytesMax = Math.max(lineBytesMax, validBytes - ref.start);
    }
    if (validBytes < buffer.length) {
      recovery.cutBytes += buffer.length - validBytes;
      await cutFile(path, validBytes);
    }
    recovery.files.push({ path, sizeBytes: validBytes, events, lineBytesMax, ranges });
  }
  return recovery;
}

/** The valid lines of a file, up to a torn write at its end. */
function* validLines(path: string, buffer: Buffer, isNewest: boolean): Generator<LineRef> {
  let start = 0;
  let group = 0;
  while (start < buffer.length) {
    const end = buffer.indexOf(NEWLINE, start);
    const line = end === -1 ? undefined : checkLine(buffer, start, end);
    // The hash does not cover `group`: it is the group before, or begins here.
    if (!line || (line.group !== group && line.group !== start)) {
      if (isNewest && isTornWrite(buffer, start, end)) return;
      throw new IndelibleError(
        'corrupt',
        `${path} is damaged at byte ${start}: this is no torn write, an acknowledged event does not match its hash. ` +
          'Nothing was changed. Restore the file from a backup, or see "A damaged write-ahead log" in docs/operations.md',
      );
    }
    yield { buffer, start, end };
    group = line.group;
    start = end + 1;
  }
}

/**
 * Whether the damage that begins at `start` can be a write that was under way when the machine stopped: a missing end,
 * or blocks that never reached the disk and read as zeros, in the last group of the file.
 */
function isTornWrite(buffer: Buffer, start: number, lineEnd: number): boolean {
  const end = lineEnd === -1 ? buffer.length : lineEnd;
  if (lineEnd === -1) {
    // A whole line before one last byte that should have been its newline: that byte was changed.
    if (checkLine(buffer, start, end - 1)) return false;
  } else if (!holdsLostBlock(buffer, start, end)) {
    return false;
  }
  for (let from = end + 1; from < buffer.length; ) {
    const newline = buffer.indexOf(NEWLINE, from);
    if (newline === -1) break;
    const later = checkLine(buffer, from, newline);
    if (later && later.group > start) return false;
    from = newline + 1;
  }
  return true;
}

/** Whether the line's zeros are whole sectors of the disk: a single zero byte is a byte that was changed. */
function holdsLostBlock(buffer: Buffer, start: number, end: number): boolean {
  const zero = buffer.indexOf(0, start);
  if (zero === -1 || zero >= end) return false;
  let after = zero;
  while (after < buffer.length && buffer[after] === 0) after += 1;
  const beginsWhole = zero === start || zero % SECTOR_BYTES === 0;
  return beginsWhole && (after === buffer.length || after % SECTOR_BYTES === 0);
}

function parseLine(path: string, ref: LineRef): RecoveredLine {
  const line = JSON.parse(ref.buffer.toString('utf8', ref.start, ref.end)) as Record<string, unknown>;
  if (line.v !== 1 || typeof line.seq !== 'number' || typeof line.workspace_id !== 'string') {
    throw new IndelibleError(
      'corrupt',
      `${path} holds a line of a format this version does not know, at byte ${ref.start}`,
    );
  }
  return {
    ...ref,
    workspace: line.workspace_id,
    seq: line.seq,
    eventId: String(line.event_id),
    entityId: String(line.entity_id),
    recordedAt: String(line.recorded_at),
    prevHash: String(line.prev_hash),
    eventHash: String(line.event_hash),
  };
}

async function readWhole(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const buffer = Buffer.allocUnsafeSlow(size);
    let done = 0;
    while (done < size) {
      // One read call gives at most 2 GiB.
      const { bytesRead } = await handle.read(buffer, done, Math.min(size - done, 2 ** 30), done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer.subarray(0, done);
  } finally {
    await handle.close();
  }
}

async function cutFile(path: string, length: number): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.truncate(length);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
