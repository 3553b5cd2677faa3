import { watchMemory } from '../harness/memory.ts';
import { say } from '../harness/progress.ts';
import { median, type Row, type Side } from '../harness/report.ts';
import type { Service } from '../harness/service.ts';
import type { Cluster } from '../peer/cluster.ts';
import type { World } from '../harness/world.ts';

const RUNS = 7;
const QUERIES = [
  { name: 'action', keys: 'action' },
  { name: 'entity_type, actor', keys: 'entity_type, actor' },
];

type Groups = (string | number)[][];
type Timed = { ms: number; answer: Groups };

/** The median of RUNS after one run that warms the caches. */
async function timed(ask: () => Promise<Groups>): Promise<Timed> {
  let answer = await ask();
  const times: number[] = [];
  for (let index = 0; index < RUNS; index += 1) {
    const began = performance.now();
    answer = await ask();
    times.push(performance.now() - began);
  }
  return { ms: median(times), answer };
}

/** Both sides hold the same events, so their answers must be the same. */
function fingerprint(groups: Groups): string {
  return groups
    .map((group) => group.join('|'))
    .sort()
    .join('\n');
}

export async function groupBy(world: World): Promise<Row[]> {
  const peer = await world.filledPeer();
  const service = await world.compactedService();
  const rows: Row[] = [];
  for (const { name, keys } of QUERIES) {
    const memory: Partial<Record<Side, number>> = {};
    const measure = async (side: Side, pids: number[], ask: () => Promise<Groups>): Promise<Timed> => {
      const stop = watchMemory(pids);
      const result = await timed(ask);
      memory[side] = stop();
      say(`group by ${name}, ${side}: ${result.ms.toFixed(1)} ms`);
      return result;
    };
    const sql = (table: string): string => `select ${keys}, count(*) as events from ${table} group by ${keys}`;
    const askPeer = async (cluster: Cluster): Promise<Groups> =>
      (await cluster.query<Record<string, string>>(sql('audit'))).map((row) => Object.values(row));
    const theirs = peer && (await measure('peer', [peer.cluster.child.pid], () => askPeer(peer.cluster)));
    const askOurs = async (asked: Service): Promise<Groups> => (await asked.sql(sql('journal'))).rows;
    const ours = service && (await measure('ours', [service.child.pid], () => askOurs(service)));
    if (theirs && ours && fingerprint(theirs.answer) !== fingerprint(ours.answer))
      throw new Error(`group by ${name}: the two sides answer differently`);
    const method = `${sql('…')}; p50 of ${RUNS} after a warm-up, ours by POST /journal/query, PostgreSQL by its own protocol after VACUUM ANALYZE; answers compared`;
    rows.push({
      figure: `GROUP BY ${name}`,
      unit: 'ms',
      better: 'lower',
      ours: ours?.ms,
      peer: theirs?.ms,
      target: { ratio: 30 },
      memory,
      method,
    });
  }
  return rows;
}
