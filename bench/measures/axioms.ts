/** Signals: from POST to the projected row with the rules alone, and what a slow model does to the intake. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GEMINI_KEY, GeminiServer } from '../../test/support/gemini-server.ts';
import { randomSource } from '../generator.ts';
import { highWaterBytes, watchMemory } from '../harness/memory.ts';
import { progress, say } from '../harness/progress.ts';
import type { Row } from '../harness/report.ts';
import type { Service } from '../harness/service.ts';
import type { World } from '../harness/world.ts';

const BATCH = 5_000;
const IN_FLIGHT = 2;
const SIGNALS_MAX = 1_000_000;
/** As in the real data, about one of six hundred; here one of two hundred, so that the rules are asked. */
const FLAGGED_ONE_OF = 200;
const MODEL_MS = 2_000;
const SERIES = 400;

/** A signal as its sender would say it. */
function axiom(index: number, next: () => number): string {
  const series = next() % SERIES;
  const score = next() % FLAGGED_ONE_OF === 0 ? 0.8 + (next() % 200) / 1_000 : (next() % 790) / 1_000;
  const emittedAt = new Date(Date.UTC(2026, 0, 1) + index * 50).toISOString();
  return `{"source_id":"bench/series-${series}#${index}","domain":"realAWSCloudwatch","metric_value":${(next() % 100_000) / 10},"anomaly_score":${score},"emitted_at":"${emittedAt}","entity_type":"metric","entity_id":"bench/series-${series}"}`;
}

/** Sends the signals and waits until each has its row. Seconds. */
async function judgeAll(service: Service, signals: number): Promise<number> {
  const next = randomSource(7, 1);
  const bodies: string[] = [];
  for (let at = 0; at < signals; at += BATCH) {
    const lines = Array.from({ length: Math.min(BATCH, signals - at) }, (_, index) => axiom(at + index, next));
    bodies.push(lines.join('\n'));
  }
  const shown = progress('judging signals', signals);
  const began = performance.now();
  let sent = 0;
  const feed = async (): Promise<void> => {
    for (let body = bodies[sent++]; body !== undefined; body = bodies[sent++]) {
      const headers = { ...service.headers, 'content-type': 'application/x-ndjson' };
      const response = await fetch(`${service.url}/axioms`, { method: 'POST', headers, body });
      if (response.status !== 202) throw new Error(`POST /axioms answered ${response.status}`);
      await response.arrayBuffer();
      shown.at(Math.min(sent * BATCH, signals));
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, feed));
  // Two events a signal. The rows themselves are counted once: a reader that looks all the time is work of its own.
  for (;;) {
    const { total_events: events } = await service.call<{ total_events: number }>('GET', '/journal/stats');
    if (events === 2 * signals) break;
    await sleep(50);
  }
  const { verdicts } = await service.call<{ verdicts: number }>('GET', '/compliance/stats');
  if (verdicts !== signals) throw new Error(`${verdicts} rows of ${signals} signals`);
  const seconds = (performance.now() - began) / 1_000;
  shown.end();
  return seconds;
}

async function throughput(world: World): Promise<Row[]> {
  const service = await world.freshService('axioms');
  if (!service) return [];
  const signals = Math.min(world.options.events, SIGNALS_MAX);
  const peak = watchMemory([service.child.pid]);
  const seconds = await judgeAll(service, signals);
  const memory = { ours: peak() };
  const [[rows] = []] = (await service.sql('select count(*), count(distinct source_id) from compliance_events')).rows;
  await service.child.stop();
  if (Number(rows) !== signals) throw new Error(`${rows} rows of ${signals} signals`);
  const method = `${signals.toLocaleString('en')} signals, NDJSON of ${BATCH}, ${IN_FLIGHT} connections, one in ${FLAGGED_ONE_OF} above the threshold; from the first POST until the last has its row in compliance_events, sealing and projecting included; peak of the service and its processes`;
  return [
    {
      figure: 'signals judged by rules',
      unit: '/s',
      better: 'higher',
      ours: signals / seconds,
      target: { bound: 20_000 },
      memory,
      method,
    },
  ];
}

/** Milliseconds of each of these requests. */
async function intakeTimes(service: Service, seconds: number): Promise<number[]> {
  const next = randomSource(7, 2);
  const times: number[] = [];
  const untilMs = performance.now() + seconds * 1_000;
  const headers = { ...service.headers, 'content-type': 'application/json' };
  for (let index = 0; performance.now() < untilMs; index += 1) {
    const began = performance.now();
    const response = await fetch(`${service.url}/axioms`, { method: 'POST', headers, body: axiom(index, next) });
    await response.arrayBuffer();
    if (response.status !== 202) throw new Error(`POST /axioms answered ${response.status}`);
    times.push(performance.now() - began);
  }
  return times;
}

async function besideSlowModel(world: World): Promise<Row[]> {
  const gemini = await GeminiServer.start();
  gemini.decide = ({ endpoint }) => (endpoint === 'generateContent' ? { do: 'answer', delayMs: MODEL_MS } : undefined);
  const env = { GEMINI_API_KEY: GEMINI_KEY, GOOGLE_GEMINI_BASE_URL: gemini.url };
  const service = await world.freshService('axioms-model', { env });
  try {
    if (!service) return [];
    const times = (await intakeTimes(service, world.options.seconds)).sort((a, b) => a - b);
    const asked = gemini.counts.generateContent;
    say(`axioms: ${times.length} requests while the model was asked ${asked} times`);
    if (asked === 0) throw new Error('the model was never asked');
    const memory = { ours: highWaterBytes(service.child.pid) };
    const method = `one signal a request, one connection, ${times.length.toLocaleString('en')} requests, one in ${FLAGGED_ONE_OF} above the threshold, while a model takes ${MODEL_MS / 1_000} s for each of ${asked} questions`;
    const p99 = times[Math.floor(times.length * 0.99)];
    return [
      {
        figure: 'POST /axioms beside a slow model, p99',
        unit: 'ms',
        better: 'lower',
        ours: p99,
        target: { bound: 20 },
        memory,
        method,
      },
    ];
  } finally {
    await service?.child.stop();
    await gemini.stop();
  }
}

export async function axioms(world: World): Promise<Row[]> {
  return [...(await throughput(world)), ...(await besideSlowModel(world))];
}
