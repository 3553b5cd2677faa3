/** Our side: the service as a user runs it, one process started from the command line and spoken to over HTTP. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Child, start, waitFor } from './children.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const LOOP_PROBE = fileURLToPath(new URL('loop-probe.ts', import.meta.url));

export const WORKSPACE = 'bench';

/** Thresholds that nothing in these measurements reaches: events stay in the write-ahead log until a flush by hand. */
export const UNSEALED = {
  INDELIBLE_FLUSH_EVENTS: '5000000',
  INDELIBLE_FLUSH_BYTES: '4GiB',
  INDELIBLE_FLUSH_AGE_MS: '86400000',
  INDELIBLE_WAL_BYTES_MAX: '16GiB',
};

/** What POST /journal/query answers as JSON: rows as arrays, in the order of the columns. */
export type Answer = { rows: (string | number)[][] };

export type ServiceSettings = {
  /** More environment, such as sealing thresholds: INDELIBLE_FLUSH_EVENTS and its kin. */
  env?: Record<string, string>;
  /** Loads the probe of loop-probe.ts into the process. */
  probeLoop?: boolean;
};

export type Service = {
  readonly child: Child;
  readonly url: string;
  readonly directory: string;
  readonly store: string;
  readonly headers: Record<string, string>;
  /** Milliseconds from the start of the process to the first 200 of /ready. */
  readonly readyMs: number;
  /** JSON in, JSON out; throws on any status but 2xx. */
  call<T>(method: string, path: string, body?: string | Buffer): Promise<T>;
  sql(sql: string): Promise<Answer>;
  /** Starts again on the same directory and port, after stop() or a kill. */
  again(settings?: ServiceSettings): Promise<Service>;
};

export async function startService(
  directory: string,
  port: number,
  settings: ServiceSettings = {},
  key = randomBytes(24).toString('hex'),
): Promise<Service> {
  mkdirSync(directory, { recursive: true });
  const store = join(directory, 'store');
  const probe = settings.probeLoop ? ['--import', LOOP_PROBE] : [];
  const began = performance.now();
  const child = start(process.execPath, [...probe, join(ROOT, 'src/main.ts'), 'serve'], {
    cwd: directory,
    logPath: join(directory, 'service.log'),
    env: {
      INDELIBLE_PORT: String(port),
      INDELIBLE_DATA: join(directory, 'data'),
      INDELIBLE_STORE: store,
      INDELIBLE_OPERATOR_KEY: key,
      INDELIBLE_LOG_LEVEL: 'warn',
      ...settings.env,
    },
  });
  const url = `http://127.0.0.1:${port}`;
  const headers = { authorization: `Bearer ${key}`, 'x-workspace': WORKSPACE };
  await waitFor(child, 'the service', async () => (await fetch(`${url}/ready`, { headers })).ok);
  async function call<T>(method: string, path: string, body?: string | Buffer): Promise<T> {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 500)}`);
    return JSON.parse(text) as T;
  }
  return {
    child,
    url,
    directory,
    store,
    headers,
    readyMs: performance.now() - began,
    call,
    sql: (sql) => call<Answer>('POST', '/journal/query', JSON.stringify({ sql })),
    again: (next = settings) => startService(directory, port, next, key),
  };
}
