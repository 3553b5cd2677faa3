/**
 * WAL to Parquet. Ours is the whole seal as the running service does it on POST /journal/flush: WAL to Parquet, digest,
 * fsync, table commit. The peer is parquetjs-lite in a process of its own, reading the same events as NDJSON.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventStream, toJson } from '../generator.ts';
import { isAlive, start } from '../harness/children.ts';
import { fillService } from '../harness/fill.ts';
import { watchMemory } from '../harness/memory.ts';
import { say } from '../harness/progress.ts';
import { median, type Row } from '../harness/report.ts';
import { type Service, UNSEALED } from '../harness/service.ts';
import type { World } from '../harness/world.ts';

const EVENTS = 200_000;
const ROUNDS = 3;
const STREAM = 400;
const WRITER = fileURLToPath(new URL('parquetjs-writer.ts', import.meta.url));

type LoopDelay = { p50Ms: number; p99Ms: number; maxMs: number; ticks: number };
type Ours = { perSecond: number; p99Ms: number; peak: number };
type Theirs = { perSecond: number; peak: number };

async function loopDelay(service: Service, file: string): Promise<LoopDelay> {
  const before = lines(file).length;
  service.child.process.kill('SIGUSR2');
  for (;;) {
    const now = lines(file);
    const last = now.at(-1);
    if (now.length > before && last) return JSON.parse(last) as LoopDelay;
    if (!isAlive(service.child.process)) throw new Error('the service ended while its event loop was asked');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function lines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

async function sealOurs(world: World): Promise<Ours | undefined> {
  const file = join(world.directory, 'loop.ndjson');
  const service = await world.freshService('seal', { env: { ...UNSEALED, LOOP_PROBE_FILE: file }, probeLoop: true });
  if (!service) return undefined;
  const rates: number[] = [];
  const delays: number[] = [];
  let peak = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    await fillService(service, { events: EVENTS, stream: STREAM + round, ids: world.options.ids });
    await loopDelay(service, file);
    const stop = watchMemory([service.child.pid]);
    const began = performance.now();
    const { events } = await service.call<{ events: number }>('POST', '/journal/flush');
    const seconds = (performance.now() - began) / 1_000;
    const delay = await loopDelay(service, file);
    peak = Math.max(peak, stop());
    if (events !== EVENTS) throw new Error(`the flush sealed ${events} events, not ${EVENTS}`);
    say(
      `seal, round ${round + 1} of ${ROUNDS}: ${Math.round(EVENTS / seconds).toLocaleString('en')} events/s, event loop p99 ${delay.p99Ms.toFixed(1)} ms, max ${delay.maxMs.toFixed(1)} ms`,
    );
    rates.push(EVENTS / seconds);
    delays.push(delay.p99Ms);
  }
  await service.child.stop();
  return { perSecond: median(rates), p99Ms: Math.max(...delays), peak };
}

async function sealPeer(world: World): Promise<Theirs | undefined> {
  if (world.options.sides === 'ours') return undefined;
  const input = join(world.directory, 'seal.ndjson');
  const output = join(world.directory, 'parquetjs.parquet');
  const result = join(world.directory, 'parquetjs.json');
  const events = eventStream({ stream: STREAM, ids: world.options.ids });
  const file = openSync(input, 'w');
  for (let done = 0; done < EVENTS; done += 1) writeSync(file, `${toJson(events.next())}\n`);
  closeSync(file);
  const child = start(process.execPath, [WRITER, input, output, result], {
    logPath: join(world.directory, 'parquetjs.log'),
  });
  const stop = watchMemory([child.pid]);
  const [code] = await new Promise<[number | null]>((resolve) => child.process.on('exit', (value) => resolve([value])));
  if (code !== 0) throw new Error(`parquetjs-lite failed:\n${child.logTail()}`);
  const { seconds, rows, bytes } = JSON.parse(readFileSync(result, 'utf8')) as {
    seconds: number;
    rows: number;
    bytes: number;
  };
  say(
    `parquetjs-lite: ${Math.round(rows / seconds).toLocaleString('en')} events/s, ${(bytes / rows).toFixed(0)} bytes an event`,
  );
  return { perSecond: rows / seconds, peak: stop() };
}

export async function seal(world: World): Promise<Row[]> {
  const peer = await sealPeer(world);
  const ours = await sealOurs(world);
  const memory = { ...(ours && { ours: ours.peak }), ...(peer && { peer: peer.peak }) };
  const method = `${EVENTS.toLocaleString('en')} events; ours is the whole POST /journal/flush of the running service with fsync and commit, median of ${ROUNDS}; the peer is parquetjs-lite from an NDJSON file, uncompressed (its fastest), no fsync`;
  return [
    {
      figure: 'WAL to Parquet',
      unit: 'events/s',
      better: 'higher',
      ours: ours?.perSecond,
      peer: peer?.perSecond,
      target: { ratio: 15 },
      memory,
      method,
    },
    {
      figure: 'event loop while sealing, p99',
      unit: 'ms',
      better: 'lower',
      ours: ours?.p99Ms,
      target: { bound: 20 },
      method: 'time between 1 ms timer ticks inside the service during the flush (perf_hooks), the worst round',
    },
  ];
}
