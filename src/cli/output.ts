import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Io } from './context.ts';
import { CliError, errorCode, EXIT } from './exit.ts';

/**
 * Copies a body to stdout, as slowly as its reader wants.
 * @throws CliError where the body breaks off: what was printed is then not the whole.
 */
export async function streamToStdout(io: Io, body: ReadableStream<Uint8Array>): Promise<void> {
  try {
    await pipeline(Readable.fromWeb(body), io.stdout, { end: false, signal: io.signal });
  } catch (error) {
    if (errorCode(error) !== 'EPIPE') throw brokenOff(io, error);
  }
}

/**
 * Writes a body to a file that appears only when it is whole: under another name first, then renamed.
 * @returns the bytes written
 */
export async function streamToFile(io: Io, body: ReadableStream<Uint8Array>, path: string): Promise<number> {
  const partial = join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}.partial`);
  let bytes = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  try {
    const file = createWriteStream(partial, { flags: 'wx', flush: true });
    await pipeline(Readable.fromWeb(body), counter, file, { signal: io.signal });
    await rename(partial, path);
    return bytes;
  } catch (error) {
    await rm(partial, { force: true });
    if (errorCode(error) === 'ENOENT') throw new CliError(EXIT.failure, `no such directory: ${dirname(path)}`);
    throw brokenOff(io, error);
  }
}

function brokenOff(io: Io, error: unknown): Error {
  if (io.signal.aborted) return new CliError(EXIT.interrupted, 'interrupted: what was written is not the whole');
  if (error instanceof CliError) return error;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CliError(EXIT.failure, `the answer broke off (${why}): what was written is not the whole`);
}
