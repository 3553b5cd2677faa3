import { type Ack, type AppendResult, type DraftBatch, type DraftEvent, IndelibleError } from '../../journal/index.ts';
import type { Principal, Services } from './services.ts';

/**
 * Records drafts in the workspace, all or none; an operator's first append makes it.
 * @throws IndelibleError conflict for a workspace that is closed; as Journals.append does
 */
export async function appendDrafts(
  { keys, journals }: Pick<Services, 'keys' | 'journals'>,
  { workspace, principal }: { workspace: string; principal: Principal },
  drafts: readonly DraftEvent[] | DraftBatch,
  ack: Exclude<Ack, 'queued'>,
): Promise<AppendResult> {
  const record = keys.workspace(workspace);
  if (record === undefined) await keys.createWorkspace(workspace, principal);
  else if (record.closed_at !== null) throw new IndelibleError('conflict', 'this workspace is closed to appends');
  return journals.append(workspace, drafts, { ack, create: true });
}
