import { describe, expect, it } from 'vitest';
import { PERMISSIONS } from '../../src/http/index.ts';
import { ROLES } from '../../src/settings.ts';
import { configOf, deployText, GOOD_SECRETS, initialOf, quantityOf } from './deploy-files.ts';
import { canReadYaml, NOTHING_READ, readYaml } from './read-yaml.ts';

type Resources = Record<'cpu' | 'memory' | 'ephemeral-storage', string>;
type Probe = { httpGet?: { path: string; port: string }; exec?: { command: string[] } };
type Container = {
  image: string;
  args: string[];
  ports: { name: string; containerPort: number }[];
  envFrom: ({ configMapRef: { name: string } } | { secretRef: { name: string } })[];
  startupProbe: Probe;
  livenessProbe: Probe;
  readinessProbe: Probe;
  lifecycle?: { preStop: { exec: { command: string[] } } };
  resources: { requests: Resources; limits: Resources };
  securityContext: object;
  volumeMounts: { name: string; mountPath: string }[];
};
type Pod = {
  containers: [Container];
  securityContext: object;
  volumes: { name: string; emptyDir: { sizeLimit: string } }[];
  enableServiceLinks: boolean;
  terminationGracePeriodSeconds: number;
};
type Labels = Record<string, string>;
type Manifest = {
  kind: string;
  metadata: { name: string; namespace?: string };
  data?: Record<string, string>;
  stringData?: Record<string, string>;
  spec: {
    selector: Labels & { matchLabels: Labels };
    template: { metadata: { labels: Labels }; spec: Pod };
    scaleTargetRef: { kind: string; name: string };
    ports: { targetPort: string }[];
  };
};

const text = deployText('kubernetes/indelible.yaml');
/** The oldest that the manifest is for, and the newest whose schemas are here. */
const VERSIONS = ['1.29', '1.37'];
const canRead = canReadYaml();

// reason: YAML cannot be read here, and canReadYaml() says so loudly; on a build machine it throws instead
describe.skipIf(!canRead)('indelible.yaml', () => {
  const read = VERSIONS.map((version) =>
    canRead ? readYaml<Manifest>({ text, schema: `kubernetes ${version}` }) : NOTHING_READ,
  );
  const manifests = read[0]?.documents ?? [];
  const ofKind = (kind: string) => manifests.filter((each) => each.kind === kind);
  const one = (kind: string) => {
    const [found, ...more] = ofKind(kind);
    if (found === undefined || more.length > 0) throw new Error(`not one ${kind}`);
    return found;
  };
  const pods = ofKind('Deployment').map(({ spec }) => spec.template);

  it('is what Kubernetes asks for, strictly', () => {
    expect(manifests.map(({ kind }) => kind).sort()).toEqual([
      'ConfigMap',
      ...ROLES.map(() => 'Deployment'),
      'HorizontalPodAutoscaler',
      'Namespace',
      'PodDisruptionBudget',
      'Secret',
      'Service',
    ]);
    for (const { faults } of read) expect(faults).toEqual([]);
    const wrong = { text: text.replace('periodSeconds: 5', 'periodSecond: 5'), schema: 'kubernetes 1.29' };
    expect(readYaml(wrong).faults.join()).toContain('periodSecond');
  });

  it('refers only to what it holds', () => {
    for (const { kind, metadata } of manifests) {
      if (kind !== 'Namespace') expect(metadata.namespace).toBe(one('Namespace').metadata.name);
    }
    const web = pods.find(({ spec }) => spec.containers[0].args.includes('web'));
    expect(one('Service').spec.selector).toEqual(web?.metadata.labels);
    expect(one('PodDisruptionBudget').spec.selector.matchLabels).toEqual(web?.metadata.labels);
    expect(one('HorizontalPodAutoscaler').spec.scaleTargetRef).toMatchObject({ kind: 'Deployment', name: 'web' });
    for (const { spec } of ofKind('Deployment')) {
      expect(spec.selector.matchLabels).toEqual(spec.template.metadata.labels);
      const [{ envFrom, volumeMounts }] = spec.template.spec.containers;
      expect(envFrom).toEqual([
        { configMapRef: { name: one('ConfigMap').metadata.name } },
        { secretRef: { name: one('Secret').metadata.name } },
      ]);
      const volumes = spec.template.spec.volumes.map(({ name }) => name);
      expect(volumeMounts.map(({ name }) => name)).toEqual(volumes);
    }
  });

  it('runs every role once, each under its name', () => {
    const args = ofKind('Deployment').map(({ metadata, spec }) => [
      metadata.name,
      spec.template.spec.containers[0].args,
    ]);
    expect(args).toEqual(ROLES.map((role) => [role, ['serve', '--role', role]]));
  });

  it('asks routes that exist: without a key only those that need none', () => {
    for (const { spec } of pods) {
      const [{ startupProbe, livenessProbe, readinessProbe, ports }] = spec.containers;
      for (const { httpGet } of [startupProbe, livenessProbe]) {
        expect(PERMISSIONS[`GET ${httpGet?.path}`]).toBe('open');
        expect(ports.map(({ name }) => name)).toContain(httpGet?.port);
      }
      const [program, script, path] = readinessProbe.exec?.command ?? [];
      expect([program, script]).toEqual(['node', 'deploy/probe.mjs']);
      expect(PERMISSIONS[`GET ${path}`]).toBe('any');
    }
    expect(one('Service').spec.ports[0]?.targetPort).toBe('http');
  });

  it('gives what is open time to end, and variables no second meaning', () => {
    for (const { spec } of pods) {
      const preStop = Number(spec.containers[0].lifecycle?.preStop.exec.command[1] ?? 0);
      const leftMs = (spec.terminationGracePeriodSeconds - preStop) * 1_000;
      expect(leftMs).toBeGreaterThan(2 * initialOf('INDELIBLE_SHUTDOWN_TIMEOUT_MS'));
      expect(spec.enableServiceLinks).toBe(false);
    }
  });

  it('bounds every pod, and its disk above what the settings let it keep there', () => {
    const { data = {} } = one('ConfigMap');
    const kept = ['INDELIBLE_CACHE_BYTES_MAX', 'INDELIBLE_HISTORY_DISK_BYTES'].map((name) =>
      quantityOf(data[name] ?? ''),
    );
    const bytes = initialOf('INDELIBLE_WAL_BYTES_MAX') + kept.reduce((sum, each) => sum + each, 0);
    for (const { spec } of pods) {
      const [{ resources }] = spec.containers;
      const sizes = spec.volumes.map(({ emptyDir }) => quantityOf(emptyDir.sizeLimit));
      expect(sizes[0]).toBeGreaterThan(bytes);
      expect(quantityOf(resources.limits['ephemeral-storage'])).toBeGreaterThan(
        sizes.reduce((sum, each) => sum + each, 0),
      );
      for (const name of ['cpu', 'memory', 'ephemeral-storage'] as const)
        expect(quantityOf(resources.requests[name])).toBeLessThanOrEqual(quantityOf(resources.limits[name]));
    }
  });

  it('runs as nobody with rights, on a file system that cannot be written', () => {
    for (const { spec } of pods) {
      expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 });
      expect(spec.containers[0].securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
    expect(deployText('Dockerfile')).toContain('USER 1000:1000');
  });

  it('has settings that the service takes, and secrets that it does not', () => {
    const { data = {} } = one('ConfigMap');
    const { stringData = {} } = one('Secret');
    const good = { ...GOOD_SECRETS, INDELIBLE_REDIS_URL: 'rediss://indelible:secret@redis.example.com:6379' };
    expect(Object.keys(stringData).sort()).toEqual(Object.keys(good).sort());
    expect(configOf({ ...data, ...good })).toMatchObject({ redisUrl: good.INDELIBLE_REDIS_URL, partitions: 16 });
    for (const [name, value] of Object.entries(stringData)) {
      expect(value, name).toMatch(/^<.*>$/);
      if (name.startsWith('INDELIBLE_')) expect(() => configOf({ ...data, ...good, [name]: value })).toThrow(name);
    }
  });
});
