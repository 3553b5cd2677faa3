import type { Row } from '../harness/report.ts';
import type { World } from '../harness/world.ts';
import { appendLoad } from './append-load.ts';

const CONNECTIONS = 16;
const BATCH = 500;

export async function batchAppend(world: World): Promise<Row[]> {
  const peer = await world.filledPeer();
  const service = await world.compactedService();
  const load = {
    perBody: BATCH,
    connections: CONNECTIONS,
    ceiling: 350_000,
    stream: 200,
    startMs: Date.UTC(2026, 9, 1),
  };
  const { perSecond, p99Ms, memory } = await appendLoad(world, load, { service, peer });
  const size = world.options.events.toLocaleString('en');
  const method = `wrk, ${CONNECTIONS} connections, JSON arrays of ${BATCH} events with the client's own ids, on ${size} events already stored; median of 3 rounds in turn`;
  return [
    {
      figure: 'batches of 500',
      unit: 'events/s',
      better: 'higher',
      ours: perSecond.ours,
      peer: perSecond.peer,
      target: { ratio: 3 },
      memory,
      method,
    },
    {
      figure: 'batch of 500, p99',
      unit: 'ms',
      better: 'lower',
      ours: p99Ms.ours,
      peer: p99Ms.peer,
      method: 'latency in the same rounds, the worst round',
    },
  ];
}
