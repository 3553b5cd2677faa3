import { type FileHandle, open, rm } from 'node:fs/promises';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { IndelibleError } from '../errors.ts';
import { isNamed, retried, type S3Limits } from './s3-requests.ts';

/** A file up to this size goes in one request; a larger one in parts of it. Held in memory, one at a time. */
const PART_BYTES = 16 * 1024 * 1024;

type Target = { client: S3Client; bucket: string; key: string; limits: S3Limits };

/** Puts the file under the key and removes it. The service compares what arrives with our checksum. */
export async function uploadFile(target: Target, localPath: string): Promise<void> {
  const file = await open(localPath, 'r');
  try {
    const { size } = await file.stat();
    if (size <= PART_BYTES) await putBytes(target, await readPart(file, 0, size));
    else await putParts(target, file, size);
  } finally {
    await file.close();
  }
  await rm(localPath);
}

/** Puts the bytes under the key, over what is there. */
export async function putBytes({ client, bucket, key, limits }: Target, bytes: Uint8Array): Promise<void> {
  await retried(limits, (abortSignal) =>
    client.send(
      new PutObjectCommand({
        Bucket: bucket,
        Key: key,
        Body: bytes,
        ContentLength: bytes.length,
        ChecksumAlgorithm: 'CRC32',
      }),
      { abortSignal },
    ),
  );
}

async function putParts(target: Target, file: FileHandle, sizeBytes: number): Promise<void> {
  const { client, bucket, key, limits } = target;
  const created = await retried(limits, (abortSignal) =>
    client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: key, ChecksumAlgorithm: 'CRC32' }), {
      abortSignal,
    }),
  );
  const upload = { Bucket: bucket, Key: key, UploadId: created.UploadId };
  try {
    const parts: CompletedPart[] = [];
    for (let start = 0; start < sizeBytes; start += PART_BYTES) {
      const bytes = await readPart(file, start, Math.min(PART_BYTES, sizeBytes - start));
      const PartNumber = parts.length + 1;
      const { ETag, ChecksumCRC32 } = await retried(limits, (abortSignal) =>
        client.send(
          new UploadPartCommand({
            ...upload,
            PartNumber,
            Body: bytes,
            ContentLength: bytes.length,
            ChecksumAlgorithm: 'CRC32',
          }),
          { abortSignal },
        ),
      );
      parts.push({ PartNumber, ETag, ChecksumCRC32 });
    }
    await retried(limits, (abortSignal) =>
      client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: parts } }), {
        abortSignal,
      }),
    ).catch((error: unknown) => assertComplete(target, sizeBytes, error));
  } catch (error) {
    // Parts that nobody completes are paid for until somebody aborts them. Best effort: the store may be away.
    await client
      .send(new AbortMultipartUploadCommand(upload), { abortSignal: AbortSignal.timeout(limits.timeoutMs) })
      .catch(() => {});
    throw error;
  }
}

/** An upload that is gone when we complete it again was completed by the attempt whose answer was lost. */
async function assertComplete(
  { client, bucket, key, limits }: Target,
  sizeBytes: number,
  error: unknown,
): Promise<void> {
  if (!isNamed(error, 'NoSuchUpload')) throw error;
  const head = await retried(limits, (abortSignal) =>
    client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }), { abortSignal }),
  );
  if (head.ContentLength !== sizeBytes) throw error;
}

async function readPart(file: FileHandle, start: number, lengthBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  let filled = 0;
  while (filled < lengthBytes) {
    const { bytesRead } = await file.read(bytes, filled, lengthBytes - filled, start + filled);
    if (bytesRead === 0) throw new IndelibleError('unavailable', 'a local file became shorter while it was uploaded');
    filled += bytesRead;
  }
  return bytes;
}
