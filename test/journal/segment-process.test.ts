import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SegmentProcess } from '../../journal/segment-process/index.ts';

const MEMORY_BYTES = 256 * 1024 * 1024;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'indelible-segments-'));
  mkdirSync(join(dir, 'temp'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** The processes that this one has started, to write segments. */
function children(): number[] {
  const lines = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' });
  return lines
    .split('\n')
    .filter((line) => line.includes('segment-process/main.ts'))
    .map((line) => Number.parseInt(line, 10));
}

test('a job that hangs is ended with its process; the next is done by another', async () => {
  const segments = new SegmentProcess({
    tempDir: join(dir, 'temp'),
    memoryLimitBytes: MEMORY_BYTES,
    threads: 1,
    jobMsMax: 3_000,
  });
  const wal = { path: join(dir, 'nothing.ndjson'), lineBytesMax: 100 };
  try {
    // There is no such file: an answer, and the process is there.
    const answer = segments.seal(wal, []).catch((error: Error) => error.message);
    expect(await answer).not.toContain('ended before');
    const [pid = 0] = children();
    process.kill(pid, 'SIGSTOP');
    await expect(segments.seal(wal, [])).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('ended before it was done'),
    });
    expect(await segments.seal(wal, []).catch((error: Error) => error.message)).toBe(await answer);
    expect(children()).not.toContain(pid);
  } finally {
    segments.close();
  }
});
