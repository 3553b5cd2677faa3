import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { type DraftEvent, type JournalEvent, SegmentCache, TermWriters } from '../../journal/index.ts';
import type { WriterSettings } from '../../journal/journal-writer.ts';
import { partitionOf } from '../../src/cluster/partitions/partition-of.ts';
import { type JournalLetter, PartitionTerm } from '../../src/cluster/partitions/term.ts';
import {
  addAll,
  ensureGroup,
  entryParts,
  groupsOf,
  JOURNAL_GROUP,
  type JournalEntry,
  journalStream,
  type Redis,
} from '../../src/cluster/redis/index.ts';
import { systemClock } from '../../src/system.ts';
import { type ClusterLab, type ClusterNode, LAB_PARTITIONS } from './cluster-lab.ts';
import { FaultyStore } from './faulty-store.ts';
import { chainFault, readAll } from './journal-lab.ts';

const PATIENCE_MS = 30_000;

/** Waits until it holds, however long the machine takes. */
export function until<T>(holds: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(holds, { timeout: PATIENCE_MS, interval: 10 });
}

/** What a process of a cluster has of its own, with a store that fails where it is told to. */
export class TermHost {
  readonly store: FaultyStore;
  readonly sealFailures: unknown[] = [];
  readonly tempDir: string;
  readonly node: ClusterNode;
  readonly #lab: ClusterLab;
  readonly #writers: TermWriters;
  readonly #connections: Redis[] = [];

  private constructor(
    lab: ClusterLab,
    node: ClusterNode,
    { store, cache }: { store: FaultyStore; cache: SegmentCache },
    settings: Partial<WriterSettings>,
  ) {
    this.#lab = lab;
    this.node = node;
    this.store = store;
    const { engine, storage } = node.journals;
    this.tempDir = join(node.journals.tempDir, 'spool');
    mkdirSync(this.tempDir, { recursive: true });
    this.#writers = new TermWriters({
      ...{ ...storage, engine, store, cache, tempDir: this.tempDir, memoryLimitBytes: 1 << 28, threads: 1 },
      observer: { sealFailed: (error) => this.sealFailures.push(error) },
      settings: {
        ...{ flushEvents: 100_000, flushBytes: 1 << 26, flushAgeMs: 50, walBytesMax: 1 << 27, sealRetryMs: 10 },
        ...settings,
      },
    });
  }

  static async open(lab: ClusterLab, settings: Partial<WriterSettings> = {}): Promise<TermHost> {
    const node = await lab.open({ worker: false });
    const store = new FaultyStore(lab.store);
    // As a store that is not on this machine: segments are downloaded.
    store.pathOf = () => undefined;
    const dir = join(node.journals.tempDir, 'term-cache');
    const cache = await SegmentCache.open({ store, dir, bytesMax: 1 << 28, observer: {} });
    return new TermHost(lab, node, { store, cache }, settings);
  }

  /** Begins a term as the holder of a lease with this token would. */
  begin(partition: number, token: number): TermRun {
    const run = new TermRun();
    const commands = this.#lab.connect('commands', `term-${token}`);
    run.commands = commands;
    this.#connections.push(commands);
    run.term = new PartitionTerm({
      partition,
      wasWritten: true,
      holds: () => run.holds,
      owns: (workspace) => partitionOf(workspace, LAB_PARTITIONS) === partition,
      commands,
      openReader: () => {
        const reader = this.#lab.connect('blocking', `term-${token}`);
        this.#connections.push(reader);
        return reader;
      },
      openWriter: (told) => this.#writers.open({ token, ...told }),
      readCount: (max) => max,
      deadLetter: async (letter) => void run.letters.push(letter),
      nowMs: () => systemClock.nowMs(),
      observer: {
        groupMade: () => void run.made.push(partition),
        entriesLost: (_partition, ids) => void run.lost.push(...ids),
        waiting: (_partition, error) => void run.waited.push(error),
        recorded: (events) => void run.recordings.push(events),
      },
      onCommitted: (workspaces) => void run.committed.push(...workspaces),
      onFailed: (error) => {
        run.failures.push(error);
        // As the worker does, which gives the lease up.
        void run.term.drain();
      },
    });
    run.term.start();
    return run;
  }

  /** Ends what is still open; terms are to be over. */
  async close(): Promise<void> {
    this.store.hold = async () => {};
    this.store.decide = () => undefined;
    for (const connection of this.#connections) connection.disconnect();
    this.#writers.close();
    await this.node.stop();
  }
}

/** A term, and what it said. */
export class TermRun {
  term!: PartitionTerm;
  /** Whether the lease is still held. */
  holds = true;
  commands!: Redis;
  readonly letters: JournalLetter[] = [];
  readonly failures: unknown[] = [];
  readonly waited: unknown[] = [];
  readonly lost: string[] = [];
  readonly committed: string[] = [];
  /** For each time that the group was made. */
  readonly made: number[] = [];
  readonly recordings: number[] = [];

  /** Events that were given their place. */
  get recorded(): number {
    return this.recordings.reduce((sum, events) => sum + events, 0);
  }
}

/** A workspace of this partition. */
export function workspaceIn(partition: number, name = 'w'): string {
  for (let i = 0; ; i++) {
    const workspace = `${name}-${i}`;
    if (partitionOf(workspace, LAB_PARTITIONS) === partition) return workspace;
  }
}

let made = 0;

/** An entry of the service's own, as the drafts say it; `changes` over that. */
export function entryOf(
  workspace: string,
  drafts: readonly DraftEvent[],
  changes: Partial<JournalEntry> = {},
): JournalEntry {
  made += 1;
  return {
    workspace,
    origin: 'service',
    shape: 'json',
    body: Buffer.from(JSON.stringify(drafts)),
    idBase: `base-${made}`,
    onTaken: 'refuse',
    reply: undefined,
    acceptedMs: Date.now(),
    ...changes,
  };
}

/** @returns the id of its last part */
export async function queue(redis: Redis, partition: number, entry: JournalEntry, partBytes?: number): Promise<string> {
  const stream = journalStream(partition);
  const ids = await addAll(
    redis,
    entryParts(entry, partBytes).map((fields) => ({ stream, fields })),
  );
  return ids.at(-1) as string;
}

/** Resolves once everything in the stream is delivered and acknowledged. */
export async function settled(redis: Redis, partition: number): Promise<void> {
  const stream = journalStream(partition);
  await ensureGroup(redis, stream, JOURNAL_GROUP);
  await until(async () => {
    const [group] = await groupsOf(redis, stream);
    expect(group).toMatchObject({ pending: 0, lag: 0 });
  });
}

/** The committed events, whose chain holds. */
export async function committedEvents(node: ClusterNode, workspace: string): Promise<JournalEvent[]> {
  await node.journals.reached(workspace, '0');
  await node.journals.look(workspace);
  const events = await readAll(node.journals, workspace);
  expect(chainFault(events)).toBeUndefined();
  return events;
}

export async function committedIds(node: ClusterNode, workspace: string): Promise<string[]> {
  return (await committedEvents(node, workspace)).map(({ event_id }) => event_id);
}
