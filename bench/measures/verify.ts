import { watchMemory } from '../harness/memory.ts';
import type { Row } from '../harness/report.ts';
import type { World } from '../harness/world.ts';

export async function verify(world: World): Promise<Row[]> {
  const service = await world.compactedService();
  if (!service) return [];
  const stop = watchMemory([service.child.pid]);
  const began = performance.now();
  const answer = await service.call<{ valid: boolean; events: number }>('GET', '/journal/verify');
  const seconds = (performance.now() - began) / 1_000;
  const memory = { ours: stop() };
  if (!answer.valid || answer.events < world.options.events)
    throw new Error(`verify answered ${JSON.stringify(answer)}`);
  const method =
    'GET /journal/verify over the whole journal: every hash and link computed again from the Parquet files; PostgreSQL has nothing alike';
  return [
    {
      figure: 'verify',
      unit: 'events/s',
      better: 'higher',
      ours: answer.events / seconds,
      target: { bound: 700_000 },
      memory,
      method,
    },
  ];
}
