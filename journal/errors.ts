/**
 * The few kinds of failure, each telling the caller what to do. HTTP status exists only at the edge.
 *
 * invalid        fix the input
 * too-large      send less at a time
 * conflict       same event_id, other content: send it under another id
 * unauthorized   no key, or an unknown one
 * forbidden      the key's role or workspace does not allow it
 * not-found      no such workspace, event or entity
 * busy           over a limit of load: retry after `retryAfterS`
 * unavailable    a dependency (disk, store) is away: retry after `retryAfterS`
 * timeout        the question took longer than its limit
 * fenced         another writer owns this journal: stop
 * corrupt        stored bytes fail their check: stop, and say which
 */
export type ErrorKind =
  | 'invalid'
  | 'too-large'
  | 'conflict'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'busy'
  | 'unavailable'
  | 'timeout'
  | 'fenced'
  | 'corrupt';

/** One fault of the input. `pointer` is a JSON pointer (RFC 6901) into what was sent; '' is the whole of it. */
export type FieldError = { pointer: string; message: string };

export class IndelibleError extends Error {
  readonly kind: ErrorKind;
  readonly errors: readonly FieldError[];
  readonly retryAfterS: number | undefined;

  constructor(
    kind: ErrorKind,
    message: string,
    more: { errors?: readonly FieldError[]; retryAfterS?: number; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'IndelibleError';
    this.kind = kind;
    this.errors = more.errors ?? [];
    this.retryAfterS = more.retryAfterS;
  }
}

/** Bad input: one error per fault, the first few of many. */
export function invalid(errors: readonly FieldError[]): IndelibleError {
  const first = errors[0];
  const where = first && first.pointer !== '' ? `${first.pointer}: ` : '';
  return new IndelibleError('invalid', first ? `${where}${first.message}` : 'invalid input', { errors });
}

/** A programmer's error: an invariant of ours does not hold. Never the caller's fault. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
