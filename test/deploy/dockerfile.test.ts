import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanEnv } from '../cli/run.ts';
import { removeDir } from '../support/remove-dir.ts';
import { deployText, ROOT } from './deploy-files.ts';

type Instruction = { name: string; rest: string };

/** Without comments, each on one line. */
function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  const joined = lines
    .join('\n')
    .replaceAll(/\s*\\\n\s*/g, ' ')
    .split('\n');
  return joined
    .filter((line) => line !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
      return { name, rest };
    });
}

const all = instructionsOf(deployText('Dockerfile'));
const named = (name: string, of = all) => of.filter((each) => each.name === name).map(({ rest }) => rest);
const lastStage = all.slice(all.findLastIndex(({ name }) => name === 'FROM'));
const command = (text: string): string[] => JSON.parse(text.slice(text.indexOf('[')));

/** What the last stage takes from the repository: source → destination. */
const copied = named('COPY', lastStage)
  .filter((rest) => !rest.startsWith('--from'))
  .flatMap((rest) => {
    const paths = rest.split(' ');
    const to = paths.at(-1) ?? '';
    return paths
      .slice(0, -1)
      .map((from) => ({ from, to: to.endsWith('/') ? join(to, from.split('/').at(-1) ?? '') : to }));
  });

describe('Dockerfile', () => {
  it('is read: two stages, every line an instruction', () => {
    expect(named('FROM')).toHaveLength(2);
    expect(all.filter(({ name }) => name === '')).toEqual([]);
  });

  it('has the Node that the lock file pins, on glibc', () => {
    const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const major = devDependencies.node.split('.')[0];
    for (const from of named('FROM')) expect(from).toMatch(new RegExp(`^node:${major}-\\w+-slim\\b`));
  });

  it('copies what exists, and what the build may see', () => {
    expect(copied.length).toBeGreaterThan(5);
    const seen = deployText('Dockerfile.dockerignore').split('\n');
    expect(seen).toContain('*');
    for (const { from } of copied) {
      expect(existsSync(join(ROOT, from)), from).toBe(true);
      expect(seen).toContain(`!${from}`);
    }
  });

  it('is nobody with rights, and holds no secret', () => {
    const user = named('USER', lastStage);
    expect(user).toHaveLength(1);
    expect(user[0]).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(named('ARG')).toEqual([]);
    for (const variables of named('ENV')) expect(variables).not.toMatch(/SECRET|KEY|PASSWORD|TOKEN/);
    expect(copied.map(({ from }) => from)).not.toContain('.');
  });
});

describe('what the image holds', () => {
  const dir = mkdtempSync(join(tmpdir(), 'indelible-image-'));
  const environment = {
    ...Object.fromEntries(named('ENV').flatMap((rest) => rest.split(' ').map((pair) => pair.split('=')))),
  };
  const [healthcheck = ''] = named('HEALTHCHECK');

  beforeAll(() => {
    for (const { from, to } of copied) cpSync(join(ROOT, from), join(dir, to), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
    mkdirSync(join(dir, 'data'));
  });
  afterAll(() => removeDir(dir));

  /** A command of the image, in it. */
  const inImage = ([program = '', ...args]: string[], env: Record<string, string>) => {
    expect(program).toBe('node');
    return spawn(process.execPath, args, {
      cwd: dir,
      env: cleanEnv({ ...environment, INDELIBLE_HOST: '127.0.0.1', INDELIBLE_DATA: join(dir, 'data'), ...env }),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  };
  const exitCode = async (argv: string[], env: Record<string, string>) => {
    const [code] = await once(inImage(argv, env), 'exit');
    return code;
  };

  it('starts, and is healthy by its own check', async () => {
    const key = 'the-operator-key-of-the-image';
    const argv = [...command(named('ENTRYPOINT')[0] ?? ''), ...command(named('CMD')[0] ?? '')];
    const service = inImage(argv, { INDELIBLE_PORT: '0', INDELIBLE_OPERATOR_KEY: key, INDELIBLE_LOG_LEVEL: 'silent' });
    const ended = once(service, 'exit');
    try {
      let said = '';
      for await (const text of service.stderr) {
        said += text;
        if (said.includes('/docs)')) break;
      }
      const port = /127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (port === undefined) throw new Error(`it did not start: ${said}`);
      const probe = command(healthcheck);
      expect(await exitCode(probe, { INDELIBLE_PORT: port })).toBe(0);
      const ready = [...probe.slice(0, -1), '/ready'];
      expect(await exitCode(ready, { INDELIBLE_PORT: port, INDELIBLE_OPERATOR_KEY: key })).toBe(0);
      expect(await exitCode(ready, { INDELIBLE_PORT: port })).toBe(1);
      service.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
      expect(await exitCode(probe, { INDELIBLE_PORT: port })).toBe(1);
    } finally {
      service.kill('SIGKILL');
    }
  });
});
