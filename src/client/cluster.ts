import { jsonBody, segment } from './calls.ts';
import type { CallOptions } from './options.ts';
import type { Call } from './transport.ts';

/** What could not be processed. Times are RFC 3339. */
export type DeadLetter = {
  id: string;
  dead_at: string;
  /** `axioms`, `axioms-high` or `journal-<partition>`, and its id there. */
  stream: string;
  entry_id: string;
  workspace: string | null;
  kind: 'malformed' | 'poison' | 'conflict' | 'refused';
  reason: string;
  /** How often it was delivered. */
  deliveries: number;
  bytes: number;
};

/** `fields`: of the entry that it was; bytes that are no UTF-8 come as base64. */
export type DeadLetterContent = DeadLetter & { fields: Record<string, { text: string } | { base64: string }> };

export type DeadLetterPage = { dead_letters: DeadLetter[]; next_cursor: string | null };

export type StreamGroup = {
  name: string;
  consumers: number;
  /** Delivered and not acknowledged. */
  pending: number;
  /** Not delivered yet; null: not known. */
  lag: number | null;
  last_delivered_id: string;
};

export type Streams = {
  /** 0 normal, 1 smaller reads, 2 low priority waits, 3 nothing is taken. */
  pressure_level: 0 | 1 | 2 | 3;
  dead_letters: number;
  streams: { name: string; length: number; groups: StreamGroup[] }[];
};

export type StreamReplay = {
  /** Made where it is not there. */
  group: string;
  /** The first entry to be delivered: its id, `0`, `$`, or an RFC 3339 time. */
  from: string;
};

type Send = <T>(call: Call) => Promise<T>;

/** The streams of a cluster and what could not be processed, for operators. */
export class ClusterClient {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  /** Oldest first, without their contents. */
  async deadLetters(
    query: { limit?: number; cursor?: string | undefined } = {},
    { signal }: CallOptions = {},
  ): Promise<DeadLetterPage> {
    return this.#send({ method: 'GET', path: '/dead-letters', query, signal });
  }

  async deadLetter(id: string, { signal }: CallOptions = {}): Promise<DeadLetterContent> {
    return this.#send({ method: 'GET', path: letterPath(id), signal });
  }

  /** Has it processed again. Not repeated by itself: where the answer was lost, the letter is gone. */
  async replayDeadLetter(id: string, { signal }: CallOptions = {}): Promise<{ stream: string; entry_id: string }> {
    return this.#send({ method: 'POST', path: `${letterPath(id)}/replay`, signal, repeatable: false });
  }

  /** Removes it for good. */
  async discardDeadLetter(id: string, reason: string, { signal }: CallOptions = {}): Promise<{ discarded: boolean }> {
    return this.#send({ method: 'DELETE', path: letterPath(id), query: { reason }, signal, repeatable: false });
  }

  async streams({ signal }: CallOptions = {}): Promise<Streams> {
    return this.#send({ method: 'GET', path: '/streams', signal });
  }

  /** Has a consumer group read a stream from a position on; answers how many entries that are now. */
  async replay(
    stream: string,
    request: StreamReplay,
    { signal }: CallOptions = {},
  ): Promise<{ entries: number; created: boolean }> {
    return this.#send({ method: 'POST', path: `/streams/${segment(stream)}/replay`, ...jsonBody(request), signal });
  }
}

function letterPath(id: string): string {
  return `/dead-letters/${segment(id)}`;
}
