/** Starts the peer service as a process of its own and waits until it answers. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Child, start, waitFor } from '../harness/children.ts';
import type { Cluster } from './cluster.ts';

const SERVER = fileURLToPath(new URL('server.ts', import.meta.url));

export type PeerService = {
  readonly child: Child;
  readonly url: string;
};

export async function startPeerService(directory: string, port: number, cluster: Cluster): Promise<PeerService> {
  const { host, port: databasePort, user, database } = cluster.connection;
  const child = start(process.execPath, [SERVER], {
    logPath: join(directory, 'peer.log'),
    env: { PEER_PORT: String(port), PGHOST: host, PGPORT: String(databasePort), PGUSER: user, PGDATABASE: database },
  });
  const url = `http://127.0.0.1:${port}`;
  await waitFor(child, 'the peer', async () => (await fetch(`${url}/ready`)).ok);
  return { child, url };
}
