import { rm } from 'node:fs/promises';

/**
 * Removes what a test made. The workers of a service that was killed end a moment after it, and may until then still
 * write into its directory, so that one pass over it does not always leave it empty.
 */
export async function removeDir(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
