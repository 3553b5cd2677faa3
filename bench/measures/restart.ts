import { fillService } from '../harness/fill.ts';
import { highWaterBytes } from '../harness/memory.ts';
import { say } from '../harness/progress.ts';
import type { Row } from '../harness/report.ts';
import { UNSEALED, type Service } from '../harness/service.ts';
import type { World } from '../harness/world.ts';

const EVENTS = 1_000_000;

async function countEvents(service: Service): Promise<number> {
  const { rows } = await service.sql('select count(*) from journal');
  return Number(rows[0]?.[0]);
}

export async function restart(world: World): Promise<Row[]> {
  const service = await world.freshService('restart', { env: UNSEALED });
  if (!service) return [];
  await fillService(service, { events: EVENTS, stream: 300, ids: world.options.ids });
  const { buffered_events: unsealed } = await service.call<{ buffered_events: number }>('GET', '/journal/stats');
  if (unsealed !== EVENTS) throw new Error(`${unsealed} events are unsealed before the kill, not ${EVENTS}`);
  await service.child.stop('SIGKILL');
  const again = await service.again();
  say(`restart: ready after ${(again.readyMs / 1_000).toFixed(2)} s`);
  const memory = { ours: highWaterBytes(again.child.pid) };
  const found = await countEvents(again);
  await again.child.stop();
  if (found !== EVENTS) throw new Error(`${found} of ${EVENTS} acknowledged events are there after the kill`);
  const method =
    'one million acknowledged events in the write-ahead log only, kill -9, start; time from the start of the process to /ready, then every event is counted by SQL';
  return [
    {
      figure: 'start after kill -9',
      unit: 's',
      better: 'lower',
      ours: again.readyMs / 1_000,
      target: { bound: 10 },
      memory,
      method,
    },
  ];
}
