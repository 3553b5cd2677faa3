import { randomUUID } from 'node:crypto';
import { link, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * Durable file writes, all in one place. What returns has reached the disk: the file's bytes by fsync of the file,
 * its name by fsync of the directory that holds it.
 */

export async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** mkdir -p that survives the loss of power: every directory it made is synced into its parent. */
export async function makeDirDurable(dir: string): Promise<void> {
  const firstMade = await mkdir(dir, { recursive: true });
  if (firstMade === undefined) return;
  for (let made = dir; ; made = dirname(made)) {
    await syncDir(dirname(made));
    if (made === firstMade) return;
  }
}

async function writeSynced(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const handle = await open(path, 'wx', mode);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces the file, whole or not at all. */
export async function writeFileDurable(path: string, bytes: Uint8Array, mode = 0o644): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  try {
    await writeSynced(temporary, bytes, mode);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDir(dirname(path));
}

/** Creates the file if there is none: of many racing calls exactly one gets 'written'. Never shows partial content. */
export async function createFileDurable(path: string, bytes: Uint8Array): Promise<'written' | 'exists'> {
  const dir = dirname(path);
  const temporary = join(dir, `.${randomUUID()}.tmp`);
  try {
    await writeSynced(temporary, bytes, 0o644);
    await link(temporary, path);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
    // The winner's name may not have reached the disk yet; an answer that builds on it must.
    await syncDir(dir);
    return 'exists';
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDir(dir);
  return 'written';
}

/** Moves a finished local file to its place. Falls back to a copy where the two are on different file systems. */
export async function moveFileDurable(from: string, to: string): Promise<void> {
  const handle = await open(from, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await rename(from, to);
  } catch (error) {
    if (!isCode(error, 'EXDEV')) throw error;
    await copyThenRename(from, to);
  }
  await syncDir(dirname(to));
}

async function copyThenRename(from: string, to: string): Promise<void> {
  const temporary = join(dirname(to), `.${randomUUID()}.tmp`);
  try {
    const source = await open(from, 'r');
    const target = await open(temporary, 'wx');
    try {
      for await (const chunk of source.createReadStream({ autoClose: false })) await target.write(chunk as Uint8Array);
      await target.sync();
    } finally {
      await source.close();
      await target.close();
    }
    await rename(temporary, to);
  } finally {
    await rm(temporary, { force: true });
  }
  await rm(from, { force: true });
}

export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
