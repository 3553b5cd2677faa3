import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import {
  deployFiles,
  deployText,
  exampleVariables,
  ROLES,
  SETTINGS_TO_COME,
  unknownSettings,
  type Variables,
} from './deploy-files.ts';

const EXAMPLES = deployFiles().filter((file) => file.endsWith('.env.example'));
const SECRETS = { INDELIBLE_OPERATOR_KEY: 'k'.repeat(64), INDELIBLE_SECRET: 'a'.repeat(64) };

/** As the service reads it. @throws ConfigError */
const load = (variables: Variables) => {
  const env = Object.fromEntries(Object.entries(variables).filter(([name]) => !SETTINGS_TO_COME.includes(name)));
  return loadConfig({ env, flags: {}, file: undefined });
};

describe('settings in deploy/', () => {
  it('are settings that the service knows', () => {
    const named = deployFiles().filter((file) => deployText(file).includes('INDELIBLE_'));
    expect(named.length).toBeGreaterThan(6);
    for (const file of named) expect(unknownSettings(deployText(file)), file).toEqual([]);
    expect(unknownSettings('INDELIBLE_FLUSH_AGE=1 INDELIBLE_FLUSH_AGE_MS=1')).toEqual(['INDELIBLE_FLUSH_AGE']);
  });

  it('have values that it takes, once the secrets are there', () => {
    expect(EXAMPLES).toHaveLength(5);
    for (const file of EXAMPLES) load({ ...exampleVariables(file), ...SECRETS });
    expect(() => load({ INDELIBLE_FLUSH_AGE_MS: '2 s' })).toThrow('INDELIBLE_FLUSH_AGE_MS');
  });

  it('are no secrets: it refuses each placeholder', () => {
    const given = exampleVariables('cluster.env.example');
    for (const name of Object.keys(SECRETS)) {
      if (SETTINGS_TO_COME.includes(name)) continue;
      expect(() => load({ ...given, ...SECRETS, [name]: given[name] ?? '' }), name).toThrow(name);
    }
    const secrets = Object.entries(given).filter(([name]) => /SECRET|KEY/.test(name));
    expect(secrets).toHaveLength(4);
    for (const [name, value] of secrets) expect(value, name).toMatch(/^<.* .*>$/);
  });

  it('give each systemd instance the role that it is named after, and a port of its own', () => {
    const instances = EXAMPLES.filter((file) => file.startsWith('systemd/'));
    const ports = instances.map((file) => exampleVariables(file).INDELIBLE_PORT);
    expect(new Set(ports).size).toBe(instances.length);
    expect(instances.map((file) => exampleVariables(file).INDELIBLE_ROLE).sort()).toEqual([...ROLES].sort());
    for (const file of instances) {
      expect(file).toBe(`systemd/${exampleVariables(file).INDELIBLE_ROLE}-1.env.example`);
      expect(deployText('systemd/README.md')).toContain(file.slice('systemd/'.length, -'.env.example'.length));
    }
  });
});
