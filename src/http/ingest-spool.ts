import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { IndelibleError, isCode } from '../../journal/index.ts';
import { gunzipped } from './body.ts';

export type Spooled = {
  path: string;
  /** Of the file's content, unpacked: the same whether it was sent plain or as gzip. Lower-case hex. */
  sha256: string;
  bytes: number;
  /** The first bytes, to tell the format by. */
  head: Buffer;
  remove(): Promise<void>;
};

const HEAD_BYTES = 4;

/**
 * Writes an upload to a file, unpacking it where it is gzip by its first bytes, whatever it was called.
 * @throws IndelibleError too-large beyond `bytesMax`, invalid for damaged gzip or a broken connection, unavailable
 * where the disk is full.
 */
export async function spool(source: AsyncGenerator<Buffer>, dir: string, bytesMax: number): Promise<Spooled> {
  await mkdir(dir, { recursive: true });
  const path = join(dir, randomUUID());
  const remove = () => rm(path, { force: true });
  const file = await open(path, 'wx', 0o600);
  const digest = createHash('sha256');
  let head = Buffer.alloc(0);
  let bytes = 0;
  try {
    for await (const chunk of unpacked(source)) {
      if (head.length < HEAD_BYTES) head = Buffer.concat([head, chunk.subarray(0, HEAD_BYTES)]);
      bytes += chunk.length;
      if (bytes > bytesMax)
        throw new IndelibleError('too-large', `the file is larger than ${bytesMax} bytes, unpacked`);
      digest.update(chunk);
      await file.appendFile(chunk);
    }
    await file.close();
  } catch (error) {
    await file.close().catch(() => undefined);
    await remove();
    if (!isCode(error, 'ENOSPC')) throw error;
    throw new IndelibleError('unavailable', 'there is no room for the file', { cause: error, retryAfterS: 60 });
  }
  return { path, sha256: digest.digest('hex'), bytes, head, remove };
}

async function* unpacked(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const held: Buffer[] = [];
  let first = Buffer.alloc(0);
  while (first.length < 2) {
    const next = await source.next();
    if (next.done) break;
    held.push(next.value);
    first = Buffer.concat(held);
  }
  const whole = (async function* () {
    yield first;
    yield* source;
  })();
  if (first[0] === 0x1f && first[1] === 0x8b) yield* gunzipped(Readable.from(whole));
  else yield* whole;
}
