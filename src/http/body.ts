import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { IndelibleError, invalid, LIMITS } from '../../journal/index.ts';
import { EdgeError } from './problem.ts';

/** What decompression may yield before its ratio counts, and the ratio no honest text reaches. */
const RATIO_FREE_BYTES = 64 * 1024 * 1024;
const RATIO_MAX = 400;

/** A body that does not count. */
const FREE_BYTES = 64 * 1024;

/** A body that is read whole where a stream would do too. */
const SMALL_BYTES = 1024 * 1024;

/** What is left of a refused upload is read up to here, so that the client gets to see the answer. */
const DRAIN_BYTES_MAX = 64 * 1024 * 1024;
const DRAIN_MS = 2_000;

/**
 * Request bodies held in memory at once, all connections together. Small bodies do not count: a connection holds one at
 * a time.
 */
export class BodyBudget {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax = 512 * 1024 * 1024) {
    this.#bytesMax = bytesMax;
  }

  /**
   * Reserves what the request may hold at once.
   * @returns bytes to give back.
   * @throws IndelibleError busy
   */
  take({ headers }: IncomingMessage): number {
    const isKnown = headers['content-encoding'] === undefined && headers['content-length'] !== undefined;
    const bytes = isKnown ? Math.min(Number(headers['content-length']), LIMITS.bodyBytesMax) : LIMITS.bodyBytesMax;
    if (bytes <= FREE_BYTES) return 0;
    if (this.#bytes + bytes > this.#bytesMax) {
      throw new IndelibleError('busy', 'too many large requests at once', { retryAfterS: 1 });
    }
    this.#bytes += bytes;
    return bytes;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** The plain body, whole. @throws IndelibleError too-large, invalid where the connection breaks off. */
export function readWhole(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const announced = request.headers['content-length'];
    if (announced !== undefined && Number(announced) > bytesMax) {
      reject(tooLarge(bytesMax));
      return;
    }
    let first: Buffer | undefined;
    let rest: Buffer[] | undefined;
    let bytes = 0;
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > bytesMax) {
        request.off('data', onData);
        request.pause();
        reject(tooLarge(bytesMax));
      } else if (first === undefined) {
        first = chunk;
      } else {
        rest ??= [first];
        rest.push(chunk);
      }
    };
    request.on('data', onData);
    request.on('end', () => resolve(rest === undefined ? (first ?? Buffer.alloc(0)) : Buffer.concat(rest, bytes)));
    request.on('error', (error) => reject(brokenOff(error)));
  });
}

/** Valid UTF-8 as text. @throws IndelibleError invalid */
export function utf8Text(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw invalid([{ pointer: '', message: 'is not valid UTF-8' }]);
  return bytes.toString();
}

/** The body, gunzipped where Content-Encoding says so, whole. */
export function readDecoded(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const isPlain = request.headers['content-encoding'] === undefined;
  return isPlain ? readWhole(request, bytesMax) : readUnpacked(request, bytesMax);
}

async function readUnpacked(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of decoded(request)) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw tooLarge(bytesMax);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

/** The body as a stream, decoded by its Content-Encoding. @throws EdgeError for an unknown coding. */
export function decoded(request: IncomingMessage): AsyncGenerator<Buffer> {
  const coding = request.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (coding === 'gzip' || coding === 'x-gzip') return gunzipped(request);
  if (coding === 'identity') return plain(request);
  throw new EdgeError('unsupported-media-type', `Content-Encoding '${coding.slice(0, 32)}' is not known: use gzip`, {
    'Accept-Encoding': 'gzip',
  });
}

async function* plain(request: IncomingMessage): AsyncGenerator<Buffer> {
  if (Number(request.headers['content-length'] ?? Number.NaN) <= SMALL_BYTES) {
    // At once is faster by far than chunk by chunk, and costs as much memory as one chunk of lines anyway.
    yield await readWhole(request, SMALL_BYTES);
    return;
  }
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) yield chunk as Buffer;
  } catch (error) {
    throw brokenOff(error);
  }
}

/** @throws IndelibleError invalid for damaged gzip, too-large for what only a bomb unpacks to. */
export async function* gunzipped(source: Readable): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  let sourceError: unknown;
  let packed = 0;
  let unpacked = 0;
  const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      packed += chunk.length;
      yield chunk;
    }
  };
  source.once('error', (error) => {
    sourceError = error;
  });
  pipeline(source.iterator({ destroyOnReturn: false }), counted, gunzip, () => undefined);
  try {
    for await (const chunk of gunzip) {
      unpacked += (chunk as Buffer).length;
      if (unpacked > RATIO_FREE_BYTES && unpacked > packed * RATIO_MAX) {
        throw new IndelibleError('too-large', `the body unpacks to more than ${RATIO_MAX} times its size`);
      }
      yield chunk as Buffer;
    }
  } catch (error) {
    if (error instanceof IndelibleError) throw error;
    if (sourceError !== undefined) throw brokenOff(sourceError);
    throw invalid([{ pointer: '', message: 'is not whole, valid gzip' }]);
  } finally {
    gunzip.destroy();
  }
}

/**
 * Reads what is left of a refused upload, for a little while, then closes the connection: without it the client's
 * system may throw the answer away unread.
 */
export function drainOrClose(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  let bytes = 0;
  const close = () => request.socket.destroySoon();
  const timer = setTimeout(close, DRAIN_MS);
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DRAIN_BYTES_MAX) close();
  });
  for (const event of ['end', 'error', 'close']) request.once(event, () => clearTimeout(timer));
  request.resume();
}

function tooLarge(bytesMax: number): IndelibleError {
  const streamed = bytesMax === LIMITS.bodyBytesMax ? '; longer NDJSON is taken as a stream' : '';
  return new IndelibleError('too-large', `the body is larger than ${bytesMax} bytes${streamed}`);
}

function brokenOff(cause: unknown): IndelibleError {
  return new IndelibleError('invalid', 'the request broke off before its end', { cause });
}
