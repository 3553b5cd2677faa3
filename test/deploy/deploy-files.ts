import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { environmentName, SETTINGS } from '../../src/settings.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Settings of the cluster that src/settings.ts does not have yet. */
export const SETTINGS_TO_COME = [
  'INDELIBLE_REDIS_URL',
  'INDELIBLE_ROLE',
  'INDELIBLE_PARTITIONS',
  'INDELIBLE_SECRET',
  'INDELIBLE_LEASE_MS',
  'INDELIBLE_RECLAIM_IDLE_MS',
  'INDELIBLE_RECLAIM_EVERY_MS',
];
export const ROLES = ['web', 'worker', 'reclaimer', 'compactor'];

export type Variables = Readonly<Record<string, string>>;

export function deployText(path: string): string {
  return readFileSync(join(ROOT, 'deploy', path), 'utf8');
}

/** Paths relative to deploy/, without what git does not take. */
export function deployFiles(): string[] {
  const entries = readdirSync(join(ROOT, 'deploy'), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name !== 'cluster.env');
  return files.map((entry) => join(entry.parentPath, entry.name).slice(join(ROOT, 'deploy/').length));
}

export function exampleVariables(path: string): Variables {
  return parseEnv(deployText(path)) as Variables;
}

/** What a setting is where nobody says otherwise. */
export function initialOf(variable: string): number {
  return quantityOf(SETTINGS.find((setting) => environmentName(setting) === variable)?.initial ?? '');
}

const UNITS: Record<string, number> = {
  '': 1,
  m: 0.001,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  g: 2 ** 30,
  gb: 2 ** 30,
};

/** A quantity as settings, Kubernetes, Compose or Redis write it. */
export function quantityOf(text: string): number {
  const [, digits, unit = ''] = /^(\d+)(\w*)$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (digits === undefined || factor === undefined) throw new Error(`not a quantity: ${text}`);
  return Number(digits) * factor;
}

/** Names in a text that look like settings of ours and are none. */
export function unknownSettings(text: string): string[] {
  const known = new Set([...SETTINGS.map(environmentName), ...SETTINGS_TO_COME]);
  return (text.match(/\bINDELIBLE_[A-Z0-9_]+/g) ?? []).filter((name) => !known.has(name));
}
