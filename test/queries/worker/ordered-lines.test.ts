import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LineSlots } from '../../../queries/worker/line-slots.ts';
import { Ordering } from '../../../queries/worker/ordered-lines.ts';

/** Spools are named relative to the worker's directory. */
const home = process.cwd();
let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'indelible-lines-test-'));
  process.chdir(dir);
});
afterAll(() => {
  process.chdir(home);
  rmSync(dir, { recursive: true, force: true });
});

const lineOf = (seq: number, length: number) => `${seq}:`.padEnd(length, String(seq % 10));

type Made = { firstSeq: number; lengths: number[]; stride: number; slotsBytes: number; tempBytes: number };

/** Puts the lines in some order, reads them back range by range and compares; tells what it took. */
async function ordered({ firstSeq, lengths, stride, slotsBytes, tempBytes }: Made, extra: number[] = []) {
  const count = lengths.length;
  const slots = [new LineSlots(slotsBytes), new LineSlots(slotsBytes)];
  const seen = { passes: 0, diskBytes: 0, faults: [] as unknown[] };
  const ordering = new Ordering(slots, tempBytes);
  let next = firstSeq;
  const ranges = ordering.rangesOf({ firstSeq, lastSeq: firstSeq + count - 1 }, async (fromSeq, take) => {
    seen.passes += 1;
    const lines = Array.from({ length: count }, (_, nth) => (nth * stride) % count);
    const extras = extra.map((seq) => seq - firstSeq);
    for (const index of [...extras, ...lines]) {
      if (fromSeq > firstSeq && firstSeq + index < fromSeq) continue;
      const line = Buffer.from(lineOf(firstSeq + index, lengths[index] ?? 10));
      take(firstSeq + index, line, 0, line.length);
    }
  });
  for await (const range of ranges) {
    if (range.firstSeq !== next || !range.isComplete) throw new Error(`${range.firstSeq} is not ${next}, or not whole`);
    for (const { seq, bytes, start, end } of range.entries()) {
      if (seq !== next || bytes.toString('utf8', start, end) !== lineOf(seq, lengths[seq - firstSeq] as number)) {
        throw new Error(`the line of seq ${seq} at ${next} is another`);
      }
      next += 1;
    }
    if (range.fault) seen.faults.push(range.fault);
    const sizes = readdirSync(dir).map((name) => statSync(join(dir, name)).size);
    seen.diskBytes = Math.max(seen.diskBytes, ...sizes);
  }
  expect(next).toBe(firstSeq + count);
  expect(readdirSync(dir)).toEqual([]);
  return seen;
}

it('lines of any lengths come back in the order of seq, in memory or by way of the disk', async () => {
  const lengths = fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(300) }, fc.nat(40_000)), {
    minLength: 1,
    maxLength: 300,
  });
  await fc.assert(
    fc.asyncProperty(lengths, fc.nat(2 ** 32), fc.nat(6), async (some, firstSeq, power) => {
      // A stride without a common divisor with the count meets each once.
      const stride = [1, 7, 11, 13, 17].find((prime) => some.length % prime !== 0 || prime === 1) ?? 1;
      await ordered({ firstSeq, lengths: some, stride, slotsBytes: 1_000 * 4 ** power, tempBytes: 2 ** 40 });
    }),
    { numRuns: 60 },
  );
});

it('what the disk has no room for is read again, and the disk holds no more than it may', async () => {
  const lengths = Array.from({ length: 150_001 }, (_, index) => 100 + (index % 200));
  const tempBytes = 14 * 1024 * 1024;
  const seen = await ordered({ firstSeq: 5, lengths, stride: 7, slotsBytes: 16 * 1024 * 1024, tempBytes });
  expect(seen.passes).toBeGreaterThan(1);
  expect(seen.diskBytes).toBeLessThanOrEqual(tempBytes);
  expect(seen.diskBytes).toBeGreaterThan(tempBytes / 4);
});

it('without room for a single bucket it ends in an error that says so', async () => {
  const lengths = Array.from({ length: 140_000 }, () => 100);
  const made = { firstSeq: 0, lengths, stride: 11, slotsBytes: 1 << 20, tempBytes: 1 << 20 };
  await expect(ordered(made)).rejects.toMatchObject({ kind: 'too-large' });
  rmSync('lines-0.spool');
});

it('a seq that comes twice, or is of no range, is told with the range that it is in, or the last', async () => {
  const lengths = Array.from({ length: 140_000 }, () => 20);
  const made = { firstSeq: 10, lengths, stride: 11, slotsBytes: 4 << 20, tempBytes: 2 ** 40 };
  expect((await ordered(made, [70_000, 139_000])).faults).toEqual([
    { seq: 70_000, reason: 'seq 70000 appears twice' },
    { seq: 139_000, reason: 'seq 139000 appears twice' },
  ]);
  const told = (seq: number) => ({ seq, reason: `seq ${seq} is in a segment of other seqs` });
  expect((await ordered(made, [3, 900_000])).faults).toContainEqual(told(3));
  expect((await ordered(made, [900_000])).faults).toEqual([told(900_000)]);
  // In memory at first, then moved to disk.
  const few = { ...made, lengths: Array.from({ length: 900 }, () => 20), slotsBytes: 4_096 };
  expect((await ordered(few, [21])).faults).toContainEqual({ seq: 21, reason: 'seq 21 appears twice' });
});
