import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { loadConfig } from '../../src/config.ts';
import { type Config, environmentName, SETTINGS } from '../../src/settings.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** What has to be put in the place of the placeholders. */
export const GOOD_SECRETS: Variables = {
  INDELIBLE_SECRET: '0a'.repeat(32),
  INDELIBLE_OPERATOR_KEY: 'b1'.repeat(32),
  AWS_ACCESS_KEY_ID: 'c2',
  AWS_SECRET_ACCESS_KEY: 'd3',
};

export type Variables = Readonly<Record<string, string>>;

export function deployText(path: string): string {
  return readFileSync(join(ROOT, 'deploy', path), 'utf8');
}

/** As the service reads them. @throws ConfigError */
export function configOf(variables: Variables): Config {
  return loadConfig({ env: variables, flags: {}, file: undefined });
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
  const known = new Set(SETTINGS.map(environmentName));
  return (text.match(/\bINDELIBLE_[A-Z0-9_]+/g) ?? []).filter((name) => !known.has(name));
}
