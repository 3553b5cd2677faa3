import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type IndelibleError, isCode } from '../../journal/index.ts';
import { policyFault } from './fault.ts';
import type { PassageFile } from './passage-file.ts';
import { POLICY_LIMITS } from './policy-file.ts';
import { type PolicySet, parsePolicySet } from './policy-set.ts';

/** The policies that come with the package. */
export const SHIPPED_POLICIES = fileURLToPath(new URL('../../policies', import.meta.url));

const { passageFileBytesMax, passagesMax, policyFileBytesMax } = POLICY_LIMITS;

/**
 * Reads `dir/policy.json` and `dir/passages/*.md`. Names that begin with a dot are left alone: editors and volume
 * mounts put their own there.
 * @throws IndelibleError invalid: one line that names the file and the fix
 */
export async function loadPolicies(dir: string): Promise<PolicySet> {
  const policyFile = join(dir, 'policy.json');
  const policy = { file: policyFile, text: await readText(policyFile, policyFileBytesMax) };
  return parsePolicySet({ policy, passages: await readPassageFiles(join(dir, 'passages')) });
}

async function readPassageFiles(dir: string): Promise<PassageFile[]> {
  const names = (await orFault(dir, readdir(dir))).filter((name) => !name.startsWith('.')).sort();
  const other = names.find((name) => !name.endsWith('.md'));
  if (other !== undefined) throw fault(join(dir, other), 'is no passage: move it elsewhere, or give it the ending .md');
  if (names.length === 0) throw fault(dir, 'holds no passage: put at least one .md file there');
  if (names.length > passagesMax)
    throw fault(dir, `holds ${names.length} passages, more than ${passagesMax}: merge some`);
  const files = names.map((name) => join(dir, name));
  return Promise.all(files.map(async (file) => ({ file, text: await readText(file, passageFileBytesMax) })));
}

async function readText(file: string, bytesMax: number): Promise<string> {
  const found = await orFault(file, stat(file));
  if (!found.isFile()) throw fault(file, 'is no file: put the text itself there');
  if (found.size > bytesMax) throw fault(file, `has ${found.size} bytes, more than ${bytesMax}: shorten or split it`);
  const bytes = await orFault(file, readFile(file));
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw fault(file, 'is not UTF-8: save it with that encoding');
  }
}

async function orFault<T>(file: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (isCode(error, 'ENOENT')) {
      throw fault(
        file,
        `is missing: a folder of policies holds policy.json and passages/, and here is no ${basename(file)}`,
      );
    }
    throw fault(file, `cannot be read (${(error as NodeJS.ErrnoException).code}): check its kind and its permissions`);
  }
}

function fault(file: string, message: string): IndelibleError {
  return policyFault(file, { pointer: '', message });
}
