/** HTTP load: files of request bodies made beforehand, posted by wrk, which costs the machine far less than a client in Node. */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { eventStream, toJson, type IdKind } from '../generator.ts';
import { run } from './children.ts';
import { progress } from './progress.ts';

const WRITE_CHARS = 1 << 20;

/**
 * Writes `bodies` request bodies of `perBody` events, one a line: the bare event where perBody is 1, else a JSON array.
 * The file is synced, so that no write-back of it disturbs the measurement's own fsyncs.
 */
export function writeBodies(
  path: string,
  shape: { bodies: number; perBody: number; stream: number; ids: IdKind; startMs?: number },
): void {
  const events = eventStream(shape);
  const shown = progress(`request bodies (${shape.perBody} a body)`, shape.bodies * shape.perBody);
  const file = openSync(path, 'w');
  let pending = '';
  for (let body = 0; body < shape.bodies; body += 1) {
    let text = toJson(events.next());
    for (let index = 1; index < shape.perBody; index += 1) text += `,${toJson(events.next())}`;
    pending += shape.perBody === 1 ? `${text}\n` : `[${text}]\n`;
    if (pending.length < WRITE_CHARS) continue;
    writeSync(file, pending);
    pending = '';
    shown.at((body + 1) * shape.perBody);
  }
  writeSync(file, pending);
  fsyncSync(file);
  closeSync(file);
  shown.end();
}

export type LoadResult = {
  requests: number;
  seconds: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
};

const POST_SCRIPT = fileURLToPath(new URL('wrk.lua', import.meta.url));
const GET_SCRIPT = fileURLToPath(new URL('wrk-get.lua', import.meta.url));

type Load = { url: string; headers: Record<string, string>; connections: number; seconds: number };

/**
 * Posts each body of the file once, over `connections` connections, for at most `seconds`; a connection waits `pauseMs`
 * before each request. Throws on any failed request.
 */
export function postBodies(load: Load & { bodies: string; pauseMs?: number }): Promise<LoadResult> {
  return wrk(load, POST_SCRIPT, [load.bodies, 'application/json', String(load.pauseMs ?? 0)]);
}

/** Gets the paths of the file in turn, from the beginning again where they end. Throws on any failed request. */
export function getPaths(load: Load & { paths: string }): Promise<LoadResult> {
  return wrk(load, GET_SCRIPT, [load.paths]);
}

async function wrk({ url, headers, connections, seconds }: Load, script: string, args: string[]): Promise<LoadResult> {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '60s', '-s', script];
  const out = await run('wrk', [...options, url, '--', ...args, ...lines]);
  const raw = JSON.parse(out.trim().split('\n').at(-1) ?? '') as Record<string, number>;
  const {
    requests = 0,
    duration_us: durationUs = 0,
    p50_us: p50Us = 0,
    p99_us: p99Us = 0,
    failed_status: failedStatus,
    failed_socket: failedSocket,
  } = raw;
  if (failedStatus || failedSocket || requests === 0) throw new Error(`load on ${url} failed: ${JSON.stringify(raw)}`);
  const took = durationUs / 1e6;
  return { requests, seconds: took, requestsPerSecond: requests / took, p50Ms: p50Us / 1e3, p99Ms: p99Us / 1e3 };
}
