import { describe, expect, it } from 'vitest';
import { ROLES } from '../../src/settings.ts';
import { configOf, deployFiles, deployText, exampleVariables, GOOD_SECRETS, unknownSettings } from './deploy-files.ts';

const CLUSTER = exampleVariables('cluster.env.example');
const INSTANCES = deployFiles().filter((file) => /^systemd\/.*\.env\.example$/.test(file));

describe('settings in deploy/', () => {
  it('are settings that the service knows', () => {
    const named = deployFiles().filter((file) => deployText(file).includes('INDELIBLE_'));
    expect(named.length).toBeGreaterThan(6);
    for (const file of [...named, '../docs/cluster.md']) expect(unknownSettings(deployText(file)), file).toEqual([]);
    expect(unknownSettings('INDELIBLE_FLUSH_AGE=1 INDELIBLE_FLUSH_AGE_MS=1')).toEqual(['INDELIBLE_FLUSH_AGE']);
  });

  it('have values that it takes, once the secrets are there', () => {
    for (const file of INSTANCES) {
      const config = configOf({ ...CLUSTER, ...exampleVariables(file), ...GOOD_SECRETS });
      expect(config).toMatchObject({ redisUrl: CLUSTER.INDELIBLE_REDIS_URL, store: 's3://indelible/journals' });
    }
    expect(() => configOf({ ...CLUSTER, ...GOOD_SECRETS, INDELIBLE_FLUSH_AGE_MS: '2 s' })).toThrow('FLUSH_AGE');
  });

  it('are no secrets: it refuses each placeholder', () => {
    for (const name of ['INDELIBLE_SECRET', 'INDELIBLE_OPERATOR_KEY']) {
      expect(() => configOf({ ...CLUSTER, ...GOOD_SECRETS, [name]: CLUSTER[name] ?? '' })).toThrow(name);
    }
    const secrets = Object.entries(CLUSTER).filter(([name]) => /SECRET|KEY/.test(name));
    expect(secrets.map(([name]) => name).sort()).toEqual(Object.keys(GOOD_SECRETS).sort());
    for (const [name, value] of secrets) expect(value, name).toMatch(/^<.* .*>$/);
  });

  it('give each systemd instance the role that it is named after, and a port of its own', () => {
    const settings = INSTANCES.map((file) => configOf({ ...CLUSTER, ...exampleVariables(file), ...GOOD_SECRETS }));
    expect(new Set(settings.map(({ port }) => port)).size).toBe(ROLES.length);
    expect(settings.map(({ role }) => role).sort()).toEqual([...ROLES].sort());
    for (const [index, file] of INSTANCES.entries()) {
      const name = `${settings[index]?.role}-1`;
      expect(file).toBe(`systemd/${name}.env.example`);
      expect(deployText('systemd/README.md')).toContain(name);
    }
  });
});
