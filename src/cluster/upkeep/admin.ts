import { IndelibleError, timeOfMs } from '../../../journal/index.ts';
import type { ClusterAdmin, DeadLetterContent, DeadLetterView, StreamsView, StreamView } from '../../http/index.ts';
import { type ClusterStream, clusterStreams } from '../cluster-streams.ts';
import type { PressureLevel } from '../pressure/index.ts';
import { groupsOf, length, type Redis } from '../redis/index.ts';
import type { DeadLetter, LetterHead } from './dead-letter.ts';
import type { DeadLetters } from './dead-letters.ts';
import { replayGroup } from './replay-group.ts';

export type StreamAdminOptions = {
  redis: Redis;
  partitions: number;
  deadLetters: DeadLetters;
  pressure(): PressureLevel;
};

/** What operators see and do of the streams, for HTTP. */
export class StreamAdmin implements ClusterAdmin {
  readonly #options: StreamAdminOptions;
  readonly #streams: readonly ClusterStream[];

  constructor(options: StreamAdminOptions) {
    this.#options = options;
    this.#streams = clusterStreams(options.partitions);
  }

  async deadLetters(page: {
    cursor: string | undefined;
    limit: number;
  }): Promise<{ dead_letters: DeadLetterView[]; next_cursor: string | null }> {
    const { letters, nextCursor } = await this.#options.deadLetters.list(page);
    return { dead_letters: letters.map((letter) => this.#viewOf(letter)), next_cursor: nextCursor };
  }

  async deadLetter(id: string): Promise<DeadLetterContent> {
    const letter = await this.#options.deadLetters.get(id);
    return { ...this.#viewOf(letter), fields: fieldsView(letter.fields) };
  }

  async replayDeadLetter(id: string): Promise<{ stream: string; entry_id: string }> {
    const { stream, entryId } = await this.#options.deadLetters.replay(id);
    return { stream: this.#nameOf(stream), entry_id: entryId };
  }

  discardDeadLetter(id: string): Promise<void> {
    return this.#options.deadLetters.discard(id);
  }

  async streams(): Promise<StreamsView> {
    const { redis, deadLetters, pressure } = this.#options;
    const [depth, ...streams] = await Promise.all([
      deadLetters.depth(),
      ...this.#streams.map(async ({ name, stream }): Promise<StreamView> => {
        const [entries, groups] = await Promise.all([length(redis, stream), groupsOf(redis, stream)]);
        return {
          name,
          length: entries,
          groups: groups.map((group) => ({
            name: group.name,
            consumers: group.consumers,
            pending: group.pending,
            lag: group.lag ?? null,
            last_delivered_id: group.lastDeliveredId,
          })),
        };
      }),
    ]);
    return { pressure_level: pressure(), dead_letters: depth, streams };
  }

  async replay(
    name: string,
    { group, from }: { group: string; from: string },
  ): Promise<{ entries: number; created: boolean }> {
    const found = this.#streams.find((one) => one.name === name);
    if (found === undefined) {
      const message = `there is no such stream: they are axioms, axioms-high, and journal-0 to journal-${this.#options.partitions - 1}`;
      throw new IndelibleError('not-found', message);
    }
    const { entries, isNew } = await replayGroup(this.#options.redis, { stream: found.stream, group, fromId: from });
    return { entries, created: isNew };
  }

  #viewOf({ id, stream, entryId, workspace, kind, reason, deliveries, bytes }: LetterHead): DeadLetterView {
    return {
      id,
      dead_at: timeOfMs(Number(id.split('-')[0])),
      stream: this.#nameOf(stream),
      entry_id: entryId,
      workspace: workspace ?? null,
      kind,
      reason,
      deliveries,
      bytes,
    };
  }

  /** A stream that is none of ours any more, after the partitions became fewer, keeps its name in Redis. */
  #nameOf(stream: string): string {
    return this.#streams.find((one) => one.stream === stream)?.name ?? stream;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function fieldsView(fields: DeadLetter['fields']): DeadLetterContent['fields'] {
  const view: DeadLetterContent['fields'] = {};
  for (const [name, bytes] of fields) {
    try {
      view[name] = { text: utf8.decode(bytes) };
    } catch {
      view[name] = { base64: bytes.toString('base64') };
    }
  }
  return view;
}
