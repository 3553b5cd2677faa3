/**
 * WAL to Parquet. The conversion, ours with the proof of the segment against its hashes, beside parquetjs-lite: each in a
 * process of its own, from a file of lines to a file of Parquet. And the whole seal as the running service does it on
 * POST /journal/flush, with fsync, put and table commit, which no peer does.
 */
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
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
const PEER_WRITER = fileURLToPath(new URL('parquetjs-writer.ts', import.meta.url));
const OUR_WRITER = fileURLToPath(new URL('segment-writer.ts', import.meta.url));

type LoopDelay = { p50Ms: number; p99Ms: number; maxMs: number; ticks: number };
type Converted = { perSecond: number; peak: number };
type Ours = { perSecond: number; p99Ms: number; peak: number; converted: Converted };
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
  let converted: Converted | undefined;
  for (let round = 0; round < ROUNDS; round += 1) {
    await fillService(service, { events: EVENTS, stream: STREAM + round, ids: world.options.ids });
    converted ??= await convert(world, join(service.directory, 'data', 'wal'));
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
  if (!converted) throw new Error('nothing was converted');
  return { perSecond: median(rates), p99Ms: Math.max(...delays), peak, converted };
}

/** The service's write-ahead log as it lies, before the service seals it. */
async function convert(world: World, walDir: string): Promise<Converted> {
  const wal =
    readdirSync(walDir)
      .filter((name) => name.endsWith('.ndjson'))
      .sort()
      .at(-1) ?? '';
  const result = join(world.directory, 'segment.json');
  const args = [OUR_WRITER, join(walDir, wal), join(world.directory, 'segment.parquet'), result, String(ROUNDS)];
  const peak = await runToEnd(world, 'segment-writer', args);
  const { seconds, rows, bytes } = JSON.parse(readFileSync(result, 'utf8')) as {
    seconds: number[];
    rows: number;
    bytes: number;
  };
  const perSecond = rows / median(seconds);
  say(
    `our segments: ${Math.round(perSecond).toLocaleString('en')} events/s, ${(bytes / rows).toFixed(0)} bytes an event`,
  );
  return { perSecond, peak };
}

/** Peak memory of a program that must end well. */
async function runToEnd(world: World, name: string, args: string[]): Promise<number> {
  const child = start(process.execPath, args, { logPath: join(world.directory, `${name}.log`) });
  const stop = watchMemory([child.pid]);
  const [code] = await new Promise<[number | null]>((resolve) => child.process.on('exit', (value) => resolve([value])));
  if (code !== 0) throw new Error(`${name} failed:\n${child.logTail()}`);
  return stop();
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
  const peak = await runToEnd(world, 'parquetjs-lite', [PEER_WRITER, input, output, result]);
  const { seconds, rows, bytes } = JSON.parse(readFileSync(result, 'utf8')) as {
    seconds: number;
    rows: number;
    bytes: number;
  };
  say(
    `parquetjs-lite: ${Math.round(rows / seconds).toLocaleString('en')} events/s, ${(bytes / rows).toFixed(0)} bytes an event`,
  );
  return { perSecond: rows / seconds, peak };
}

export async function seal(world: World): Promise<Row[]> {
  const peer = await sealPeer(world);
  const ours = await sealOurs(world);
  const converted = ours?.converted;
  const memory = { ...(converted && { ours: converted.peak }), ...(peer && { peer: peer.peak }) };
  const events = EVENTS.toLocaleString('en');
  return [
    {
      figure: 'WAL to Parquet',
      unit: 'events/s',
      better: 'higher',
      ours: converted?.perSecond,
      peer: peer?.perSecond,
      target: { ratio: 15 },
      memory,
      method: `${events} events from a file of lines to a Parquet file, each in a process of its own, no fsync; ours sorted, ZSTD, with statistics, and proved against its hashes, median of ${ROUNDS}; parquetjs-lite uncompressed, its fastest`,
    },
    {
      figure: 'the whole seal',
      unit: 'events/s',
      better: 'higher',
      ours: ours?.perSecond,
      ...(ours && { memory: { ours: ours.peak } }),
      method: `${events} events by POST /journal/flush of the running service: conversion, proof, fsync, put, table commit; median of ${ROUNDS}`,
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
