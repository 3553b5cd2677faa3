// A process that appends and tells what was acknowledged, until it is killed. Started by journal-process.ts.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type DraftEvent, DirectoryStore, LocalJournals, readEvents } from '../../journal/index.ts';
import { FaultyDisk } from './faulty-disk.ts';
import { FaultyStore } from './faulty-store.ts';
import type { Said } from './journal-process.ts';

type Options = {
  dataDir: string;
  storeDir: string;
  takeOver?: boolean;
  compaction?: { isAutomatic: boolean; graceMs: number; partRows: number };
  flushEvents?: number;
  /** Events of each append, and how many appends run at once. */
  batch?: number;
  lanes?: number;
  ack?: 'durable' | 'committed';
  run?: string;
  /** Send this NDJSON, gzipped, to the workspace, in batches, and say when it is through. */
  ingest?: { path: string; workspace: string };
  /** Where to stop for ever: at the nth such call, once it did nothing, half (an append) or all of it. */
  stopAt?: { side: 'disk' | 'store'; call: string; nth: number; did: 'nothing' | 'half' | 'all' };
};

const options = JSON.parse(process.argv[2] ?? '{}') as Options;
const say = (said: Said) => process.send?.(said);
const disk = new FaultyDisk();
const store = new FaultyStore(new DirectoryStore(options.storeDir));
stopWhereAsked();

try {
  const journals = await LocalJournals.open({
    dataDir: options.dataDir,
    store,
    clock: { nowMs: () => Date.now() },
    random: { bytes: (count) => new Uint8Array(randomBytes(count)) },
    disk,
    flushEvents: options.flushEvents ?? 1_000_000,
    flushBytes: 1 << 30,
    flushAgeMs: 3_600_000,
    walBytesMax: 1 << 30,
    cacheBytesMax: 1 << 30,
    sealRetryMs: 5,
    engineMemoryBytes: 256 * 1024 * 1024,
    engineThreads: 1,
    takeOver: options.takeOver ?? false,
    compaction: options.compaction ?? { isAutomatic: false },
    observer: {},
  });
  say({ type: 'open' });
  process.on('message', (message) => void obey(journals, message as Said));
  if (options.ingest) await ingest(journals, options.ingest);
  for (let lane = 0; lane < (options.lanes ?? 0); lane++) void appendForEver(journals, lane);
} catch (error) {
  const { kind, message } = error as { kind?: string; message: string };
  process.send?.({ type: 'refused', kind, message }, undefined, undefined, () => process.exit());
}

async function obey(journals: LocalJournals, said: Said): Promise<void> {
  if (said.type === 'append') {
    await journals.append('acme', said.drafts as DraftEvent[], { ack: 'durable', create: true }).then(
      ({ receipts }) => say({ type: 'appended', receipts }),
      ({ kind, message }) => say({ type: 'failed', kind, message }),
    );
  } else if (said.type === 'flush') {
    await journals.flush().then(
      ({ events }) => say({ type: 'flushed', events }),
      ({ kind, message }) => say({ type: 'failed', kind, message }),
    );
  } else if (said.type === 'compact') {
    await journals.compact('acme').then(
      (report) => say({ type: 'compacted', report }),
      ({ kind, message }) => say({ type: 'failed', kind, message }),
    );
  } else if (said.type === 'retain') {
    const order = { cut: { seq: Number(said.seq) }, reason: 'ten years', keyId: 'k', keyName: 'k' };
    await journals.retention
      .remove('acme', order, (commit) => commit(), false)
      .then(
        (report) => say({ type: 'retained', report }),
        ({ kind, message }) => say({ type: 'failed', kind, message }),
      );
  } else if (said.type === 'close') {
    await journals.close();
    process.disconnect();
  }
}

async function ingest(
  journals: LocalJournals,
  { path, workspace }: { path: string; workspace: string },
): Promise<void> {
  const lines = gunzipSync(readFileSync(path)).toString().trim().split('\n');
  const size = options.batch ?? 500;
  for (let at = 0; at < lines.length; at += size) {
    const drafts = readEvents(lines.slice(at, at + size).join('\n'), 'ndjson', workspace);
    const { receipts } = await journals.append(workspace, drafts, { ack: 'durable', create: true });
    say({ type: 'acknowledged', workspace, receipts });
  }
  say({ type: 'through' });
}

/** Each lane sends batch after batch to one of three workspaces, and says what it sends before it does. */
async function appendForEver(journals: LocalJournals, lane: number): Promise<void> {
  const workspace = ['acme', 'beta', 'gamma'][lane % 3] as string;
  for (let round = 0; ; round++) {
    const drafts = Array.from({ length: options.batch ?? 1 }, (_, i) => ({
      event_id: `${options.run}-${lane}-${round}-${i}`,
      occurred_at: null,
      entity_type: 'file',
      entity_id: `e${i % 5}`,
      field: '*',
      action: 'update',
      old_value: null,
      new_value: JSON.stringify('é'.repeat((round * 37 + i) % 400)),
      actor: 'ann',
      actor_type: null,
      source: null,
      correlation_id: null,
      metadata: null,
    }));
    say({ type: 'sending', workspace, drafts });
    const { receipts } = await journals.append(workspace, drafts, { ack: options.ack ?? 'durable', create: true });
    say({ type: 'acknowledged', workspace, receipts });
  }
}

/** Stops the process's way at the given call, as a power cut would: nothing of it goes on. */
function stopWhereAsked(): void {
  const stop = options.stopAt;
  if (!stop) return;
  let seen = 0;
  const stopped = () => {
    say({ type: 'stopped' });
    return new Promise<never>(() => {});
  };
  if (stop.side === 'disk') {
    disk.decide = (call) => (stop.did === 'half' && call === stop.call && seen === stop.nth ? 'partial' : undefined);
    const hold = (call: string) => (call === stop.call && seen++ === stop.nth ? stopped() : undefined);
    if (stop.did === 'nothing') disk.pause = hold;
    else disk.pauseAfter = hold;
    return;
  }
  const target = store as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  const real = target[stop.call]?.bind(store);
  target[stop.call] = async (...args) => {
    const isHere = seen++ === stop.nth;
    if (isHere && stop.did === 'nothing') return stopped();
    const result = await real?.(...args);
    return isHere ? stopped() : result;
  };
}
