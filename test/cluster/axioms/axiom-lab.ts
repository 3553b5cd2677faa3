import { join } from 'node:path';
import { vi } from 'vitest';
import { DirectoryStore, type DraftEvent, IndelibleError, type Journals } from '../../../journal/index.ts';
import { ComplianceEvents, type Verdict } from '../../../projections/index.ts';
import { AiKeys, AiProviders, GUARD_DEFAULTS } from '../../../src/ai/index.ts';
import { AxiomConsumer, type AxiomConsumerOptions, AxiomQueue } from '../../../src/cluster/axioms/index.ts';
import {
  AXIOMS,
  AXIOMS_HIGH,
  COMPLIANCE_GROUP,
  claimIdle,
  draftsOfJson,
  groupsOf,
  type JournalEntry,
  type Redis,
} from '../../../src/cluster/redis/index.ts';
import type { AiParts } from '../../../src/compliance/index.ts';
import { DeadLetters } from '../../../src/cluster/upkeep/index.ts';
import { loadPolicies, SHIPPED_POLICIES } from '../../../src/policies/index.ts';
import { manualRunner } from '../../projections/projection-lab.ts';
import { GEMINI_KEY, type GeminiServer } from '../../support/gemini-server.ts';
import { DURABLE, Lab } from '../../support/journal-lab.ts';
import { RedisLab } from '../../support/redis-lab.ts';

export const STREAMS = [AXIOMS_HIGH, AXIOMS];

/** What a consumer was heard to say, and the consumer. */
export type Heard = {
  consumer: AxiomConsumer;
  judged: Verdict[];
  repeated: string[];
  failures: unknown[];
  faults: unknown[];
  /** Of Redis: `failed`, `recovered`, `made <stream> <whether it was there>`, `not handled`. */
  said: string[];
};

type Connected = { url: string; redis: Redis; connections: RedisLab };

type Changed = Partial<Omit<AxiomConsumerOptions, 'redis' | 'blocking'>>;

/** A Redis with both streams, a journal that is written at once, and any number of consumers. */
export class AxiomLab {
  readonly journal = new Lab();
  readonly connections: RedisLab;
  readonly url: string;
  readonly journals: Journals;
  readonly redis: Redis;
  readonly queue: AxiomQueue;
  readonly letters: DeadLetters;
  /** Every entry that was published. */
  readonly published: JournalEntry[] = [];
  readonly #rows: ComplianceEvents;
  readonly #consumers = new Set<AxiomConsumer>();
  #count = 0;

  private constructor(lab: Lab, journals: Journals, { url, redis, connections }: Connected) {
    this.journal = lab;
    this.journals = journals;
    this.url = url;
    this.redis = redis;
    this.connections = connections;
    this.queue = new AxiomQueue({ redis: this.redis, threshold: 0.8, clock: lab.clock, random: lab.random });
    this.letters = new DeadLetters(this.redis);
    this.#rows = new ComplianceEvents(manualRunner(journals));
  }

  static async open({ url }: { url: string }): Promise<AxiomLab> {
    const lab = new Lab();
    const connections = new RedisLab();
    return new AxiomLab(lab, await lab.open(), { url, connections, redis: await connections.ready(url) });
  }

  async consumer(changed: Changed = {}): Promise<Heard> {
    this.#count += 1;
    const heard: Omit<Heard, 'consumer'> = { judged: [], repeated: [], failures: [], faults: [], said: [] };
    const name = changed.consumer ?? `worker-${this.#count}`;
    const consumer = new AxiomConsumer({
      redis: await this.connections.ready(this.url),
      blocking: await this.connections.ready(this.url, 'blocking'),
      consumer: name,
      journals: this.journals,
      rows: this.#rows,
      dir: join(this.journal.dataDir, name),
      policies: await loadPolicies(SHIPPED_POLICIES),
      ai: async () => ({ model: undefined, embedder: undefined }),
      clock: this.journal.clock,
      concurrency: 8,
      publish: (entries) => this.publish(entries),
      deadLetter: async (entry, kind, reason, stream) => {
        await this.letters.add({ stream, id: entry.id, kind, reason, deliveries: 1, fields: entry.fields });
      },
      readCount: (max) => max,
      observer: {
        judged: (_, verdict) => heard.judged.push(verdict),
        repeated: (_, { source_id }) => heard.repeated.push(source_id),
        judgingFailed: (_, error) => heard.failures.push(error),
        fault: (_, error) => heard.faults.push(error),
        groupMade: (stream, wasThere) => heard.said.push(`made ${stream} ${wasThere}`),
        notHandled: (_, error) => heard.said.push(`not handled: ${error}`),
        failed: () => heard.said.push('failed'),
        recovered: () => heard.said.push('recovered'),
      },
      ...changed,
    });
    this.#consumers.add(consumer);
    return { consumer, ...heard };
  }

  /** A consumer that reads. */
  async started(changed: Changed = {}): Promise<Heard> {
    const heard = await this.consumer(changed);
    heard.consumer.start();
    return heard;
  }

  async stop({ consumer }: Heard): Promise<void> {
    this.#consumers.delete(consumer);
    await consumer.stop();
  }

  /** As the writer of a journal does: an event whose id is taken by other content is skipped. */
  async publish(entries: readonly JournalEntry[]): Promise<void> {
    for (const entry of entries) {
      this.published.push(entry);
      const drafts = draftsOfJson(entry.body.toString());
      try {
        await this.journals.append(entry.workspace, drafts, DURABLE);
      } catch (error) {
        if (!isConflict(error)) throw error;
        for (const draft of drafts) await this.#appendOne(entry.workspace, draft);
      }
    }
  }

  async #appendOne(workspace: string, draft: DraftEvent): Promise<void> {
    try {
      await this.journals.append(workspace, [draft], DURABLE);
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }

  /** Resolves once every signal of the streams is acknowledged. */
  async idle(streams: readonly string[] = STREAMS, timeout = 60_000): Promise<void> {
    await vi.waitFor(
      async () => {
        for (const stream of streams) {
          const [group] = await groupsOf(this.redis, stream);
          if (!group) throw new Error(`nobody reads ${stream} yet`);
          if (group.pending > 0 || group.lag !== 0) throw new Error(`${stream}: ${JSON.stringify(group)}`);
        }
      },
      { timeout, interval: 10 },
    );
  }

  /** Gives a consumer everything that others were given and have not acknowledged, as the reclaimer does. */
  async reclaim({ consumer }: Heard, name: string): Promise<number> {
    let count = 0;
    for (const stream of STREAMS) {
      const asked = { stream, group: COMPLIANCE_GROUP, consumer: name, idleMs: 0, cursor: '0-0', count: 10_000 };
      const { entries } = await claimIdle(this.redis, asked);
      count += entries.length;
      await consumer.handle(entries, stream);
    }
    return count;
  }

  /** A model behind HTTP. */
  async gemini(server: GeminiServer): Promise<(workspace: string) => Promise<AiParts>> {
    const { clock, random, storeDir } = this.journal;
    const { journals } = this;
    const store = new DirectoryStore(storeDir);
    const providers = new AiProviders({
      keys: await AiKeys.open({ journals, store, secret: Buffer.alloc(32, 7), clock, random }),
      serviceKey: GEMINI_KEY,
      baseUrl: server.url,
      model: 'gemini-2.5-flash',
      embeddingModel: 'gemini-embedding-001',
      embeddingDimensions: 64,
      guard: { ...GUARD_DEFAULTS, timeoutMs: 20_000, retries: 0, concurrency: 16, retryDelayMs: 1 },
      limits: { callsPerMinute: 10_000, callsPerDay: 10_000 },
      clock,
      random,
      observer: {},
    });
    return (workspace) => providers.of(workspace);
  }

  async dispose(): Promise<void> {
    for (const consumer of this.#consumers) await consumer.stop();
    this.connections.dispose();
    await this.journal.dispose();
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof IndelibleError && error.kind === 'conflict';
}
