/** Fills a journal and compacts it, or rebuilds from it: `rebuild-journal.ts fill DIRECTORY EVENTS`, `… rebuild DIRECTORY RESULT`. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DirectoryStore, type DraftEvent, LocalJournals, localDisk } from '../../journal/index.ts';
import { AXIOM_TYPE, ProjectionRunner, verdictDraft } from '../../projections/index.ts';
import { systemClock, systemRandom } from '../../src/system.ts';
import { watchMemory } from '../harness/memory.ts';
import type { Rebuilt } from './rebuild.ts';

const [mode = '', directory = '', last = ''] = process.argv.slice(2);
const WORKSPACE = 'bench';
const BATCH_PAIRS = 5_000;

function pair(index: number): DraftEvent[] {
  const source_id = `sensor-${index}`;
  const eventId = `axiom-${index}`;
  const emitted_at = new Date(Date.UTC(2026, 0, 1) + index * 250).toISOString().replace('Z', '000Z');
  const score = (index * 7919) % 1000;
  const narrative = `The ${index % 3 === 0 ? 'payment' : 'transfer'} ${source_id} scored ${score} of 1000, ${score > 700 ? 'above' : 'below'} the threshold of its domain; the rules look at amount, age and country.`;
  const verdict = verdictDraft(
    {
      ...{ axiom: { event_id: eventId, seq: 2 * index }, source_id, domain: 'payments', status: 'settled' },
      ...{ metric_value: score * 1.37, anomaly_score: score / 1000, emitted_at, entity_type: 'invoice' },
      ...{ entity_id: `inv-${index % 9973}`, routed_to_ai: score > 700, risk_level: score > 900 ? 'high' : 'low' },
      ...{ tier: 'rules', driver: 'rules', narrative, policy_version: '2026-01', passages: null, rule: 'score' },
      ...{ model: null, prompt_hash: createHash('sha256').update(source_id).digest('hex'), embedding_model: null },
      ...{ fingerprint: null, embedding: null, similarity: null, cached_from: null },
      ...{ failures: [{ tier: 'model', cause: 'timeout' }], timings: { waited: 1, judged: 2 } },
    },
    null,
  );
  const signal = { domain: 'payments', status: 'settled', metric_value: score * 1.37, anomaly_score: score / 1000 };
  const axiom = { ...verdict, event_id: eventId, occurred_at: emitted_at, entity_type: AXIOM_TYPE };
  return [{ ...axiom, new_value: JSON.stringify(signal) }, verdict];
}

const journals = await LocalJournals.open({
  ...{ dataDir: join(directory, 'data'), store: new DirectoryStore(join(directory, 'store')) },
  ...{ clock: systemClock, random: systemRandom, disk: localDisk },
  ...{ flushEvents: 100_000, flushBytes: 1 << 30, flushAgeMs: 3_600_000, walBytesMax: 2 ** 32, cacheBytesMax: 1 << 30 },
  ...{ sealRetryMs: 100, engineMemoryBytes: 1 << 29, engineThreads: 2, takeOver: false, sealIn: 'own-process' },
  compaction: { isAutomatic: false },
  observer: {},
});
const runner = new ProjectionRunner({ journals, isAutomatic: false, graceMs: 3_600_000, retryMs: 100, observer: {} });
if (mode === 'fill') await fill(Math.ceil(Number(last) / 2));
else writeFileSync(last, JSON.stringify(await rebuild()));
await runner.close();
await journals.close();

async function fill(pairs: number): Promise<void> {
  for (let from = 0; from < pairs; from += BATCH_PAIRS) {
    const count = Math.min(BATCH_PAIRS, pairs - from);
    const drafts = Array.from({ length: count }, (_, index) => pair(from + index)).flat();
    await journals.append(WORKSPACE, drafts, { ack: 'durable', create: true });
  }
  await journals.flush();
  await journals.compact(WORKSPACE);
  await runner.catchUp(WORKSPACE);
}

async function rebuild(): Promise<Rebuilt> {
  const cpuBefore = process.cpuUsage();
  const cpuSeconds = () => {
    const { user, system } = process.cpuUsage(cpuBefore);
    return (user + system) / 1e6;
  };
  const stop = watchMemory([process.pid]);
  const began = performance.now();
  let foldSeconds = 0;
  let foldCpuSeconds = 0;
  const { agreed, position } = await runner.rebuild(WORKSPACE, 'compliance_events', {
    by: 'bench',
    force: false,
    onProgress: () => {
      foldSeconds = (performance.now() - began) / 1_000;
      foldCpuSeconds = cpuSeconds();
    },
  });
  const seconds = (performance.now() - began) / 1_000;
  const spent = { foldSeconds, foldCpuSeconds, seconds, cpuSeconds: cpuSeconds() };
  return { events: position + 1, ...spent, peakBytes: stop(), agreed };
}
