import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AxiomInput, type IndelibleClient, IndelibleClientError } from '../client/index.ts';
import { type CommonOptions, clientOf, type Io } from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { StatusLine } from './progress.ts';
import { signalsOfFile } from './signal-file.ts';
import { generatedSignals } from './signal-generator.ts';
import { countsText, groupedNumber } from './text.ts';
import { type Fallback, VerdictTally } from './verdict-tally.ts';

export type SimulationOptions = CommonOptions & {
  limit?: number;
  rate?: number;
  file?: string;
  batch?: number;
  seed?: number;
  wait: boolean;
};

export type Summary = {
  sent: number;
  accepted: number;
  duplicates: number;
  unknown: number;
  /** null: of a file. */
  seed: number | null;
  elapsed_ms: number;
  verdicts: number;
  /** Accepted, and without a verdict so far. */
  waiting: number;
  tiers: Record<string, number>;
  risks: Record<string, number>;
  routed: number;
  cache_hit_rate: number | null;
  fallbacks: Fallback[];
  /** From the record of a signal to its verdict. */
  verdict_ms: { p50: number | null; p99: number | null };
};

const VERDICT_TYPE = 'indelible.verdict';
/** Where neither a file nor a number is given. */
export const MADE_UP_SIGNALS = 1_000;
const BATCH_DEFAULT = 500;
/** With a rate: so many batches a second. */
const BATCHES_PER_S = 10;
const LOOK_MS = 200;
/** Without a verdict for so long, and with nothing in the queue, there are none to come: their sources had theirs. */
const QUIET_MS = 10_000;
/** Without a verdict for so long it is not waited for any longer. */
const IDLE_MS_MAX = 60_000;

/** Sends signals and counts the verdicts that follow. */
export class Simulation {
  readonly #io: Io;
  readonly #options: SimulationOptions;
  readonly #client: IndelibleClient;
  readonly #line: StatusLine;
  readonly #tally = new VerdictTally();
  readonly #seed: number;
  readonly #startedMs: number;
  readonly #end = new AbortController();
  #watching: Promise<void> | undefined;
  #sent = 0;
  #duplicates = 0;
  #unknown = 0;
  #lastVerdictMs: number;

  constructor(io: Io, options: SimulationOptions) {
    this.#io = io;
    this.#options = options;
    this.#client = clientOf(io, options);
    this.#line = new StatusLine(io.stderr, io.nowMs);
    this.#startedMs = io.nowMs();
    this.#lastVerdictMs = this.#startedMs;
    this.#seed = options.seed ?? randomInt(2 ** 32);
  }

  /** @throws IndelibleClientError, CliError where the file cannot be read */
  async run(): Promise<Summary> {
    const { file, wait } = this.#options;
    const limit = this.#options.limit ?? (file === undefined ? MADE_UP_SIGNALS : Number.POSITIVE_INFINITY);
    try {
      await this.#send(file === undefined ? generatedSignals(this.#seed, limit) : signalsOfFile(file, limit));
      if (wait) await this.#wait();
    } finally {
      this.#end.abort();
      await this.#watching?.catch(() => {});
      this.#line.clear();
    }
    return this.#summary();
  }

  async #send(signals: Iterable<AxiomInput> | AsyncIterable<AxiomInput>): Promise<void> {
    const { rate, batch } = this.#options;
    const size = batch ?? (rate === undefined ? BATCH_DEFAULT : Math.max(1, Math.floor(rate / BATCHES_PER_S)));
    let ready: AxiomInput[] = [];
    for await (const signal of signals) {
      ready.push(signal);
      if (ready.length < size) continue;
      await this.#sendBatch(ready);
      ready = [];
    }
    if (ready.length > 0) await this.#sendBatch(ready);
  }

  async #sendBatch(batch: readonly AxiomInput[]): Promise<void> {
    const { rate } = this.#options;
    const { signal, nowMs } = this.#io;
    if (rate !== undefined) {
      const dueMs = this.#startedMs + (this.#sent / rate) * 1_000;
      await pause(Math.max(0, dueMs - nowMs()), signal);
    }
    this.#tally.sending(batch.map(({ source_id }) => source_id));
    const headSeq = this.#sent === 0 && this.#options.wait ? await this.#headSeq() : -1;
    const { accepted, duplicates, unknown, first_seq, last_seq } = await this.#client.axioms(batch, { signal });
    this.#sent += batch.length;
    this.#duplicates += duplicates ?? 0;
    this.#unknown += unknown;
    if (first_seq !== null && last_seq !== null) this.#tally.sent(first_seq, last_seq, accepted);
    // In a cluster they have no position before they are judged.
    else if (duplicates === null) this.#tally.queued(accepted);
    // Not before: a workspace may come into being with the first signal.
    if (this.#options.wait && accepted > 0) {
      this.#watching ??= this.#watch(first_seq === null ? headSeq : first_seq - 1);
      // Told by whoever waits for it.
      this.#watching.catch(() => {});
    }
    this.#show();
  }

  /** The journal's last position; -1: there is none. */
  async #headSeq(): Promise<number> {
    const { signal } = this.#io;
    try {
      return (await this.#client.stats({ signal })).durable_seq;
    } catch (error) {
      if (error instanceof IndelibleClientError && error.status === 404) return -1;
      throw error;
    }
  }

  async #watch(after: number): Promise<void> {
    const signal = AbortSignal.any([this.#io.signal, this.#end.signal]);
    for await (const event of this.#client.tail({ after, type: VERDICT_TYPE, signal })) {
      this.#tally.add(event);
      this.#lastVerdictMs = this.#io.nowMs();
      this.#show();
    }
  }

  async #wait(): Promise<void> {
    const { signal, nowMs } = this.#io;
    const sentMs = nowMs();
    while (!this.#tally.isComplete) {
      // A watch that ended has failed, and says why.
      await Promise.race([this.#watching, pause(LOOK_MS, signal)]);
      this.#show();
      const quietMs = nowMs() - Math.max(this.#lastVerdictMs, sentMs);
      if (quietMs > IDLE_MS_MAX) return;
      if (quietMs > QUIET_MS && (await this.#client.complianceStats({ signal })).queue?.signals === 0) return;
    }
  }

  #show(): void {
    this.#line.show(() => {
      const { accepted, verdicts, tiers, cacheHitRate } = this.#tally;
      const seconds = Math.max(0.001, (this.#io.nowMs() - this.#startedMs) / 1_000);
      const hits = cacheHitRate === null ? '' : `  cache ${(cacheHitRate * 100).toFixed(1)} %`;
      const rate = `${groupedNumber(Math.round(this.#sent / seconds))}/s`;
      return `accepted ${groupedNumber(accepted)}  verdicts ${groupedNumber(verdicts)} (${countsText(tiers)})${hits}  ${rate}`;
    });
  }

  #summary(): Summary {
    const { accepted, verdicts, tiers, risks, routed, cacheHitRate, fallbacks } = this.#tally;
    return {
      sent: this.#sent,
      accepted,
      duplicates: this.#duplicates,
      unknown: this.#unknown,
      seed: this.#options.file === undefined ? this.#seed : null,
      elapsed_ms: Math.round(this.#io.nowMs() - this.#startedMs),
      verdicts,
      waiting: accepted - verdicts,
      ...{ tiers, risks, routed, fallbacks },
      cache_hit_rate: cacheHitRate,
      verdict_ms: { p50: this.#tally.percentileMs(0.5), p99: this.#tally.percentileMs(0.99) },
    };
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {
    throw new CliError(EXIT.interrupted, 'interrupted');
  });
}
