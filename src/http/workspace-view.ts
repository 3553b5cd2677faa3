import { GENESIS, IndelibleError, type Snapshot } from '../../journal/index.ts';
import type { Services } from './services.ts';

/**
 * True where the workspace has a journal, false where it was made but nothing is recorded yet.
 * @throws IndelibleError not-found
 */
export function knownWorkspace(services: Pick<Services, 'keys' | 'journals'>, workspace: string): boolean {
  if (services.journals.has(workspace)) return true;
  if (services.keys.workspace(workspace) !== undefined) return false;
  throw new IndelibleError('not-found', `there is no workspace '${workspace}'`);
}

/**
 * Opens the journal of a workspace, an empty one in memory where nothing is recorded yet.
 * @throws IndelibleError not-found
 */
export async function openJournal(services: Services, workspace: string): Promise<void> {
  if (knownWorkspace(services, workspace)) (await services.journals.snapshot(workspace)).release();
  else await services.journals.append(workspace, [], { ack: 'durable', create: true });
}

/** Runs `work` over one snapshot of the workspace and lets go of it. @throws IndelibleError not-found */
export async function withSnapshot<T>(
  services: Services,
  workspace: string,
  work: (snapshot: Snapshot) => Promise<T>,
): Promise<T> {
  const snapshot = await openSnapshot(services, workspace);
  try {
    return await work(snapshot);
  } finally {
    snapshot.release();
  }
}

/** A snapshot to `release()`; the empty one for a workspace without events. @throws IndelibleError not-found */
export async function openSnapshot(services: Services, workspace: string): Promise<Snapshot> {
  return knownWorkspace(services, workspace) ? services.journals.snapshot(workspace) : emptySnapshot(workspace);
}

function emptySnapshot(workspace: string): Snapshot {
  const nothing = function* (): Generator<never> {};
  return {
    workspace,
    start: GENESIS,
    committedSeq: -1,
    durableSeq: -1,
    files: [],
    tailEvents: nothing,
    tailEventsDescending: nothing,
    tailOfEntity: nothing,
    tailOfType: nothing,
    tailFiles: async () => [],
    hold: async () => ({ paths: [], release: () => undefined }),
    release: () => undefined,
  };
}
