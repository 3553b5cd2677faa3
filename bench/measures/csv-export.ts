import { run } from '../harness/children.ts';
import { psqlArguments } from '../harness/fill.ts';
import { watchMemory } from '../harness/memory.ts';
import { say } from '../harness/progress.ts';
import type { Row, Side } from '../harness/report.ts';
import type { Service } from '../harness/service.ts';
import type { Peer, World } from '../harness/world.ts';

const MEMORY_LIMIT_BYTES = 400e6;

type Timed = { seconds: number; peak: number };

async function timed(side: Side, pids: number[], shell: string): Promise<Timed> {
  const stop = watchMemory(pids);
  const began = performance.now();
  await run('bash', ['-o', 'pipefail', '-c', shell]);
  const seconds = (performance.now() - began) / 1_000;
  say(`export, ${side}: ${seconds.toFixed(1)} s`);
  return { seconds, peak: stop() };
}

const quoted = (parts: string[]): string => parts.map((part) => `'${part.replaceAll("'", `'\\''`)}'`).join(' ');

/** curl fails (-f, and its own check of the chunked ending) where the export is refused or ends short. */
function curl(service: Service): string {
  const headers = Object.entries(service.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  return quoted(['curl', '-sSf', ...headers, `${service.url}/journal/export?format=csv`]);
}

function psql(peer: Peer): string {
  return quoted([peer.cluster.psql, ...psqlArguments(peer.cluster), '-c', 'copy audit to stdout (format csv, header)']);
}

export async function csvExport(world: World): Promise<Row[]> {
  const peer = await world.filledPeer();
  const service = await world.compactedService();
  const { events } = world.options;
  const theirs = peer && (await timed('peer', [peer.cluster.child.pid], `${psql(peer)} > /dev/null`));
  const ours = service && (await timed('ours', [service.child.pid], `${curl(service)} > /dev/null`));
  if (service) {
    const lines = Number(await run('bash', ['-o', 'pipefail', '-c', `${curl(service)} | wc -l`]));
    if (lines !== events + 1) throw new Error(`the export has ${lines} lines, not a header and ${events} events`);
  }
  const memory = { ...(ours && { ours: ours.peak }), ...(theirs && { peer: theirs.peak }) };
  const rate = (side: Timed | undefined): number | undefined => (side ? events / side.seconds : undefined);
  const method =
    'GET /journal/export?format=csv by curl > /dev/null, against COPY audit TO STDOUT (FORMAT csv) by psql > /dev/null; our lines are counted in a second, untimed pass';
  return [
    {
      figure: 'CSV export',
      unit: 'rows/s',
      better: 'higher',
      ours: rate(ours),
      peer: rate(theirs),
      target: { ratio: 2.5 },
      memory,
      method,
    },
    {
      figure: 'CSV export, peak memory',
      unit: 'MB',
      better: 'lower',
      ours: ours && ours.peak / 1e6,
      peer: theirs && theirs.peak / 1e6,
      target: { bound: MEMORY_LIMIT_BYTES / 1e6 },
      method: 'resident memory of the whole process tree, sampled every 250 ms',
    },
  ];
}
