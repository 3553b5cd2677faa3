import type { IncomingMessage, ServerResponse } from 'node:http';
import { IndelibleError } from '../../journal/index.ts';
import { drainOrClose } from './body.ts';
import { PartialError, type Problem, problemOf } from './problem.ts';
import type { Principal, Services } from './services.ts';

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,64}$/;
const CORRELATION_ID = /^[\x21-\x7e]{1,128}$/;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

/** A request as it goes; what is not known yet is undefined. */
export type Observed = {
  requestId: string;
  method: string;
  /** The route's pattern, never the path. */
  route: string;
  startedMs: number;
  correlationId: string | undefined;
  principal: Principal | undefined;
  workspace: string | undefined;
};

type LogServices = Pick<Services, 'metrics' | 'log' | 'random'>;

/** Ids, log lines and measures of requests. Never keys, bodies, values or paths. */
export class RequestLog {
  readonly #services: LogServices;
  readonly #prefix: string;
  readonly #appended: { observe(seconds: number): void };
  #count = 0;

  constructor(services: LogServices) {
    this.#services = services;
    this.#appended = services.metrics.requestTimer('/journal/events', 'POST', 2);
    this.#prefix = Buffer.from(services.random.bytes(6)).toString('hex');
  }

  newId(): string {
    this.#count += 1;
    return `${this.#prefix}-${this.#count.toString(36)}`;
  }

  begin(request: IncomingMessage, method: string, route: string): Observed {
    const given = request.headers['x-request-id'] as string | undefined;
    return {
      requestId: given !== undefined && REQUEST_ID.test(given) ? given : this.newId(),
      method,
      route,
      startedMs: performance.now(),
      correlationId: correlationIdOf(request),
      principal: undefined,
      workspace: undefined,
    };
  }

  /** A successful append is a line only at level debug: the journal itself is its record. */
  endAppend(observed: Observed, status: 201 | 202): void {
    const ms = performance.now() - observed.startedMs;
    this.#appended.observe(ms / 1000);
    if (this.#services.log.isLevelEnabled('debug')) this.#line('debug', observed, status, ms);
  }

  end(observed: Observed, status: number, outcome: 'done' | 'aborted' = 'done'): void {
    const ms = performance.now() - observed.startedMs;
    const { metrics } = this.#services;
    metrics.requestTimer(observed.route, observed.method, Math.floor(status / 100)).observe(ms / 1000);
    this.#line('info', observed, status, ms, outcome === 'aborted' ? { aborted: true } : {});
  }

  #line(level: 'info' | 'debug', observed: Observed, status: number, ms: number, more: object = {}): void {
    this.#services.log[level](
      {
        request_id: observed.requestId,
        correlation_id: observed.correlationId,
        method: observed.method,
        route: observed.route,
        status,
        ms: Math.round(ms * 100) / 100,
        workspace: observed.workspace,
        key_id: observed.principal?.keyId,
        ...more,
      },
      'request',
    );
  }

  /** The problem of an error, logged where it is ours. */
  problem(error: unknown, requestId: string): Problem {
    const problem = problemOf(error, requestId);
    this.#services.metrics.errorSeen(problem.kind);
    const cause = error instanceof PartialError ? error.cause : error;
    if (problem.status >= 500) {
      const expected = cause instanceof IndelibleError && cause.kind !== 'corrupt';
      this.#services.log[expected ? 'warn' : 'error'](
        { request_id: requestId, kind: problem.kind, err: cause },
        'request failed',
      );
    }
    return problem;
  }

  /** Answers with the problem of an error, on node's own response. */
  fail(observed: Observed, error: unknown, request: IncomingMessage, response: ServerResponse): void {
    const problem = this.problem(error, observed.requestId);
    if (response.headersSent || response.destroyed) {
      response.destroy();
    } else {
      const text = JSON.stringify(problem.body);
      response.writeHead(problem.status, {
        'Content-Type': 'application/problem+json',
        'Content-Length': Buffer.byteLength(text),
        'X-Request-Id': observed.requestId,
        'Cache-Control': 'no-store',
        ...problem.headers,
      });
      response.end(text);
      drainOrClose(request);
    }
    this.end(observed, problem.status);
  }
}

function correlationIdOf(request: IncomingMessage): string | undefined {
  const given = request.headers['x-correlation-id'] as string | undefined;
  if (given !== undefined) return CORRELATION_ID.test(given) ? given : undefined;
  const traceparent = request.headers.traceparent as string | undefined;
  return traceparent === undefined ? undefined : TRACEPARENT.exec(traceparent)?.[1];
}
