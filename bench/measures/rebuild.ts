/** A rebuild of compliance_events from a journal of signals and verdicts, half each, proof and swap included. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../harness/children.ts';
import type { Row } from '../harness/report.ts';
import type { World } from '../harness/world.ts';

const WORKER = fileURLToPath(new URL('rebuild-journal.ts', import.meta.url));

/** What rebuild-journal.ts tells. */
export type Rebuilt = {
  events: number;
  foldSeconds: number;
  foldCpuSeconds: number;
  seconds: number;
  cpuSeconds: number;
  peakBytes: number;
  agreed: boolean;
};

export async function rebuild(world: World): Promise<Row[]> {
  if (world.options.sides === 'peer') return [];
  const [directory, result] = [join(world.directory, 'rebuild'), join(world.directory, 'rebuild.json')];
  await run(process.execPath, [WORKER, 'fill', directory, String(world.options.events)]);
  // A process of its own, whose memory is the rebuild's and that of an open journal.
  await run(process.execPath, [WORKER, 'rebuild', directory, result]);
  const rebuilt = JSON.parse(readFileSync(result, 'utf8')) as Rebuilt;
  const { events, foldSeconds, seconds, peakBytes, agreed } = rebuilt;
  if (!agreed) throw new Error('the rebuilt version does not agree with the one there was');
  const memory = { ours: peakBytes };
  return [
    {
      figure: 'rebuild, events read',
      unit: 'events/s',
      better: 'higher',
      ours: events / foldSeconds,
      target: { bound: 500_000 },
      memory,
      method:
        'compliance_events from a compacted journal, half signals, half verdicts: read, folded, written and stored',
    },
    {
      figure: 'rebuild, proven and swapped',
      unit: 'events/s',
      better: 'higher',
      ours: events / seconds,
      memory,
      method: 'the same until the swap: both versions are read again and every row is hashed',
    },
    {
      figure: 'rebuild, CPU',
      unit: 's per million events',
      better: 'lower',
      ours: rebuilt.cpuSeconds / (events / 1e6),
      method: `of all threads; ${(rebuilt.foldCpuSeconds / (events / 1e6)).toPrecision(3)} s of it until the last row was folded`,
    },
  ];
}
