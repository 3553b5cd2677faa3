import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import type { Env } from './route.ts';

/**
 * Aborts when the client goes away before the answer is whole.
 */
export function goneSignal(c: Context<Env>): AbortSignal {
  const abort = new AbortController();
  const { outgoing } = c.env;
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) abort.abort(new Error('the client went away'));
  });
  return abort.signal;
}

/**
 * Sends the chunks as they come, never more than the connection takes. An error before the first chunk is thrown, and
 * becomes a problem document. After it the connection is destroyed: the client sees a broken transfer, never the clean
 * end of a short one. (The framework's own streams end cleanly there, or with the error's text.)
 */
export async function sendStream(
  c: Context<Env>,
  headers: Record<string, string>,
  chunks: AsyncIterable<Uint8Array | string>,
  onError: (error: unknown) => void,
): Promise<Response> {
  const { outgoing, incoming } = c.env;
  const iterator = chunks[Symbol.asyncIterator]();
  const first = await iterator.next();
  outgoing.writeHead(200, headers);
  try {
    if (incoming.method === 'HEAD' || outgoing.destroyed) {
      await iterator.return?.();
    } else {
      for (let next = first; !next.done && !outgoing.destroyed; next = await iterator.next()) {
        if (!outgoing.write(next.value)) await drained(c);
      }
      if (outgoing.destroyed) await iterator.return?.();
    }
    outgoing.end();
  } catch (error) {
    onError(error);
    outgoing.destroy();
  }
  return RESPONSE_ALREADY_SENT;
}

/** Proxies and clients give up on a connection that is silent for a minute or more. */
const SILENCE_MS = 15_000;

/**
 * Answers with the JSON of what may take long. While it lasts white space goes out, which means nothing before JSON; an
 * error of the first seconds is a problem document, a later one breaks the connection off.
 */
export function sendWhenDone(
  c: Context<Env>,
  work: Promise<unknown>,
  onError: (error: unknown) => void,
): Promise<Response> {
  return sendStream(c, { 'Content-Type': 'application/json' }, whenDone(work), onError);
}

async function* whenDone(work: Promise<unknown>): AsyncGenerator<string> {
  const waiting = Symbol('waiting');
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<typeof waiting>((resolve) => {
      timer = setTimeout(resolve, SILENCE_MS, waiting);
    });
    const result = await Promise.race([work, silence]).finally(() => clearTimeout(timer));
    if (result !== waiting) {
      yield JSON.stringify(result);
      return;
    }
    yield '\n';
  }
}

/** Resolves when the connection takes more, or is gone. */
function drained(c: Context<Env>): Promise<void> {
  const { outgoing } = c.env;
  if (outgoing.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      outgoing.off('drain', done);
      outgoing.off('close', done);
      resolve();
    };
    outgoing.on('drain', done);
    outgoing.on('close', done);
  });
}
