import { Buffer } from 'node:buffer';
import { type FileHandle, open, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { IndelibleError } from '../errors.ts';
import type { ObjectStore, StoredObject } from '../ports.ts';
import { assertKey } from './key.ts';
import {
  DamagedAnswerError,
  delayMs,
  isNamed,
  isTransient,
  retried,
  S3_LIMITS,
  type S3Limits,
  unavailable,
} from './s3-requests.ts';
import { putBytes, uploadFile } from './s3-upload.ts';

export type S3Options = {
  bucket: string;
  /** Above every key, without slashes at its ends; '': none. */
  prefix: string;
  /** Of another service than AWS; buckets are then part of the path. */
  endpoint?: string | undefined;
  /** undefined: from the AWS configuration. */
  region?: string | undefined;
  limits?: S3Limits;
};

/**
 * An object store in a bucket of S3, or of what speaks it. Credentials come from the usual AWS places. Every request has
 * its time and is sent again a few times; the SDK's own retries are off, because they would turn our own success into
 * somebody else's.
 */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #where: string;
  readonly #limits: S3Limits;

  constructor(options: S3Options) {
    const { bucket, prefix, endpoint, region, limits = S3_LIMITS } = options;
    this.url = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
    this.#where = endpoint === undefined ? this.url : `${this.url} at ${endpoint}`;
    this.#bucket = bucket;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.#limits = limits;
    this.#client = new S3Client({
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      ...(region !== undefined && { region }),
      maxAttempts: 1,
      requestHandler: { connectionTimeout: Math.min(5_000, limits.timeoutMs), socketTimeout: limits.timeoutMs },
    });
  }

  async putFile(key: string, localPath: string): Promise<void> {
    await uploadFile(this.#target(key), localPath).catch((error: unknown) => this.#fail(`storing ${key}`, error));
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<'written' | 'exists'> {
    const put = {
      Bucket: this.#bucket,
      Key: this.#name(key),
      Body: bytes,
      ContentLength: bytes.length,
      ChecksumAlgorithm: 'CRC32',
      IfNoneMatch: '*',
    } as const;
    let isUnknown = false;
    for (let number = 1; ; number++) {
      try {
        const abortSignal = AbortSignal.timeout(this.#limits.timeoutMs);
        await this.#client.send(new PutObjectCommand(put), { abortSignal });
        return 'written';
      } catch (error) {
        if (isNamed(error, 'PreconditionFailed')) {
          // The object may be our own, of an attempt whose answer was lost.
          return isUnknown && (await this.#holds(key, bytes)) ? 'written' : 'exists';
        }
        // Another writer is at the same key this instant, and may yet fail.
        const isRace = isNamed(error, 'ConditionalRequestConflict');
        if (number >= this.#limits.attemptsMax || !(isRace || isTransient(error))) this.#fail(`storing ${key}`, error);
        isUnknown ||= !isRace;
        await pause(delayMs(this.#limits, number));
      }
    }
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await putBytes(this.#target(key), bytes).catch((error: unknown) => this.#fail(`storing ${key}`, error));
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const chunks: Uint8Array[] = [];
    const reading = this.#read(key, async (body) => {
      chunks.length = 0;
      for await (const chunk of body) chunks.push(chunk as Uint8Array);
      return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    });
    const isThere = await reading.catch((error: unknown) => this.#fail(`reading ${key}`, error));
    return isThere ? Buffer.concat(chunks) : undefined;
  }

  async *list(prefix: string, startAfter = ''): AsyncIterable<StoredObject> {
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: this.#prefix + prefix,
        ...(token !== undefined && { ContinuationToken: token }),
        ...(token === undefined && startAfter !== '' && { StartAfter: this.#prefix + startAfter }),
      });
      const page = await retried(this.#limits, (abortSignal) => this.#client.send(command, { abortSignal })).catch(
        (error: unknown) => this.#fail(`listing ${prefix}*`, error),
      );
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
        yield { key: Key.slice(this.#prefix.length), sizeBytes: Size, modifiedMs: LastModified?.getTime() ?? 0 };
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(key: string): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#bucket, Key: this.#name(key) });
    await retried(this.#limits, (abortSignal) => this.#client.send(command, { abortSignal })).catch((error: unknown) =>
      this.#fail(`deleting ${key}`, error),
    );
  }

  pathOf(key: string): undefined {
    assertKey(key);
  }

  async download(key: string, localPath: string): Promise<void> {
    assertKey(key);
    const file = await open(localPath, 'wx');
    try {
      const isThere = await this.#read(key, (body) => writeWhole(file, body));
      if (!isThere) throw new IndelibleError('corrupt', `${key} is not in ${this.#where}`);
    } catch (error) {
      await rm(localPath, { force: true });
      this.#fail(`reading ${key}`, error);
    } finally {
      await file.close();
    }
  }

  /** Gives the object's bytes to `take`, which says how many came, from the first on again where an attempt fails. */
  async #read(key: string, take: (body: Readable) => Promise<number>): Promise<boolean> {
    const command = new GetObjectCommand({ Bucket: this.#bucket, Key: this.#name(key) });
    return retried(this.#limits, async (abortSignal) => {
      const found = await this.#client.send(command, { abortSignal }).catch((error: unknown) => {
        if (isNamed(error, 'NoSuchKey', 'NotFound')) return undefined;
        throw error;
      });
      if (found === undefined) return false;
      const bytes = await take(unlessSilent(found.Body as Readable, this.#limits.timeoutMs));
      if (bytes !== found.ContentLength) {
        throw new DamagedAnswerError(`${bytes} of ${found.ContentLength} bytes came`);
      }
      return true;
    });
  }

  async #holds(key: string, bytes: Uint8Array): Promise<boolean> {
    const found = await this.get(key);
    return found !== undefined && Buffer.compare(found, bytes) === 0;
  }

  #target(key: string) {
    return { client: this.#client, bucket: this.#bucket, key: this.#name(key), limits: this.#limits };
  }

  #name(key: string): string {
    assertKey(key);
    return this.#prefix + key;
  }

  #fail(what: string, error: unknown): never {
    throw unavailable(what, this.#where, error);
  }
}

async function writeWhole(file: FileHandle, body: Readable): Promise<number> {
  await file.truncate(0);
  let bytes = 0;
  for await (const chunk of body) {
    await file.write(chunk as Uint8Array, 0, (chunk as Uint8Array).length, bytes);
    bytes += (chunk as Uint8Array).length;
  }
  return bytes;
}

/** A body that ends in an error where nothing comes for so long. */
function unlessSilent(body: Readable, silenceMs: number): Readable {
  const timer = setTimeout(() => body.destroy(new DamagedAnswerError('the answer stopped')), silenceMs);
  body.on('data', () => timer.refresh());
  body.once('close', () => clearTimeout(timer));
  body.pause();
  // Whoever reads it sees the error; before the first read nobody would, and it would end the process.
  body.on('error', () => {});
  return body;
}
