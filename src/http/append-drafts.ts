import {
  type Ack,
  type AppendResult,
  type DraftBatch,
  type DraftEvent,
  IndelibleError,
  type JournalQueue,
  type Queued,
} from '../../journal/index.ts';
import type { Principal, Services } from './services.ts';

type Asked = { workspace: string; principal: Principal };

/**
 * Records drafts in the workspace, all or none; an operator's first append makes it.
 * @throws IndelibleError conflict for a workspace that is closed; as Journals.append does
 */
export async function appendDrafts(
  { keys, journals }: Pick<Services, 'keys' | 'journals'>,
  asked: Asked,
  drafts: readonly DraftEvent[] | DraftBatch,
  ack: Exclude<Ack, 'queued'>,
): Promise<AppendResult> {
  const making = openForAppends(keys, asked);
  if (making !== undefined) await making;
  return journals.append(asked.workspace, drafts, { ack, create: true });
}

/**
 * Queues drafts for the workspace, all or none; an operator's first append makes it.
 * @throws IndelibleError conflict for a workspace that is closed; as JournalQueue.enqueue does
 */
export async function enqueueDrafts(
  { keys, queue }: Pick<Services, 'keys'> & { queue: JournalQueue },
  asked: Asked,
  drafts: readonly DraftEvent[] | DraftBatch,
): Promise<Queued> {
  const making = openForAppends(keys, asked);
  if (making !== undefined) await making;
  return queue.enqueue(asked.workspace, drafts);
}

/**
 * undefined, which is almost always: there is nothing to wait for.
 * @throws IndelibleError conflict for a workspace that is closed
 */
export function openForAppends(keys: Services['keys'], { workspace, principal }: Asked): Promise<unknown> | undefined {
  const record = keys.workspace(workspace);
  if (record === undefined) return keys.createWorkspace(workspace, principal);
  if (record.closed_at !== null) throw new IndelibleError('conflict', 'this workspace is closed to appends');
  return undefined;
}
