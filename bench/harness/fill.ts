/** Fills both sides with the same events: ours by its own append over HTTP, the peer by PostgreSQL's COPY. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { COPY_COLUMNS, eventStream, type IdKind, toCopyLine, toJson } from '../generator.ts';
import type { Cluster } from '../peer/cluster.ts';
import { progress } from './progress.ts';
import { type Service, WORKSPACE } from './service.ts';

const BATCH = 5_000;
const IN_FLIGHT = 2;
const COPY_CHARS = 1 << 20;

export type Fill = { events: number; stream: number; ids: IdKind };

/** Appends in batches of 5,000, two in flight. */
export async function fillService(service: Service, fill: Fill): Promise<void> {
  const events = eventStream(fill);
  const shown = progress('filling the journal', fill.events);
  let taken = 0;
  let done = 0;
  const feed = async (): Promise<void> => {
    while (taken < fill.events) {
      const size = Math.min(BATCH, fill.events - taken);
      taken += size;
      const batch = Array.from({ length: size }, () => toJson(events.next()));
      await service.call('POST', '/journal/events?receipts=summary', `[${batch.join(',')}]`);
      done += size;
      shown.at(done);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, feed));
  shown.end();
}

/** COPY with every index in place, as the table would have grown; then VACUUM ANALYZE and a checkpoint, so that it is at rest. */
export async function fillPeer(cluster: Cluster, fill: Fill): Promise<void> {
  const events = eventStream(fill);
  const shown = progress('filling PostgreSQL', fill.events);
  const psql = spawn(cluster.psql, [...psqlArguments(cluster), '-c', `copy audit (${COPY_COLUMNS}) from stdin`], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = once(psql, 'close');
  let pending = '';
  for (let done = 0; done < fill.events; done += 1) {
    pending += toCopyLine(events.next(), WORKSPACE);
    if (pending.length < COPY_CHARS) continue;
    if (!psql.stdin.write(pending)) await once(psql.stdin, 'drain');
    pending = '';
    shown.at(done + 1);
  }
  psql.stdin.end(pending);
  const [code] = await ended;
  if (code !== 0) throw new Error(`psql ended with ${code}`);
  shown.end();
  await cluster.query('vacuum analyze audit');
  await cluster.query('checkpoint');
}

export function psqlArguments(cluster: Cluster): string[] {
  const { host, port, user, database } = cluster.connection;
  return ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', host, '-p', String(port), '-U', user, '-d', database];
}
