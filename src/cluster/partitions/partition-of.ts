import { createHash } from 'node:crypto';
import { PARTITIONS, type Redis, redisError } from '../redis/index.ts';

/**
 * The partition whose stream takes a workspace's events, from 0: the first four bytes of SHA-256 over the workspace's
 * name in UTF-8, as a big-endian number, modulo `partitions`. A format: every process has to compute the same.
 */
export function partitionOf(workspace: string, partitions: number): number {
  return createHash('sha256').update(workspace).digest().readUInt32BE(0) % partitions;
}

/**
 * Settles how many partitions there are: the first process to ask decides for all.
 * @throws Error that names the setting, where another number was decided; unavailable where Redis is away
 */
export async function agreePartitions(redis: Redis, wanted: number): Promise<void> {
  const agreed = await decided(redis, wanted).catch((error: unknown) => {
    throw redisError(error);
  });
  if (agreed === String(wanted)) return;
  throw new Error(
    `this Redis has ${agreed} partitions, not ${wanted}: set INDELIBLE_PARTITIONS=${agreed}, for every process the same`,
  );
}

async function decided(redis: Redis, wanted: number): Promise<string | null> {
  await redis.setnx(PARTITIONS, wanted);
  return redis.get(PARTITIONS);
}
