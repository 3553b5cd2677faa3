/**
 * What the measurements share, made when first asked for: one PostgreSQL with its service, and one large journal of ours.
 * Measurements that want an empty journal take `freshService` and stop it themselves.
 */
import { chmodSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type Cluster, startCluster } from '../peer/cluster.ts';
import { type PeerService, startPeerService } from '../peer/service.ts';
import { stopAll } from './children.ts';
import { fillPeer, fillService } from './fill.ts';
import { freePort } from './free-port.ts';
import type { Options } from './options.ts';
import { say } from './progress.ts';
import { type Service, type ServiceSettings, startService } from './service.ts';

const TMPFS = 0x01021994;
const FILL_STREAM = 1;

export type Peer = { cluster: Cluster; service: PeerService };

export type World = {
  readonly options: Options;
  readonly directory: string;
  /** Undefined where this run leaves that side out. */
  peer(): Promise<Peer | undefined>;
  filledPeer(): Promise<Peer | undefined>;
  freshService(name: string, settings?: ServiceSettings): Promise<Service | undefined>;
  /** The large journal as it was sealed, nothing merged. */
  filledService(): Promise<Service | undefined>;
  /** The same, compacted, in a service with its usual settings. It takes the other's place. */
  compactedService(): Promise<Service | undefined>;
  close(): Promise<void>;
};

function memoise<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

function makeDirectory(parent: string): string {
  if (statfsSync(parent).type === TMPFS)
    throw new Error(`${parent} is a RAM disk, where an fsync costs nothing: choose another with --dir`);
  const directory = mkdtempSync(join(parent, 'indelible-bench-'));
  // PostgreSQL may run as another user and has to reach its own directory below this one.
  chmodSync(directory, 0o755);
  return directory;
}

export function makeWorld(options: Options): World {
  const directory = makeDirectory(options.directory);
  const wantsOurs = options.sides !== 'peer';
  const wantsPeer = options.sides !== 'ours';
  const fill = { events: options.events, stream: FILL_STREAM, ids: options.ids };

  const peer = memoise(async () => {
    if (!wantsPeer) return undefined;
    const cluster = await startCluster(directory, await freePort());
    const service = await startPeerService(directory, await freePort(), cluster);
    say(`peer: PostgreSQL ${cluster.version} and Hono with pg`);
    return { cluster, service };
  });
  const freshService = async (name: string, settings: ServiceSettings = {}): Promise<Service | undefined> =>
    wantsOurs ? startService(join(directory, name), await freePort(), settings) : undefined;

  const filledService = memoise(async () => {
    const service = await freshService('large', { env: { INDELIBLE_COMPACTION: 'off' } });
    if (!service) return undefined;
    await fillService(service, fill);
    await service.call('POST', '/journal/flush');
    return service;
  });

  return {
    options,
    directory,
    peer,
    freshService,
    filledPeer: memoise(async () => {
      const made = await peer();
      if (!made) return undefined;
      await made.cluster.query('truncate audit restart identity');
      await fillPeer(made.cluster, fill);
      return made;
    }),
    filledService,
    compactedService: memoise(async () => {
      const service = await filledService();
      if (!service) return undefined;
      await service.call('POST', '/journal/compact');
      await service.child.stop();
      const restarted = await service.again({});
      // A look-up by id waits until the index of ids is read: after that the service has nothing left to do.
      await restarted.call('GET', '/journal/events/no-such-id').catch(() => undefined);
      return restarted;
    }),
    async close() {
      await stopAll();
      if (options.keep) say(`files kept in ${directory}`);
      else rmSync(directory, { recursive: true, force: true });
    },
  };
}
