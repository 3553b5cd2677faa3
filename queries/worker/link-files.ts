import { copyFileSync, linkSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Link } from './protocol.ts';

/** A job's files in the working directory. */
export function symlinkAll(links: readonly Link[]): void {
  for (const { name, target } of links) {
    mkdirSync(dirname(name), { recursive: true });
    symlinkSync(target, name);
  }
}

/**
 * A directory that holds exactly these files. DuckDB lets a directory be read whose files change, but follows symbolic
 * links before it asks whether it may: so these are the files themselves.
 */
export function fillDirectory(directory: string, links: readonly Link[]): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  for (const { name, target } of links) hardLink(target, name);
}

function hardLink(target: string, name: string): void {
  try {
    linkSync(target, name);
  } catch (error) {
    // Another file system, or one without hard links.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error;
    copyFileSync(target, name);
  }
}
