import { join } from 'node:path';
import { vi } from 'vitest';
import type { DraftEvent, JournalEvent, Journals, Receipt, SegmentFile, Snapshot } from '../../journal/index.ts';
import { UNKNOWN_SOURCE, type Verdict, VERDICT_TYPE, verdictOf } from '../../projections/index.ts';
import { type AiParts, ComplianceEngine, type ComplianceOptions } from '../../src/compliance/index.ts';
import { readAxioms } from '../../src/judging/index.ts';
import { loadPolicies, SHIPPED_POLICIES } from '../../src/policies/index.ts';
import { DURABLE, type Lab, readInMemory } from '../support/journal-lab.ts';

/** Signals as the door makes events of them. */
export function signals(...said: Record<string, unknown>[]): DraftEvent[] {
  return readAxioms(JSON.stringify(said.map((more) => ({ domain: 'water', ...more }))), 'json', 'key-1').drafts;
}

/** Signals `<prefix>0`, `<prefix>1` … of one score. */
export function manySignals(prefix: string, count: number, anomaly_score = 0.1): DraftEvent[] {
  return signals(...Array.from({ length: count }, (_, i) => ({ source_id: `${prefix}${i}`, anomaly_score })));
}

/** What an engine was heard to say, and the engine. */
export type Heard = {
  engine: ComplianceEngine;
  judged: { verdict: Verdict; receipt: Receipt }[];
  repeated: string[];
  failures: unknown[];
  faults: unknown[];
};

export async function engineOf(lab: Lab, journals: Journals, changed: Partial<ComplianceOptions> = {}): Promise<Heard> {
  const heard: Omit<Heard, 'engine'> = { judged: [], repeated: [], failures: [], faults: [] };
  const engine = new ComplianceEngine({
    journals,
    dir: join(lab.dataDir, 'compliance'),
    policies: await loadPolicies(SHIPPED_POLICIES),
    ai: async (): Promise<AiParts> => ({ model: undefined, embedder: undefined }),
    clock: lab.clock,
    concurrency: 8,
    observer: {
      judged: (_workspace, verdict, receipt) => heard.judged.push({ verdict, receipt: receipt as Receipt }),
      repeated: (_workspace, { source_id }) => heard.repeated.push(source_id),
      judgingFailed: (_workspace, error) => heard.failures.push(error),
      fault: (_workspace, error) => heard.faults.push(error),
    },
    ...changed,
  });
  return { engine, ...heard };
}

export async function send(
  journals: Journals,
  drafts: readonly DraftEvent[],
  ...heard: readonly Heard[]
): Promise<Receipt[]> {
  const { receipts } = await journals.append('acme', drafts, DURABLE);
  for (const { engine } of heard) engine.wake('acme');
  return receipts;
}

/** The verdicts of the journal, in its order. */
export async function verdicts(journals: Journals): Promise<(Verdict & { event: JournalEvent })[]> {
  const events = await readInMemory(journals, 'acme');
  return events
    .filter(({ entity_type }) => entity_type === VERDICT_TYPE)
    .map((event) => ({ ...verdictOf(event), event }));
}

/** Resolves once nothing waits, and every position was looked at. */
export async function idle({ engine }: Heard, timeout = 30_000): Promise<void> {
  await vi.waitFor(
    () => {
      const { signals, unreadSeqs } = engine.queue('acme');
      if (signals + unreadSeqs > 0) throw new Error(`${signals} signals wait, ${unreadSeqs} positions are not read`);
    },
    { timeout, interval: 10 },
  );
}

/** Of every source one, and of each signal without a source its own. */
export function countBySource(all: readonly Verdict[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { source_id } of all)
    if (source_id !== UNKNOWN_SOURCE) counts.set(source_id, (counts.get(source_id) ?? 0) + 1);
  return counts;
}

/** The journals, and the files of every statement that was run on the way. */
export function watched(journals: Journals): { journals: Journals; held: (readonly SegmentFile[])[] } {
  const held: (readonly SegmentFile[])[] = [];
  const bound = <T extends object>(target: T, name: string | symbol): unknown => {
    const member: unknown = Reflect.get(target, name, target);
    return typeof member === 'function' ? member.bind(target) : member;
  };
  const watchSnapshot = (snapshot: Snapshot): Snapshot =>
    new Proxy(snapshot, {
      get: (target, name) =>
        name === 'hold'
          ? (files: readonly SegmentFile[]) => {
              held.push(files);
              return target.hold(files);
            }
          : bound(target, name),
    });
  const proxied = new Proxy(journals, {
    get: (target, name) =>
      name === 'snapshot'
        ? async (workspace: string) => watchSnapshot(await target.snapshot(workspace))
        : bound(target, name),
  });
  return { journals: proxied, held };
}
