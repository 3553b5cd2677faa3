import { abortedError, IndelibleClientError } from './errors.ts';
import { nextDelayMs, type RetryPolicy } from './retry.ts';
import { lines, serverEvents, textChunks } from './sse.ts';
import { sleep, type Timer } from './timer.ts';
import type { Call, Transport } from './transport.ts';
import type { RecordedEvent, Stats } from './types.ts';
import { type RandomBytes, randomFraction } from './uuid.ts';

export type TailOptions = {
  /**
   * Begin with the event after this seq; -1: with the first. Default: with what is recorded from now on, and with the
   * `position` of a queued append, with what is recorded once that is reached.
   */
  after?: number | string | undefined;
  /** Only events of this entity_type. */
  type?: string | undefined;
  signal?: AbortSignal;
  /** Connect again after this long without a byte, heartbeats included. */
  idleMs?: number;
};

type Tools = {
  transport: Transport;
  timer: Timer;
  random: RandomBytes;
  retry: RetryPolicy;
  parseJson: (text: string) => unknown;
};

const IDLE_MS_DEFAULT = 60_000;

/**
 * Events as they become durable, each once and in order, across lost connections: each new connection resumes after
 * the last seq seen. Ends only by the caller (`break`, or the signal: then it throws), or when the service refuses.
 */
export async function* tailEvents(tools: Tools, options: TailOptions): AsyncGenerator<RecordedEvent> {
  // Asked for once, so that a connection lost before its first event does not lose what came meanwhile.
  let lastSeq = typeof options.after === 'number' ? options.after : await headSeq(tools, options.after, options.signal);
  let failures = 0;
  for (;;) {
    try {
      const idle = new AbortController();
      const stream = await connect(tools, options, lastSeq, idle.signal);
      failures = 0;
      const idleMs = options.idleMs ?? IDLE_MS_DEFAULT;
      const chunks = watched(textChunks(stream), tools.timer, idleMs, () => idle.abort());
      for await (const message of serverEvents(lines(chunks))) {
        const event = tools.parseJson(message.data) as RecordedEvent;
        if (typeof event?.seq !== 'number') continue;
        // A resumed stream may begin with what was seen already.
        if (event.seq <= lastSeq) continue;
        lastSeq = event.seq;
        yield event;
      }
    } catch (error) {
      if (options.signal?.aborted) throw abortedError(options.signal);
      if (error instanceof IndelibleClientError && error.kind === 'refused') throw error;
    }
    failures += 1;
    const attempt = {
      triesMade: failures,
      elapsedMs: 0,
      retryAfterMs: undefined,
      fraction: randomFraction(tools.random),
    };
    const delayMs = nextDelayMs(tools.retry, attempt);
    if (delayMs === undefined) throw new IndelibleClientError('unreachable', 'the tail could not be resumed');
    await sleep(tools.timer, delayMs, options.signal);
  }
}

async function headSeq(
  { transport, parseJson }: Tools,
  after: string | undefined,
  signal: AbortSignal | undefined,
): Promise<number> {
  const call: Call = { method: 'GET', path: '/journal/stats', query: { after }, signal };
  const stats = parseJson(await transport.text(call)) as Partial<Stats>;
  return typeof stats?.durable_seq === 'number' ? stats.durable_seq : -1;
}

async function connect(
  { transport }: Tools,
  options: TailOptions,
  lastSeq: number,
  idle: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const response = await transport.stream({
    method: 'GET',
    path: '/journal/tail',
    accept: 'text/event-stream',
    query: { from_start: lastSeq < 0 ? true : undefined, type: options.type },
    headers: lastSeq < 0 ? {} : { 'last-event-id': String(lastSeq) },
    signal: options.signal ? AbortSignal.any([options.signal, idle]) : idle,
    // The loop above does the waiting.
    repeatable: false,
  });
  if (!response.body) throw new IndelibleClientError('protocol', 'the tail has no body');
  return response.body;
}

/** Calls `onIdle` when no chunk came for so long while one was waited for. */
async function* watched(
  chunks: AsyncGenerator<string>,
  timer: Timer,
  idleMs: number,
  onIdle: () => void,
): AsyncGenerator<string> {
  let cancel = timer.after(idleMs, onIdle);
  try {
    for await (const chunk of chunks) {
      cancel();
      yield chunk;
      cancel = timer.after(idleMs, onIdle);
    }
  } finally {
    cancel();
  }
}
