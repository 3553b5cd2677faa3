import type { SnapshotFiles } from '../journal/index.ts';
import { linked, type Verification, type WorkerLimits, type WorkerPool } from './worker/index.ts';

/**
 * Recomputes every hash and every link of the snapshot from the stored columns alone. `first_bad` names the
 * lowest seq that fails and why; `events` counts what was examined up to the piece that holds it.
 * @throws IndelibleError timeout, too-large, busy, unavailable
 */
export async function verifySnapshot(
  pool: WorkerPool,
  files: SnapshotFiles,
  options: { limits: WorkerLimits; signal?: AbortSignal },
): Promise<Verification> {
  const snapshot = linked(files);
  const job = { kind: 'verify' as const, files: snapshot.files };
  const run = await pool.run<'verify'>(job, { ...options, links: snapshot.links });
  return run.done;
}
