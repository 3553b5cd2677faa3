import type { Row } from '../harness/report.ts';
import type { World } from '../harness/world.ts';
import { appendLoad } from './append-load.ts';

const CONNECTIONS = 64;

export async function singleAppend(world: World): Promise<Row[]> {
  const service = await world.freshService('single');
  const peer = await world.peer();
  const load = { perBody: 1, connections: CONNECTIONS, ceiling: 70_000, stream: 100, startMs: Date.UTC(2026, 6, 1) };
  const { perSecond, p99Ms, memory } = await appendLoad(world, load, { service, peer });
  await service?.child.stop();
  const method = `wrk, ${CONNECTIONS} connections, one event a request with the client's own id, each answered when fsynced; empty journal, empty table; median of 3 rounds in turn`;
  return [
    {
      figure: 'single-event appends',
      unit: 'events/s',
      better: 'higher',
      ours: perSecond.ours,
      peer: perSecond.peer,
      target: { ratio: 4 },
      memory,
      method,
    },
    {
      figure: 'single-event append, p99',
      unit: 'ms',
      better: 'lower',
      ours: p99Ms.ours,
      peer: p99Ms.peer,
      method: 'latency in the same rounds, the worst round',
    },
  ];
}
