import { resolve } from 'node:path';
import type { Logger } from 'pino';
import { startAlone } from './alone.ts';
import { startClustered } from './clustered.ts';
import { createLogger } from './log.ts';
import type { Service } from './service.ts';
import type { Config } from './settings.ts';
import { parseStore } from './store-location.ts';

/**
 * The composition root: one process for all, or a process of a cluster.
 * @throws as startAlone and startClustered
 */
export function startService(given: Config, log: Logger, stopping: AbortSignal): Promise<Service> {
  // Workers have directories of their own: a relative path would be another one there.
  const config = { ...given, data: resolve(given.data), store: absoluteStore(given.store) };
  return config.redisUrl === undefined ? startAlone(config, log) : startClustered(config, log, stopping);
}

function absoluteStore(store: string): string {
  const location = parseStore(store);
  return location.kind === 'directory' ? resolve(location.path) : store;
}

/** Where signals come from: the process, or a test. */
export type Signals = {
  on(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP', listener: () => void): unknown;
  exit(code: number): void;
};

/** Runs the service until a signal stops it. A second signal ends the process at once. */
export async function serve(
  config: Config,
  { stderr, signals }: { stderr: { write(text: string): unknown }; signals: Signals },
): Promise<void> {
  const log = createLogger({ level: config.logLevel });
  // Until the stop is complete something is to be waited for, also where every handle of the parts is idle.
  const alive = setInterval(() => {}, 60_000);
  // A start may wait, and is not waited for.
  const stopping = new AbortController();
  const signalled = new Promise<string>((resolve) => {
    let count = 0;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      signals.on(signal, () => {
        count += 1;
        if (count > 1) signals.exit(1);
        stopping.abort();
        resolve(signal);
      });
    }
  });
  try {
    const service = await startService(config, log, stopping.signal);
    log.info({ url: service.url, data: config.data, store: config.store }, 'listening');
    stderr.write(greeting(service));
    const signal = await signalled;
    log.info({ signal }, 'stopping');
    await service.stop();
    log.info('stopped');
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    log.info('stopped before the start was complete');
  } finally {
    clearInterval(alive);
  }
}

const EXAMPLE = '{"entity_type":"doc","entity_id":"1","action":"insert","new_value":{"hello":"world"},"actor":"me"}';

function greeting({ url, newOperatorKey }: Service): string {
  const address = `Indelible is listening on ${url} (API: ${url}/docs)\n`;
  if (newOperatorKey === undefined) return address;
  return `${address}
This is its first start. The operator key, shown this once and kept nowhere:

  ${newOperatorKey}

Record an event:

  curl -X POST ${url}/journal/events -H 'Authorization: Bearer ${newOperatorKey}' -H 'X-Workspace: demo' -H 'Content-Type: application/json' -d '${EXAMPLE}'

For the command line: export INDELIBLE_KEY=${newOperatorKey}

`;
}
