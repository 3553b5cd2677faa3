import { join } from 'node:path';
import type { Clock, Journals } from '../../../journal/index.ts';
import type { ComplianceEvents } from '../../../projections/index.ts';
import { type AiParts, type JudgeObserver, sharedPolicies, WorkspaceParts } from '../../compliance/index.ts';
import { clearedVerdict } from '../../judging/index.ts';
import type { PolicySet } from '../../policies/index.ts';
import { ack, COMPLIANCE_GROUP, type JournalEntry, type Redis, type StreamEntry } from '../redis/index.ts';
import { Repeated } from '../repeat.ts';
import { FlaggedSignals } from './flagged-signals.ts';
import { InHand } from './in-hand.ts';
import { areJudged } from './judged-keys.ts';
import type { Outage, OutageObserver } from './outage.ts';
import { SettledWriter } from './settled-writer.ts';
import { type Settled, type Signal, signalOf } from './signal.ts';

/** A third of what the reclaimer waits before it takes an entry over. */
const TOUCH_MS = 20_000;

/** `stream` is the name in Redis. */
export type AxiomObserver = JudgeObserver &
  OutageObserver & {
    /** A group was not there and was made; `wasThere`: this process has seen it before, so Redis has lost its data. */
    groupMade?(stream: string, wasThere: boolean): void;
    /** Signals could not be processed for a reason of ours: they are delivered again. */
    notHandled?(stream: string, error: unknown): void;
  };

export type SignalDeskOptions = {
  /** For commands. */
  redis: Redis;
  /** Names this process in the group. */
  consumer: string;
  journals: Journals;
  rows: Pick<ComplianceEvents, 'bySource' | 'byAxiom'>;
  /** Directory of what is derived: vectors. Of this consumer alone: two that write one index damage it. */
  dir: string;
  policies: PolicySet;
  ai: (workspace: string) => Promise<AiParts>;
  clock: Clock;
  /** Signals of a workspace judged at once. */
  concurrency: number;
  /** Hands events over to the journals: resolves once they are safe. @throws unavailable, busy: it is tried again */
  publish: (entries: readonly JournalEntry[]) => Promise<void>;
  /** Keeps what cannot be processed. @throws as publish */
  deadLetter: (entry: StreamEntry, kind: 'malformed', reason: string, stream: string) => Promise<void>;
  observer: AxiomObserver;
  /** Between two signs of life for what is in hand; default 20 seconds. */
  touchMs?: number;
};

/** What happens to the signals of a read: each is settled with its verdict, or waits aside for it. */
export class SignalDesk {
  readonly #options: SignalDeskOptions;
  readonly #signal: AbortSignal;
  readonly #inHand: InHand;
  readonly #touching: Repeated;
  readonly #writer: SettledWriter;
  readonly #flagged: FlaggedSignals;
  /** Keys of verdicts that are on their way. */
  readonly #underWay = new Set<string>();
  readonly #outage: Outage;

  constructor(options: SignalDeskOptions, outage: Outage, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#outage = outage;
    const { redis, consumer, publish, clock, rows, concurrency, observer, touchMs = TOUCH_MS } = options;
    this.#inHand = new InHand(redis, consumer);
    this.#touching = new Repeated(() => this.#touch(), touchMs);
    this.#writer = new SettledWriter({
      ...{ redis, publish, nowMs: () => clock.nowMs() },
      persist: (step) => outage.persist(step),
    });
    this.#flagged = new FlaggedSignals({
      ...{ rows, concurrency, signal, observer },
      open: this.#opener(),
      waitedMs: (open) => this.#waitedMs(open),
      settle: (open, verdict) => this.#settle([{ signal: open, verdict }]),
      left: (open) => this.#release(open),
    });
  }

  /** Flagged signals that are taken up and not settled. */
  get waiting(): number {
    return this.#flagged.count;
  }

  /** Whether so many flagged signals can wait aside. */
  hasRoom(signals: number): boolean {
    return this.#flagged.hasRoom(signals);
  }

  /**
   * Resolves once those below the threshold are acknowledged, and the others are taken up.
   * @throws where they have to be delivered again
   */
  async handle(entries: readonly StreamEntry[], stream: string): Promise<void> {
    this.#touching.start();
    const taken = this.#inHand.take(stream, entries);
    const signals: Signal[] = [];
    const aside = new Set<Signal>();
    try {
      for (const entry of taken) {
        const signal = signalOf(entry, stream);
        if ('malformed' in signal) await this.#bury(entry, stream, signal.malformed);
        else signals.push(signal);
      }
      await this.#sort(signals, aside);
    } finally {
      const done = taken.map(({ id }) => id);
      const waiting = new Set([...aside].map(({ id }) => id));
      this.#inHand.release(
        stream,
        done.filter((id) => !waiting.has(id)),
      );
    }
  }

  /** Promptly, after the signal has aborted. */
  async close(): Promise<void> {
    await this.#touching.stop();
    await this.#flagged.close();
  }

  /** Judged already, cleared at once, or to be judged: those go aside. */
  async #sort(signals: readonly Signal[], aside: Set<Signal>): Promise<void> {
    const { redis, policies, observer } = this.#options;
    // Layer one of three: nobody is asked about what is judged.
    const isJudged = await this.#outage.persist(() =>
      areJudged(
        redis,
        signals.map(({ judgedKey }) => judgedKey),
      ),
    );
    const settled: Settled[] = [];
    for (const [index, signal] of signals.entries()) {
      const { axiom, judgedKey, workspace } = signal;
      if (isJudged[index] || this.#underWay.has(judgedKey)) {
        observer.repeated?.(workspace, axiom);
        settled.push({ signal, verdict: undefined });
        continue;
      }
      this.#underWay.add(judgedKey);
      if (axiom.anomaly_score >= policies.threshold) aside.add(signal);
      else settled.push({ signal, verdict: clearedVerdict(axiom, policies, this.#waitedMs(signal)) });
    }
    const settling = this.#settle(settled).finally(() => {
      for (const { signal, verdict } of settled) if (verdict) this.#underWay.delete(signal.judgedKey);
    });
    await Promise.all([settling, this.#takeAside(aside)]);
  }

  async #takeAside(aside: Set<Signal>): Promise<void> {
    const left = new Set(aside);
    try {
      for (const signal of aside) {
        await this.#flagged.add(signal);
        left.delete(signal);
      }
    } finally {
      // The service stops: these were never taken up.
      for (const signal of left) this.#underWay.delete(signal.judgedKey);
    }
  }

  async #settle(settled: readonly Settled[]): Promise<void> {
    await this.#writer.write(settled);
    const { observer } = this.#options;
    for (const { signal, verdict } of settled) if (verdict) observer.judged?.(signal.workspace, verdict, undefined);
  }

  #release(signal: Signal): void {
    this.#underWay.delete(signal.judgedKey);
    this.#inHand.release(signal.stream, [signal.id]);
  }

  async #bury(entry: StreamEntry, stream: string, reason: string): Promise<void> {
    const { redis, deadLetter } = this.#options;
    await this.#outage.persist(() => deadLetter(entry, 'malformed', reason, stream));
    await this.#outage.persist(() => ack(redis, stream, COMPLIANCE_GROUP, [entry.id]));
  }

  /** Never rejects. */
  async #touch(): Promise<void> {
    await this.#outage.persist(() => this.#inHand.touch()).catch(() => {});
  }

  /** Since it was accepted, by the clock of whoever accepted it: clocks may differ. */
  #waitedMs({ acceptedMs }: Signal): number {
    return Math.max(this.#options.clock.nowMs() - acceptedMs, 0);
  }

  #opener(): (workspace: string) => Promise<WorkspaceParts> {
    const { journals, dir, ai, policies, observer } = this.#options;
    const policiesFor = sharedPolicies(policies);
    return (workspace) =>
      WorkspaceParts.open({
        ...{ journals, workspace, ai, policiesFor, signal: this.#signal },
        dir: join(dir, workspace, 'vectors'),
        fault: observer.fault,
      });
  }
}
