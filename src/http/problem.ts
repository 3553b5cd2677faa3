import { HTTPException } from 'hono/http-exception';
import { type ErrorKind, type FieldError, IndelibleError } from '../../journal/index.ts';

/** Kinds of failure that exist only at the edge. */
export type EdgeErrorKind =
  | 'unsupported-media-type'
  | 'not-acceptable'
  | 'method-not-allowed'
  | 'expectation-failed'
  | 'headers-too-large'
  | 'request-timeout'
  | 'internal';

/** A failure of HTTP itself: a wrong method, an unknown media type. */
export class EdgeError extends Error {
  readonly kind: EdgeErrorKind;
  readonly headers: Readonly<Record<string, string>>;

  constructor(kind: EdgeErrorKind, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.name = 'EdgeError';
    this.kind = kind;
    this.headers = headers;
  }
}

/** How far a request that is taken in parts came before it failed. Sending all of it again finishes it. */
export type Progress = {
  /** Events recorded (or queued) by this request, and events that were recorded before. */
  events: number;
  duplicates: number;
  /** Lines (or rows) of the body that are done with. */
  lines: number;
  first_seq: number | null;
  last_seq: number | null;
  /** Of the last event that was queued, where they were. */
  position?: string;
};

/** A failure after part of a request was recorded. */
export class PartialError extends Error {
  readonly progress: Progress;

  constructor(cause: unknown, progress: Progress) {
    super('failed after a part', { cause });
    this.name = 'PartialError';
    this.progress = progress;
  }
}

/** RFC 9457. `kind` is for metrics and logs; `internal` says that the error must be logged with its stack. */
export type Problem = {
  status: number;
  kind: ErrorKind | EdgeErrorKind;
  headers: Record<string, string>;
  body: {
    type: string;
    title: string;
    status: number;
    detail: string;
    request_id: string;
    errors?: readonly FieldError[];
    progress?: Progress;
  };
};

/** The one place where kinds become statuses. */
const STATUS: Record<ErrorKind | EdgeErrorKind, { status: number; title: string }> = {
  invalid: { status: 400, title: 'The input is not valid' },
  'too-large': { status: 413, title: 'Too much at a time' },
  conflict: { status: 409, title: 'In conflict with what is recorded' },
  unauthorized: { status: 401, title: 'A valid key is needed' },
  forbidden: { status: 403, title: 'The key does not allow this' },
  'not-found': { status: 404, title: 'There is no such thing' },
  busy: { status: 429, title: 'Too much load' },
  unavailable: { status: 503, title: 'Temporarily unavailable' },
  timeout: { status: 504, title: 'Took longer than its limit' },
  fenced: { status: 503, title: 'Another writer owns this journal' },
  corrupt: { status: 500, title: 'Stored data failed its check' },
  'unsupported-media-type': { status: 415, title: 'The media type is not supported' },
  'not-acceptable': { status: 406, title: 'No such representation' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here' },
  'expectation-failed': { status: 417, title: 'The expectation cannot be met' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  'request-timeout': { status: 408, title: 'The request took too long to come' },
  internal: { status: 500, title: 'An error of ours' },
};

const RETRY_AFTER_S = 1;

/** What the caller gets to see of an error. A 500 says nothing of the inside. */
export function problemOf(error: unknown, requestId: string): Problem {
  if (error instanceof PartialError) {
    const problem = problemOf(error.cause, requestId);
    problem.body.progress = error.progress;
    return problem;
  }
  if (error instanceof IndelibleError) return fromIndelible(error, requestId);
  if (error instanceof EdgeError)
    return { ...make(error.kind, error.message, requestId), headers: { ...error.headers } };
  if (error instanceof HTTPException && error.status < 500) {
    const kind = HTTP_KINDS[error.status] ?? 'invalid';
    return make(kind, 'the request could not be read', requestId);
  }
  return make('internal', 'The error is in our log under this request_id.', requestId);
}

const HTTP_KINDS: Partial<Record<number, ErrorKind | EdgeErrorKind>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  405: 'method-not-allowed',
  413: 'too-large',
  415: 'unsupported-media-type',
};

function fromIndelible(error: IndelibleError, requestId: string): Problem {
  const hidden = STATUS[error.kind].status === 500;
  const problem = make(
    error.kind,
    hidden ? 'The error is in our log under this request_id.' : error.message,
    requestId,
  );
  if (error.errors.length > 0) problem.body.errors = error.errors;
  if (error.kind === 'busy' || error.kind === 'unavailable') {
    problem.headers['Retry-After'] = String(Math.max(1, Math.ceil(error.retryAfterS ?? RETRY_AFTER_S)));
  }
  if (error.kind === 'unauthorized') {
    // Basic first: Chromium looks at a header's first challenge only, and must ask for the key when /docs is opened.
    problem.headers['WWW-Authenticate'] = 'Basic realm="indelible", charset="UTF-8", Bearer realm="indelible"';
  }
  return problem;
}

function make(kind: ErrorKind | EdgeErrorKind, detail: string, requestId: string): Problem {
  const { status, title } = STATUS[kind];
  const type = `urn:indelible:problem:${kind}`;
  return { status, kind, headers: {}, body: { type, title, status, detail, request_id: requestId } };
}

export function problemResponse(problem: Problem): Response {
  return new Response(JSON.stringify(problem.body), {
    status: problem.status,
    headers: { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store', ...problem.headers },
  });
}
