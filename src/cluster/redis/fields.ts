import { SYSTEM_WORKSPACE, WORKSPACE_PATTERN } from '../../../journal/index.ts';

/** Of an entry in a stream, as Redis keeps them: bytes under names. */
export type Fields = ReadonlyMap<string, Buffer>;

/** Why an entry cannot be read. Thrown inside the codecs only: who reads a stream is told, and goes on. */
export class Malformed extends Error {}

export function textOf(fields: Fields, name: string): string {
  const bytes = fields.get(name);
  if (bytes === undefined) throw new Malformed(`${name} is missing`);
  return bytes.toString();
}

/** A whole number from 0 on. */
export function numberOf(fields: Fields, name: string): number {
  const text = textOf(fields, name);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(Number(text))) throw new Malformed(`${name} is not a number`);
  return Number(text);
}

export function oneOf<Word extends string>(fields: Fields, name: string, words: readonly Word[]): Word {
  const text = textOf(fields, name);
  const found = words.find((word) => word === text);
  if (found === undefined) throw new Malformed(`${name} is none of ${words.join(', ')}`);
  return found;
}

/** Becomes part of a storage path: nothing but a workspace's name may pass. */
export function workspaceOf(fields: Fields): string {
  const text = textOf(fields, 'workspace');
  if (!WORKSPACE_PATTERN.test(text) && text !== SYSTEM_WORKSPACE)
    throw new Malformed('workspace is not the name of a workspace');
  return text;
}

/** The layout that the entry was written in. */
export function checkVersion(fields: Fields, version: string): void {
  if (textOf(fields, 'v') !== version) throw new Malformed(`v is not ${version}`);
}
