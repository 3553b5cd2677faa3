import type { Problem } from './types.ts';

/**
 * refused      the service answered no: see `status` and `problem`; sending the same again will not help
 * unavailable  the service kept answering 429, 502, 503 or 504 until attempts or time ran out
 * unreachable  no answer: the network failed until attempts or time ran out; what was sent may have been recorded
 * aborted      the caller's AbortSignal
 * buffer-full  `overflow: 'reject'` and no room
 * closed       the client was closed
 * protocol     the answer is not what this service gives: a wrong address, or a stream that ended early
 */
export type ClientErrorKind =
  | 'refused'
  | 'unavailable'
  | 'unreachable'
  | 'aborted'
  | 'buffer-full'
  | 'closed'
  | 'protocol';

export class IndelibleClientError extends Error {
  override readonly name = 'IndelibleClientError';
  readonly kind: ClientErrorKind;
  /** HTTP status of the answer; undefined where there was none. */
  readonly status: number | undefined;
  readonly problem: Problem | undefined;

  constructor(
    kind: ClientErrorKind,
    message: string,
    more: { status?: number | undefined; problem?: Problem | undefined; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.kind = kind;
    this.status = more.status;
    this.problem = more.problem;
  }
}

/** One line for a person: what the service said, with the fields it named. */
export function problemText(status: number, problem: Problem | undefined): string {
  const said = problem?.detail ?? problem?.title ?? `HTTP ${status}`;
  // The detail names the first fault already.
  const named = (problem?.errors ?? []).filter((error) => error.pointer === '' || !said.includes(error.pointer));
  const fresh = named.map((error) => `${error.pointer} ${error.message}`.trim()).filter((text) => !said.includes(text));
  return fresh.length > 0 ? `${said}; ${fresh.slice(0, 5).join('; ')}` : said;
}

export function abortedError(signal: AbortSignal | undefined): IndelibleClientError {
  return new IndelibleClientError('aborted', 'aborted by the caller', { cause: signal?.reason });
}
