import { GroupWriter } from '../../compliance/index.ts';
import { ack, COMPLIANCE_GROUP, type JournalEntry, type Redis } from '../redis/index.ts';
import { setJudged } from './judged-keys.ts';
import { eventsOf, type Settled } from './signal.ts';

/** Signals of one round, and what they say in UTF-16 units, unless a single group has more. */
const ROUND_SIGNALS = 2_000;
const ROUND_LENGTH = 8 * 1024 * 1024;
/** Text of one journal entry, unless a single signal has more: the worker that takes it holds all of it. */
const ENTRY_LENGTH_MAX = 2 * 1024 * 1024;

export type SettledWriterOptions = {
  redis: Redis;
  publish: (entries: readonly JournalEntry[]) => Promise<void>;
  nowMs: () => number;
  /** Does a step again until it succeeds; rejects where it cannot, or the service stops. */
  persist: (step: () => Promise<unknown>) => Promise<unknown>;
};

/**
 * Publishes what is settled, remembers whose source has its verdict, and only then acknowledges: what is lost in between
 * is delivered again and published with the same ids, of which the journal takes each once. What comes while a round is
 * under way goes with the next.
 */
export class SettledWriter {
  readonly #options: SettledWriterOptions;
  readonly #groups: GroupWriter<Settled, never>;

  constructor(options: SettledWriterOptions) {
    this.#options = options;
    this.#groups = new GroupWriter({
      write: (settled) => this.#settle(settled),
      limits: [
        { of: () => 1, max: ROUND_SIGNALS },
        { of: ({ signal }) => signal.length, max: ROUND_LENGTH },
      ],
    });
  }

  /**
   * Resolves once the signals are acknowledged.
   * @throws where the service stops, or what is published is refused: they are delivered again
   */
  async write(settled: readonly Settled[]): Promise<void> {
    if (settled.length > 0) await this.#groups.write(settled);
  }

  async #settle(settled: readonly Settled[]): Promise<never[]> {
    const { redis, publish, nowMs, persist } = this.#options;
    const entries = journalEntries(settled, nowMs());
    await persist(() => publish(entries));
    const judged = settled.filter(({ verdict }) => verdict !== undefined);
    const keys = judged.map(({ signal }) => signal.judgedKey);
    await persist(() => setJudged(redis, keys));
    for (const [stream, ids] of idsByStream(settled)) {
      await persist(() => ack(redis, stream, COMPLIANCE_GROUP, ids));
    }
    return [];
  }
}

function idsByStream(settled: readonly Settled[]): Map<string, string[]> {
  const ids = new Map<string, string[]>();
  for (const { signal } of settled) {
    const of = ids.get(signal.stream);
    if (of) of.push(signal.id);
    else ids.set(signal.stream, [signal.id]);
  }
  return ids;
}

/** One for each workspace, or a few where they say much. */
function journalEntries(settled: readonly Settled[], acceptedMs: number): JournalEntry[] {
  const entries: JournalEntry[] = [];
  const open = new Map<string, { texts: string[]; length: number; idBase: string }>();
  const close = (workspace: string) => {
    const { texts, idBase } = open.get(workspace) ?? { texts: [], idBase: '' };
    open.delete(workspace);
    entries.push({
      ...{ workspace, idBase, acceptedMs },
      origin: 'service',
      shape: 'json',
      body: Buffer.from(`[${texts.join()}]`),
      onTaken: 'skip',
      reply: undefined,
    });
  };
  for (const one of settled) {
    const { workspace, verdictId } = one.signal;
    const text = eventsOf(one)
      .map((event) => JSON.stringify(event))
      .join();
    const before = open.get(workspace);
    if (before && before.length + text.length > ENTRY_LENGTH_MAX) close(workspace);
    // Every event has its id: the base of ids only names the entry.
    const entry = open.get(workspace) ?? { texts: [], length: 0, idBase: verdictId };
    entry.texts.push(text);
    entry.length += text.length;
    open.set(workspace, entry);
  }
  for (const workspace of [...open.keys()]) close(workspace);
  return entries;
}
