import { watchMemory } from '../harness/memory.ts';
import type { Row } from '../harness/report.ts';
import type { World } from '../harness/world.ts';

type Report = { merges: number; events: number };

const MEMORY_LIMIT_BYTES = 1e9;

/** All that a journal which was filled without compaction has to merge. */
export async function compaction(world: World): Promise<Row[]> {
  const service = await world.filledService();
  if (!service) return [];
  const files = async () => (await service.call<{ persisted_files: number }>('GET', '/journal/stats')).persisted_files;
  const before = await files();
  const stop = watchMemory([service.child.pid]);
  const began = performance.now();
  const report = await service.call<Report>('POST', '/journal/compact');
  const seconds = (performance.now() - began) / 1_000;
  const memory = { ours: stop() };
  const after = await files();
  const method = `POST /journal/compact: ${report.merges} merges, ${before} files become ${after}; every event merged counts, proofs and commits included`;
  return [
    {
      figure: 'compaction',
      unit: 'events/s',
      better: 'higher',
      ours: report.events / seconds,
      target: { bound: 300_000 },
      memory,
      method,
    },
    {
      figure: 'compaction, peak memory',
      unit: 'MB',
      better: 'lower',
      ours: memory.ours / 1e6,
      target: { bound: MEMORY_LIMIT_BYTES / 1e6 },
      method: 'resident memory of the whole process tree, the service and its index of ids included',
    },
    {
      figure: 'files after compaction',
      unit: 'per million events',
      better: 'lower',
      ours: after / (world.options.events / 1e6),
      method: 'live segments by GET /journal/stats',
    },
  ];
}
