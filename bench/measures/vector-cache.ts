/** The look-up of a verdict on a signal alike, beside DuckDB's array_cosine_similarity over a table of the same vectors. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../harness/children.ts';
import { say } from '../harness/progress.ts';
import { median, type Row, type Side } from '../harness/report.ts';
import type { World } from '../harness/world.ts';
import type { VectorResult } from './vector-worker.ts';

const WORKER = fileURLToPath(new URL('vector-worker.ts', import.meta.url));
/** Similarities of both sides are the same but for the rounding of float32 sums. */
const ROUNDING = 1e-5;
const WITH_REPEATS = 'with as many repeats';

async function measureSide(world: World, side: Side): Promise<VectorResult | undefined> {
  if (world.options.sides !== 'both' && world.options.sides !== side) return undefined;
  const directory = join(world.directory, `vectors-${side}`);
  const output = join(world.directory, `vectors-${side}.json`);
  for (const task of ['fill', 'ask']) await run(process.execPath, [WORKER, task, side, directory, output]);
  const result = JSON.parse(readFileSync(output, 'utf8')) as VectorResult;
  const found = result.plain.found.filter((similarity) => similarity > 0).length;
  say(
    `vector look-up, ${side}: p50 ${median(result.plain.times).toFixed(2)} ms, ${found} of ${result.plain.found.length} found, opened in ${result.openMs.toFixed(0)} ms, ${result.note}`,
  );
  return result;
}

function percentile99(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] as number;
}

function assertAlike(ours: VectorResult, peer: VectorResult): void {
  for (const [number, similarity] of ours.plain.found.entries())
    if (Math.abs(similarity - (peer.plain.found[number] as number)) > ROUNDING)
      throw new Error(`look-up ${number}: ours found ${similarity}, the peer ${peer.plain.found[number]}`);
}

export async function vectorCache(world: World): Promise<Row[]> {
  const ours = await measureSide(world, 'ours');
  const peer = await measureSide(world, 'peer');
  if (ours && peer) assertAlike(ours, peer);
  const memory = { ...(ours && { ours: ours.peakBytes }), ...(peer && { peer: peer.peakBytes }) };
  const common = { unit: 'ms', better: 'lower', memory } as const;
  const method =
    'the nearest of 100,000 vectors of 768 values at a cosine of 0.90 or more, 100 look-ups after 10 to warm up, one thread each; the peer is array_cosine_similarity over a table; half of the look-ups find one, similarities compared';
  const repeated = `the same after 100,000 more verdicts on one fingerprint, which are rows to the peer`;
  return [
    {
      ...common,
      figure: 'vector look-up',
      ours: ours && median(ours.plain.times),
      peer: peer && median(peer.plain.times),
      target: { bound: 10 },
      method,
    },
    {
      ...common,
      figure: 'vector look-up, p99',
      ours: ours && percentile99(ours.plain.times),
      peer: peer && percentile99(peer.plain.times),
      method,
    },
    {
      ...common,
      figure: `vector look-up, ${WITH_REPEATS}`,
      ours: ours && median(ours.repeated.times),
      peer: peer && median(peer.repeated.times),
      target: { bound: 10 },
      method: repeated,
    },
    {
      ...common,
      figure: `vector look-up, ${WITH_REPEATS}, p99`,
      ours: ours && percentile99(ours.repeated.times),
      peer: peer && percentile99(peer.repeated.times),
      method: repeated,
    },
  ];
}
