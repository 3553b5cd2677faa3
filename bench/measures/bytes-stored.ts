import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Row } from '../harness/report.ts';
import type { World } from '../harness/world.ts';

const HASH_BYTES = 32;

/** Bytes of every file under a directory, whatever it is. */
function directoryBytes(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  }
  return bytes;
}

export async function bytesStored(world: World): Promise<Row[]> {
  const peer = await world.filledPeer();
  const service = await world.filledService();
  const { events } = world.options;
  const size = peer && (await peer.cluster.query<{ bytes: string }>(`select pg_total_relation_size('audit') as bytes`));
  const ours = service && directoryBytes(service.store) / events;
  const beside = service && (directoryBytes(service.directory) / events - (ours ?? 0)).toFixed(1);
  const theirs = size && Number(size[0]?.bytes) / events;
  const method =
    `every file in the store (Parquet, table log; superseded files too) against pg_total_relation_size after VACUUM, table and indexes without WAL;` +
    ` beside the store ours keeps ${beside ?? '?'} bytes an event in its data directory`;
  return [
    { figure: 'stored', unit: 'bytes/event', better: 'lower', ours, peer: theirs, target: { ratio: 5 }, method },
    {
      figure: 'stored, without event_hash',
      unit: 'bytes/event',
      better: 'lower',
      ours: ours && ours - HASH_BYTES,
      peer: theirs,
      method: `like for like: the peer keeps no hash, so our ${HASH_BYTES} incompressible bytes are taken off`,
    },
  ];
}
