import type { RecorderOptions } from './recorder.ts';
import type { RetryPolicy } from './retry.ts';
import type { Timer } from './timer.ts';
import type { Ack, Priority } from './types.ts';
import type { RandomBytes } from './uuid.ts';

export type CallOptions = { signal?: AbortSignal };

export type ReadOptions = CallOptions & {
  /** Answer only once this is seen: a seq of the workspace, or the `position` of a queued append. */
  after?: number | string | undefined;
};

/** Recording: what is waited for where nothing else is said. */
export type Recorded = Exclude<Ack, 'queued'>;

export type ClientOptions<A extends Ack = Recorded> = {
  /** Base address of the service, e.g. `http://127.0.0.1:8080`. */
  url: string;
  key?: string | undefined;
  /** Needed with an operator's key; another key knows its own. */
  workspace?: string | undefined;
  /** What record() waits for; default `durable`. `queued` is for a cluster: its receipts have no position yet. */
  ack?: A;
  /** Of what record() sends; default `normal`. */
  priority?: Priority;
  batch?: Partial<Omit<RecorderOptions, 'timer'>>;
  retry?: Partial<RetryPolicy>;
  /** For one try of one request. */
  timeoutMs?: number;
  fetch?: typeof globalThis.fetch;
  timer?: Timer;
  random?: RandomBytes;
  /** For numbers beyond 2^53, which JSON.parse rounds. */
  parseJson?: (text: string) => unknown;
};

export type AppendOptions<A extends Ack = Ack> = CallOptions & {
  /** Default `durable`. */
  ack?: A | undefined;
  /** Default `normal`. */
  priority?: Priority | undefined;
};
