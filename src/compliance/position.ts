import { Buffer } from 'node:buffer';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isCode, type Journals, writeFileDurable } from '../../journal/index.ts';

/**
 * How far the signals of a workspace are judged: every one up to this event. A hint, which saves looking at all of them
 * after a restart: lost, old or damaged it costs time, since a signal with a verdict is not judged again. It names the event, so
 * that it does not count for another journal of the same name.
 */
export type Position = { seq: number; event_id: string };

/** -1: from the first event on. */
export async function readPosition(path: string, journals: Journals, workspace: string): Promise<number> {
  const position = await storedPosition(path);
  if (!position) return -1;
  const event = await journals.find(workspace, position.event_id);
  return event?.seq === position.seq ? position.seq : -1;
}

async function storedPosition(path: string): Promise<Position | undefined> {
  try {
    const { seq, event_id } = JSON.parse(await readFile(path, 'utf8')) as Partial<Position>;
    return typeof seq === 'number' && typeof event_id === 'string' ? { seq, event_id } : undefined;
  } catch (error) {
    if (isCode(error, 'ENOENT') || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export async function writePosition(path: string, position: Position): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFileDurable(path, Buffer.from(`${JSON.stringify(position)}\n`));
}
