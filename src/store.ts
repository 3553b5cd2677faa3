import { DirectoryStore, type ObjectStore, openS3Store, probeStore } from '../journal/index.ts';
import type { Config } from './settings.ts';
import { parseStore } from './store-location.ts';
import { systemRandom } from './system.ts';

/** Other services than AWS rarely care, but a request cannot be signed without one. */
const REGION_ELSEWHERE = 'us-east-1';

/** The object store of the configuration. Nothing is asked of it yet. */
export async function openConfiguredStore(
  { store, s3Endpoint }: Pick<Config, 'store' | 's3Endpoint'>,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ObjectStore> {
  const location = parseStore(store);
  if (location.kind === 'directory') return new DirectoryStore(location.path);
  const named = env.AWS_REGION ?? env.AWS_DEFAULT_REGION;
  const region = named ?? (s3Endpoint === undefined ? undefined : REGION_ELSEWHERE);
  return openS3Store({ bucket: location.bucket, prefix: location.prefix, endpoint: s3Endpoint, region });
}

/** The same, once it has shown that it keeps its promises. @throws where it does not */
export async function openProvenStore(config: Pick<Config, 'store' | 's3Endpoint'>): Promise<ObjectStore> {
  const store = await openConfiguredStore(config, process.env);
  // A file system keeps them; what speaks S3 may not.
  if (parseStore(config.store).kind === 's3') await probeStore(store, systemRandom);
  return store;
}
