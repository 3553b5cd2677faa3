import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CanonicalString } from '../../journal/drafts/index.ts';
import { canonicalEvent, leafHash, localDisk, ZERO_HASH } from '../../journal/index.ts';
import { type ClosedWalFile, type RecoveredLine, recoverWal, Wal } from '../../journal/wal/index.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'indelible-wal-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Groups of events of two workspaces, written by the log itself. `sizes` lists files of groups of events. */
async function written(sizes: readonly (readonly number[])[]): Promise<{ paths: string[]; ends: number[][] }> {
  const closed: ClosedWalFile[] = [];
  const wal = new Wal({
    dir,
    disk: localDisk,
    firstFileNumber: 1,
    fileBytesMax: 1 << 30,
    fileEventsMax: 1 << 30,
    onClosed: (file) => closed.push(file),
    onDurable: () => {},
    onRolledBack: () => {},
  });
  const heads = new Map<string, { seq: number; hash: string }>();
  const ends: number[][] = [];
  let made = 0;
  for (const groups of sizes) {
    const groupEnds: number[] = [];
    for (const events of groups) {
      for (let i = 0; i < events; i++) stageOne(wal, heads, made++);
      await wal.durable();
      groupEnds.push(wal.openBytes);
    }
    await wal.closeFile();
    ends.push(groupEnds);
  }
  expect(closed.map((file) => file.sizeBytes)).toEqual(ends.map((groupEnds) => groupEnds.at(-1)));
  return { paths: closed.map((file) => file.path), ends };
}

function stageOne(wal: Wal, heads: Map<string, { seq: number; hash: string }>, n: number): void {
  const workspace = n % 3 === 2 ? 'other' : 'acme';
  const head = heads.get(workspace) ?? { seq: -1, hash: ZERO_HASH };
  const canonical = canonicalEvent(
    {
      seq: head.seq + 1,
      event_id: `event-${n}`,
      occurred_at: '2026-01-02T03:04:05.000000Z',
      recorded_at: '2026-11-21T03:04:05.000000Z',
      workspace_id: workspace,
      entity_type: 'file',
      entity_id: `é${n}`,
      field: '*',
      action: 'update',
      old_value: null,
      new_value: `"${'x'.repeat(n * 7)}"`,
      actor: 'ann',
      actor_type: null,
      source: null,
      correlation_id: null,
      metadata: null,
    },
    head.hash,
  );
  const line = wal.stage(workspace, head.seq + 1, new CanonicalString(canonical));
  expect(line.eventHash).toBe(leafHash(canonical));
  heads.set(workspace, { seq: head.seq + 1, hash: line.eventHash });
}

async function recovered(): Promise<{ ids: string[]; cutBytes: number; nextFileNumber: number }> {
  const ids: string[] = [];
  const recovery = await recoverWal(dir, (line: RecoveredLine) => {
    ids.push(line.eventId);
    return undefined;
  });
  return { ids, cutBytes: recovery.cutBytes, nextFileNumber: recovery.nextFileNumber };
}

const named = (count: number) => Array.from({ length: count }, (_, i) => `event-${i}`);

/** The damage is refused, and not a byte of any file is changed. */
async function expectCorrupt(what: string): Promise<void> {
  const content = () => Buffer.concat(readdirSync(dir).map((name) => readFileSync(join(dir, name))));
  const before = content();
  const outcome = await recovered().catch((error: unknown) => error as { kind: string; message: string });
  const said = 'kind' in outcome ? `${outcome.kind} ${outcome.message}` : 'recovered';
  if (!/^corrupt .* damaged at byte \d/.test(said) || !content().equals(before)) expect.fail(`${what}: ${said}`);
}

describe('a whole log', () => {
  it('is read back, file by file, and left as it is', async () => {
    const { paths } = await written([[1, 2], [3]]);
    const before = paths.map((path) => readFileSync(path));
    expect(await recovered()).toEqual({ ids: named(6), cutBytes: 0, nextFileNumber: 3 });
    expect(paths.map((path) => readFileSync(path))).toEqual(before);
  });

  it('may be empty, or hold an empty file', async () => {
    expect(await recovered()).toEqual({ ids: [], cutBytes: 0, nextFileNumber: 1 });
    writeFileSync(join(dir, '00000000000000000007.ndjson'), '');
    expect(await recovered()).toEqual({ ids: [], cutBytes: 0, nextFileNumber: 8 });
  });
});

describe('a torn write', () => {
  it('at every byte of the last group: what was durable before is kept, and the rest cut off', async () => {
    const { paths, ends } = await written([[2, 3]]);
    const [path = ''] = paths;
    const [[first = 0, last = 0] = []] = ends;
    const whole = readFileSync(path);
    const lineEnds = newlines(whole).filter((end) => end > first);
    for (let cut = first; cut < last; cut++) {
      writeFileSync(path, whole.subarray(0, cut));
      const kept = lineEnds.filter((end) => end <= cut);
      const result = await recovered();
      expect(result.ids, `cut at ${cut}`).toEqual(named(2 + kept.length));
      const end = kept.at(-1) ?? first;
      expect(result.cutBytes).toBe(cut - end);
      expect(readFileSync(path).equals(whole.subarray(0, end))).toBe(true);
      expect(await recovered()).toMatchObject({ ids: result.ids, cutBytes: 0 });
    }
  });

  it.each([
    ['at the end', 2, 3],
    ['in the middle, whole lines behind it', 1, 2],
    ['at the beginning, whole lines behind it', 0, 1],
  ])('whose blocks never reached the disk reads as zeros, %s', async (_, from, to) => {
    const { paths, ends } = await written([[1, 40]]);
    const [path = ''] = paths;
    const [[first = 0] = []] = ends;
    const bytes = readFileSync(path);
    const block = 1024;
    const firstBlock = Math.ceil(first / block);
    const start = from === 0 ? first : (firstBlock + from) * block;
    bytes.fill(0, start, (firstBlock + to) * block);
    writeFileSync(path, bytes);
    const { ids, cutBytes } = await recovered();
    const kept = newlines(bytes).filter((end) => end <= start).length;
    expect(ids).toEqual(named(kept));
    expect(kept).toBeGreaterThan(0);
    expect(cutBytes).toBeGreaterThan(0);
  });

  it('that left nothing but zeros is cut off', async () => {
    const { paths, ends } = await written([[2, 2]]);
    const bytes = readFileSync(paths[0] ?? '');
    bytes.fill(0, ends[0]?.[0]);
    writeFileSync(paths[0] ?? '', bytes);
    expect((await recovered()).ids).toEqual(named(2));
  });
});

describe('any other damage is refused', () => {
  it('a changed byte anywhere in the earlier lines', async () => {
    const { paths, ends } = await written([[2, 2, 1]]);
    const [path = ''] = paths;
    const whole = readFileSync(path);
    for (let at = 0; at < (ends[0]?.[1] ?? 0); at++) {
      await flipped(path, whole, at, [0x01, 0x04, 0x20, 0x80][at % 4] as number);
    }
  });

  it('a changed byte anywhere in the last group, its newlines too', async () => {
    const { paths, ends } = await written([[1, 2]]);
    const [path = ''] = paths;
    const whole = readFileSync(path);
    for (let at = ends[0]?.[0] ?? 0; at < whole.length; at++) {
      // In turn, or to zero: a byte of zero is what a torn write leaves too.
      await flipped(path, whole, at, at % 2 === 0 ? (whole[at] as number) : ([0x01, 0x02, 0x20][at % 3] as number));
    }
  });

  it('zeros in an earlier group', async () => {
    const { paths, ends } = await written([[30, 5]]);
    const bytes = readFileSync(paths[0] ?? '');
    bytes.fill(0, 1024, 2048);
    expect(ends[0]?.[0]).toBeGreaterThan(2048);
    writeFileSync(paths[0] ?? '', bytes);
    await expectCorrupt('zeros before the last group');
  });

  it('a torn end or zeros in a file that is not the newest', async () => {
    const { paths } = await written([[2], [1]]);
    const [path = ''] = paths;
    const whole = readFileSync(path);
    for (const cut of [whole.length - 1, whole.length - 20, 10]) {
      writeFileSync(path, whole.subarray(0, cut));
      await expectCorrupt(`cut at ${cut}`);
    }
    const zeros = Buffer.from(whole);
    zeros.fill(0, 512);
    writeFileSync(path, zeros);
    await expectCorrupt('zeros');
  });

  it('text behind the last line that is no line', async () => {
    const { paths } = await written([[2]]);
    writeFileSync(paths[0] ?? '', Buffer.concat([readFileSync(paths[0] ?? ''), Buffer.from('{"group":0}\n')]));
    await expectCorrupt('a foreign line');
  });
});

async function flipped(path: string, whole: Buffer, at: number, mask: number): Promise<void> {
  const bytes = Buffer.from(whole);
  bytes[at] = (bytes[at] as number) ^ mask;
  writeFileSync(path, bytes);
  await expectCorrupt(`byte ${at}, mask ${mask}, '${String.fromCharCode(whole[at] as number)}'`);
}

/** Offsets behind each newline. */
function newlines(bytes: Buffer): number[] {
  const ends: number[] = [];
  for (let at = bytes.indexOf(0x0a); at !== -1; at = bytes.indexOf(0x0a, at + 1)) ends.push(at + 1);
  return ends;
}
