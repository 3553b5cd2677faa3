/**
 * The benchmarks: every figure beside the peer's from the same run on the same machine, since only ratios travel.
 * `npm run bench -- --help` lists the options; docs/benchmarks.md holds the last full run.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cpus, totalmem } from 'node:os';
import { run } from './harness/children.ts';
import { HELP, type Options, parseOptions } from './harness/options.ts';
import { say } from './harness/progress.ts';
import { judge, type Judged, type Row, table } from './harness/report.ts';
import { makeWorld, type World } from './harness/world.ts';
import { axioms } from './measures/axioms.ts';
import { batchAppend } from './measures/batch-append.ts';
import { bytesStored } from './measures/bytes-stored.ts';
import { cluster } from './measures/cluster.ts';
import { compaction } from './measures/compaction.ts';
import { csvExport } from './measures/csv-export.ts';
import { groupBy } from './measures/group-by.ts';
import { historyReads } from './measures/history.ts';
import { rebuild } from './measures/rebuild.ts';
import { restart } from './measures/restart.ts';
import { seal } from './measures/seal.ts';
import { singleAppend } from './measures/single-append.ts';
import { vectorCache } from './measures/vector-cache.ts';
import { verify } from './measures/verify.ts';

/** In the order in which they run: those that want the large journal untouched come before the one that adds to it. */
const MEASURES: Record<string, (world: World) => Promise<Row[]>> = {
  single: singleAppend,
  seal,
  restart,
  bytes: bytesStored,
  compaction,
  'group-by': groupBy,
  export: csvExport,
  verify,
  history: historyReads,
  batch: batchAppend,
  rebuild,
  axioms,
  'vector-cache': vectorCache,
  cluster,
};

const RESULTS = fileURLToPath(new URL('results/', import.meta.url));

function chosen(options: Options): string[] {
  const known = Object.keys(MEASURES);
  const unknown = options.names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`no measurement is called ${unknown.join(', ')}; there are ${known.join(', ')}`);
  return options.names.length === 0 ? known : known.filter((name) => options.names.includes(name));
}

function save(name: string, rows: readonly Judged[], options: Options): void {
  mkdirSync(RESULTS, { recursive: true });
  const { events, seconds, ids, sides } = options;
  const machine = { cpus: cpus().length, memory_bytes: totalmem(), node: process.version };
  writeFileSync(
    `${RESULTS}${name}.json`,
    `${JSON.stringify({ at: new Date().toISOString(), machine, options: { events, seconds, ids, sides }, rows }, null, 2)}\n`,
  );
}

async function measureAll(world: World, names: readonly string[]): Promise<{ rows: Judged[]; failed: string[] }> {
  const rows: Judged[] = [];
  const failed: string[] = [];
  for (const name of names) {
    say(`${name}:`);
    try {
      const judged = ((await MEASURES[name]?.(world)) ?? []).map(judge);
      save(name, judged, world.options);
      rows.push(...judged);
    } catch (error) {
      // One that fails must not hide the others' figures; the exit code tells.
      failed.push(name);
      say(`${name} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { rows, failed };
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(HELP.replace('[names…]', `[${Object.keys(MEASURES).join('|')} …]`));
    return 0;
  }
  const names = chosen(options);
  await run('bash', [fileURLToPath(new URL('setup.sh', import.meta.url))]);
  const world = makeWorld(options);
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      void world.close().then(() => process.exit(130));
    });
  try {
    const { rows, failed } = await measureAll(world, names);
    (options.json ? process.stderr : process.stdout).write(`\n${table(rows)}`);
    if (options.json) process.stdout.write(`${JSON.stringify({ rows, failed })}\n`);
    return failed.length > 0 ? 1 : 0;
  } finally {
    await world.close();
  }
}

process.exitCode = await main();
