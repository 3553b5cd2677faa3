import { describe, expect, it } from 'vitest';
import { ROLES } from '../../src/settings.ts';
import { configOf, deployText, exampleVariables, GOOD_SECRETS, initialOf, quantityOf } from './deploy-files.ts';
import { COMPOSE_SCHEMA, canReadYaml, NOTHING_READ, readYaml } from './read-yaml.ts';

type Service = {
  image: string;
  command?: string[];
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  networks: string[];
  volumes: (string | { type: string; source?: string; target: string })[];
  healthcheck?: object;
  read_only?: boolean;
  stop_grace_period?: string;
  deploy: { replicas?: number; resources: { limits: { cpus: string; memory: string } } };
};
type Compose = {
  services: Record<string, Service>;
  networks: Record<string, unknown>;
  volumes: Record<string, unknown>;
};

const text = deployText('compose.yaml');
const canRead = canReadYaml();

// reason: YAML cannot be read here, and canReadYaml() says so loudly; on a build machine it throws instead
describe.skipIf(!canRead)('compose.yaml', () => {
  const read = canRead ? readYaml<Compose>({ text, schema: COMPOSE_SCHEMA }) : NOTHING_READ;
  const services = Object.entries(read.documents[0]?.services ?? {});
  const processes = services.filter(([, { environment }]) => environment?.INDELIBLE_ROLE !== undefined);
  const service = (name: string) => {
    const found = read.documents[0]?.services[name];
    if (found === undefined) throw new Error(`no service ${name}`);
    return found;
  };

  it('is what the Compose Specification asks for', () => {
    expect(read.documents).toHaveLength(1);
    expect(read.faults).toEqual([]);
    const wrong = text.replace('stop_grace_period:', 'stop_grace:');
    expect(readYaml({ text: wrong, schema: COMPOSE_SCHEMA }).faults.join()).toContain('stop_grace');
  });

  it('runs every role: two of web, three workers, one of each other', () => {
    expect(processes.map(([, { environment }]) => environment?.INDELIBLE_ROLE).sort()).toEqual([...ROLES].sort());
    const replicas = processes.map(([name, { deploy }]) => [name, deploy.replicas]);
    expect(Object.fromEntries(replicas)).toEqual({ web: 2, worker: 3, reclaimer: 1, compactor: 1 });
  });

  it('has settings that the service takes', () => {
    for (const [name, { environment = {} }] of processes) {
      const filled = Object.entries(environment).map(([variable, value]) => [
        variable,
        GOOD_SECRETS[variable] ?? value,
      ]);
      const config = configOf(Object.fromEntries(filled));
      expect(config).toMatchObject({ role: name, partitions: 16, store: 's3://indelible/journals' });
      expect(read.documents[0]?.services).toHaveProperty(new URL(config.redisUrl ?? '').hostname);
      expect(read.documents[0]?.services).toHaveProperty(new URL(config.s3Endpoint ?? '').hostname);
    }
  });

  it('names only what there is, and bounds everything', () => {
    const { networks = {}, volumes = {} } = read.documents[0] ?? {};
    for (const [name, each] of services) {
      for (const network of each.networks) expect(networks, name).toHaveProperty(network);
      for (const [other, { condition }] of Object.entries(each.depends_on ?? {})) {
        expect(condition).toBe('service_healthy');
        expect(service(other).healthcheck, `${other} for ${name}`).toBeDefined();
      }
      for (const volume of each.volumes) {
        if (typeof volume === 'string') expect(volumes, name).toHaveProperty(volume.split(':')[0] ?? '');
      }
      expect(quantityOf(each.deploy.resources.limits.memory)).toBeGreaterThanOrEqual(2 ** 30);
    }
  });

  it('gives each process a directory of its own, and time to end', () => {
    for (const [name, each] of processes) {
      // A volume without a name is the container's own.
      expect(each.volumes, name).toEqual([{ type: 'volume', target: '/data' }]);
      expect(each.read_only, name).toBe(true);
      const seconds = quantityOf((each.stop_grace_period ?? '').replace(/s$/, ''));
      expect(seconds * 1_000).toBeGreaterThan(2 * initialOf('INDELIBLE_SHUTDOWN_TIMEOUT_MS'));
    }
  });

  it('has a Redis that keeps what it acknowledged, and room to rewrite its log', () => {
    const { command = [], deploy } = service('redis');
    expect(command).toEqual(expect.arrayContaining(['--appendonly yes', '--appendfsync always']));
    expect(command).toContain('--maxmemory-policy noeviction');
    const memory = command.find((flag) => flag.startsWith('--maxmemory '))?.split(' ')[1] ?? '';
    expect(quantityOf(deploy.resources.limits.memory)).toBeGreaterThanOrEqual(2 * quantityOf(memory));
  });

  it('takes secrets from outside, refuses to go without, and says so in the example', () => {
    const example = exampleVariables('cluster.env.example');
    const secrets = services.flatMap(([, { environment = {} }]) =>
      Object.entries(environment).filter(([name]) => /SECRET|KEY/.test(name)),
    );
    expect(secrets.length).toBeGreaterThan(16);
    for (const [name, value] of secrets) {
      const [, variable = ''] = /^\$\{(\w+):(?:\?.+|-)\}$/.exec(value) ?? [];
      expect(variable, `${name}: ${value}`).not.toBe('');
      if (value.includes(':?')) expect(example).toHaveProperty(variable);
    }
  });

  it('shows Redis, the store and the compactor to nobody outside', () => {
    const outside = services.filter(([, { networks }]) => networks.includes('outside')).map(([name]) => name);
    expect(outside.sort()).toEqual(['reclaimer', 'web', 'worker']);
    const open = services.filter(([, each]) => 'ports' in each).map(([name]) => name);
    expect(open).toEqual(['web']);
  });
});
