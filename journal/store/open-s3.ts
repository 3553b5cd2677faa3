import type { ObjectStore } from '../ports.ts';
import type { S3Options } from './s3.ts';

/** The SDK is large, and who has no bucket needs none of it. */
export async function openS3Store(options: S3Options): Promise<ObjectStore> {
  const { S3Store } = await import('./s3.ts');
  return new S3Store(options);
}
