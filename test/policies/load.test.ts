import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadPolicies } from '../../src/policies/index.ts';
import { parsePolicySet } from '../../src/policies/policy-set.ts';
import { PASSAGE, policyText, texts } from './support.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'indelible-policies-'));
  mkdirSync(join(dir, 'passages'));
  writeFileSync(join(dir, 'policy.json'), policyText());
  writeFileSync(join(dir, 'passages', 'pipes.md'), PASSAGE);
});
afterEach(() => rmSync(dir, { recursive: true }));

const refused = (line: string) => expect(loadPolicies(dir)).rejects.toMatchObject({ kind: 'invalid', message: line });

describe('a folder of policies', () => {
  it('is read as its files say, whatever stands beside them', async () => {
    writeFileSync(join(dir, 'README.md'), 'About these policies.');
    writeFileSync(join(dir, 'passages', '.DS_Store'), 'x');
    writeFileSync(join(dir, 'passages', 'b.md'), PASSAGE);
    const { version, passages } = await loadPolicies(dir);
    expect(version).toBe(parsePolicySet(texts(policyText(), { 'pipes.md': PASSAGE, 'b.md': PASSAGE })).version);
    expect(passages.map(({ id }) => id)).toEqual(['b', 'pipes']);
  });

  it('may hold links, as volume mounts make them, and a byte order mark', async () => {
    const { version } = await loadPolicies(dir);
    rmSync(join(dir, 'policy.json'));
    mkdirSync(join(dir, '..data'));
    writeFileSync(join(dir, '..data', 'policy.json'), `\ufeff${policyText()}`);
    symlinkSync(join('..data', 'policy.json'), join(dir, 'policy.json'));
    expect((await loadPolicies(dir)).version).toBe(version);
  });

  it('is refused with the file and the fix', async () => {
    const policy = join(dir, 'policy.json');
    const pipes = join(dir, 'passages', 'pipes.md');
    writeFileSync(pipes, new Uint8Array([0x23, 0x20, 0xff]));
    await refused(`${pipes}: is not UTF-8: save it with that encoding`);
    writeFileSync(pipes, PASSAGE + 'a'.repeat(16 * 1024));
    await refused(`${pipes}: has ${PASSAGE.length + 16 * 1024} bytes, more than 16384: shorten or split it`);
    writeFileSync(pipes, 'A leak is closed.');
    await refused(
      `${pipes}: must be "# TITLE", "Domains: all" or "Domains: A, B", and text, with one empty line between each`,
    );
    rmSync(pipes);
    await refused(`${join(dir, 'passages')}: holds no passage: put at least one .md file there`);
    writeFileSync(join(dir, 'passages', 'pipes.txt'), PASSAGE);
    await refused(`${join(dir, 'passages', 'pipes.txt')}: is no passage: move it elsewhere, or give it the ending .md`);
    rmSync(join(dir, 'passages'), { recursive: true });
    await refused(
      `${join(dir, 'passages')}: is missing: a folder of policies holds policy.json and passages/, and here is no passages`,
    );
    writeFileSync(policy, ' '.repeat(256 * 1024 + 1));
    await refused(`${policy}: has 262145 bytes, more than 262144: shorten or split it`);
    rmSync(policy);
    mkdirSync(policy);
    await refused(`${policy}: is no file: put the text itself there`);
    rmSync(policy, { recursive: true });
    await refused(
      `${policy}: is missing: a folder of policies holds policy.json and passages/, and here is no policy.json`,
    );
  });

  it('is no file, and holds no more passages than it may', async () => {
    for (let i = 0; i < 200; i++) writeFileSync(join(dir, 'passages', `p${i}.md`), PASSAGE);
    await refused(`${join(dir, 'passages')}: holds 201 passages, more than 200: merge some`);
    rmSync(join(dir, 'passages', 'p0.md'));
    expect((await loadPolicies(dir)).passages).toHaveLength(200);
    rmSync(join(dir, 'passages'), { recursive: true });
    writeFileSync(join(dir, 'passages'), '');
    await refused(`${join(dir, 'passages')}: cannot be read (ENOTDIR): check its kind and its permissions`);
  });
});
