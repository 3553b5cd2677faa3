import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** One source file: `path` is relative to the repository, with forward slashes. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

export const repository = fileURLToPath(new URL('../../../', import.meta.url));

/** Folders that hold code of ours. */
export const codeFolders = ['journal', 'projections', 'queries', 'src', 'test', 'bench', 'scripts', 'bin'];

const codeEndings = ['.ts', '.mjs', '.js'];

function filesUnder(folder: string): string[] {
  return readdirSync(path.join(repository, folder), { withFileTypes: true }).flatMap((entry) => {
    const inside = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesUnder(inside);
    return codeEndings.some((ending) => entry.name.endsWith(ending)) ? [inside] : [];
  });
}

/** Every source file of the named folders; a folder that does not exist is an error, not an empty one. */
export function sourceFiles(folders: readonly string[]): SourceFile[] {
  return folders.flatMap(filesUnder).map((file) => ({
    path: file,
    text: readFileSync(path.join(repository, file), 'utf8'),
  }));
}

export function readText(file: string): string {
  return readFileSync(path.join(repository, file), 'utf8');
}
