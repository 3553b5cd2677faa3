import { describe, expect, it } from 'vitest';
import { complete, missingFrom, platformOf } from '../../scripts/complete-lock.mjs';
import { readText } from './support/source-files.ts';

interface Manifest {
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
  readonly allowScripts: Record<string, boolean>;
}

interface LockEntry {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly os?: string[];
  readonly cpu?: string[];
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

interface Lock {
  readonly packages: Record<string, LockEntry>;
}

const manifest = JSON.parse(readText('package.json')) as Manifest;
const lock = JSON.parse(readText('package-lock.json')) as Lock;
const locked = Object.entries(lock.packages).filter(([where]) => where !== '');

/** Whatever the service runs on, by name: a new one is a decision, and its reason a line in docs/dependencies.md. */
const runtimeDependencies = [
  '@aws-sdk/client-s3',
  '@duckdb/node-api',
  '@duckdb/node-bindings',
  '@google/genai',
  '@hono/node-server',
  '@hono/zod-openapi',
  'apache-arrow',
  'cockatiel',
  'commander',
  'hono',
  'ioredis',
  'pino',
  'prom-client',
  'swagger-ui-dist',
  'zod',
];

const inexact = (versions: Record<string, string>): string[] =>
  Object.entries(versions).flatMap(([name, range]) =>
    /^\d+\.\d+\.\d+[\w.+-]*$/.test(range) ? [] : [`${name}@${range}`],
  );

const undocumented = (names: readonly string[], text: string): string[] =>
  names.filter((name) => !text.split('\n').some((line) => line.startsWith(`| \`${name}\` |`)));

const registryAddresses = (entries: Lock['packages']): string[] =>
  Object.entries(entries).flatMap(([where, { resolved }]) => (resolved === undefined ? [] : [`${where}: ${resolved}`]));

const unreviewed = (entries: Lock['packages'], allow: Record<string, boolean>): string[] =>
  Object.entries(entries)
    .filter(([, entry]) => entry.hasInstallScript === true)
    .map(([where]) => where.slice(where.lastIndexOf('node_modules/') + 'node_modules/'.length))
    .filter((name) => allow[name] === undefined);

describe('packages', () => {
  it('have exact versions', () => {
    const all = { ...manifest.dependencies, ...manifest.devDependencies };
    expect(Object.keys(all).length).toBeGreaterThan(0);
    expect(inexact(all)).toEqual([]);
    expect(inexact({ a: '^1.0.0', b: '~1.0.0', c: '*', d: 'latest', e: '1.x', f: '1.5.6-r.1' })).toHaveLength(5);
  });

  it('that the service needs are the ones on the list', () => {
    expect(Object.keys(manifest.dependencies).sort()).toEqual(runtimeDependencies);
  });

  it('each have a line in docs/dependencies.md', () => {
    const names = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];
    expect(names.length).toBeGreaterThan(0);
    expect(undocumented(names, readText('docs/dependencies.md'))).toEqual([]);
    expect(undocumented(['a', 'b'], '| `a` | because |')).toEqual(['b']);
  });

  it('run install scripts only where package.json says so', () => {
    expect(locked.filter(([, entry]) => entry.hasInstallScript === true).length).toBeGreaterThan(0);
    expect(unreviewed(lock.packages, manifest.allowScripts)).toEqual([]);
    expect(manifest.allowScripts['@scarf/scarf']).toBe(false);
    const allowed = Object.keys(manifest.allowScripts).filter((name) => manifest.allowScripts[name] === true);
    expect(allowed).toEqual(['node']);
    expect(unreviewed({ 'node_modules/a/node_modules/@b/c': { hasInstallScript: true } }, {})).toEqual(['@b/c']);
  });
});

describe('the lock file', () => {
  it('is complete: every platform finds its packages', () => {
    expect(locked.length).toBeGreaterThan(100);
    expect(missingFrom(lock)).toEqual([]);
    const platforms = locked.filter(([where]) => where.startsWith('node_modules/@duckdb/node-bindings-'));
    const built = new Set(platforms.map(([, { os, cpu }]) => `${os?.join()} ${cpu?.join()}`));
    expect([...built].sort()).toEqual([
      'darwin arm64',
      'darwin x64',
      'linux arm64',
      'linux x64',
      'win32 arm64',
      'win32 x64',
    ]);
  });

  it('names no registry', () => {
    expect(registryAddresses(lock.packages)).toEqual([]);
    expect(registryAddresses({ 'node_modules/a': { resolved: 'https://registry.example/a.tgz' } })).toHaveLength(1);
  });

  it('holds a checksum for everything but another platform’s packages', () => {
    const unchecked = locked.filter(([, entry]) => entry.integrity === undefined);
    expect(unchecked.length).toBeLessThan(locked.length);
    expect(unchecked.filter(([, entry]) => entry.optional !== true || entry.cpu === undefined)).toEqual([]);
  });

  it('is found wanting, and completed', () => {
    const optionalDependencies = { '@x/y-linux-arm64-musl': '1.0.0', '@x/y-darwin-x64': '1.0.0' };
    const short = { packages: { '': { dependencies: { a: '1.0.0' } }, 'node_modules/a': { optionalDependencies } } };
    expect(missingFrom(short).map(({ name }: { name: string }) => name)).toEqual(Object.keys(optionalDependencies));
    const whole = complete(short);
    expect(missingFrom(whole)).toEqual([]);
    expect(whole.packages['node_modules/@x/y-linux-arm64-musl']).toEqual({
      version: '1.0.0',
      optional: true,
      os: ['linux'],
      cpu: ['arm64'],
      libc: ['musl'],
    });
    expect(() => complete({ packages: { '': { dependencies: { b: '1.0.0' } } } })).toThrow(/no platform package/);
    expect(missingFrom({ packages: { '': { devDependencies: { c: '1.0.0' } } } })).toHaveLength(1);
  });

  it('knows a platform by its name', () => {
    expect(platformOf('@swc/core-win32-ia32-msvc')).toEqual({ os: ['win32'], cpu: ['ia32'] });
    expect(platformOf('@a/b-linux-arm-gnueabihf')).toEqual({ os: ['linux'], cpu: ['arm'], libc: ['glibc'] });
    expect(platformOf('@a/b-linux-x64')).toEqual({ os: ['linux'], cpu: ['x64'] });
    expect(platformOf('left-pad')).toBeUndefined();
  });
});
