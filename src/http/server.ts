import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener, RequestError } from '@hono/node-server';
import { IndelibleError } from '../../journal/index.ts';
import { APPEND_PATH } from './append.ts';
import { createApp, type Served } from './app.ts';
import { problemResponse } from './problem.ts';
import type { Services, SystemServices } from './services.ts';
import { answerUnreadable } from './unreadable.ts';

export type ServerOptions = { host: string; port: number; only?: 'system' | undefined };

export type RunningServer = {
  url: string;
  port: number;
  server: Server;
  /**
   * Stops taking connections, lets open requests finish, and cuts those off that take longer than `deadlineMs`.
   * Tails end at once.
   */
  stop(deadlineMs: number): Promise<void>;
};

/** A connection that says nothing, and is told nothing, for so long is closed. */
const IDLE_MS = 120_000;
const HEADERS_MS = 30_000;
const KEEP_ALIVE_MS = 65_000;
const HEADER_BYTES_MAX = 16 * 1024;

const BAD_TARGET = new IndelibleError('invalid', 'the target of the request and its Host header make no URL');

/**
 * Starts the HTTP server; with `only: 'system'` that of a role without the API, which serves health, readiness, metrics,
 * their description and the front door.
 * @throws where the address cannot be listened on
 */
export function startServer(services: Services, options: ServerOptions): Promise<RunningServer>;
export function startServer(
  services: SystemServices,
  options: ServerOptions & { only: 'system' },
): Promise<RunningServer>;
export function startServer(services: SystemServices, options: ServerOptions): Promise<RunningServer> {
  const { only } = options;
  // Without `only` the first signature has asked for all of them.
  return listen(only === undefined ? { services: services as Services } : { services, only }, options);
}

async function listen(served: Served, options: ServerOptions): Promise<RunningServer> {
  const { services } = served;
  const { app, append, requestLog } = createApp(served);
  const others = getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    // A target or Host header that makes no URL: it never reaches the application.
    errorHandler(error) {
      const requestId = requestLog.newId();
      const answer = problemResponse(requestLog.problem(error instanceof RequestError ? BAD_TARGET : error, requestId));
      answer.headers.set('X-Request-Id', requestId);
      return answer;
    },
  });
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    // Else a client that never pauses would hold its connection until the deadline.
    if (!services.lifecycle.ready) response.setHeader('Connection', 'close');
    if (append && request.method === 'POST' && isAppend(request.url) && request.headers.host !== undefined)
      void append.handle(request, response);
    else void others(request, response);
  };
  const server = createServer(
    // A missing Host is refused by us, with a problem document.
    { maxHeaderSize: HEADER_BYTES_MAX, keepAliveTimeout: KEEP_ALIVE_MS, requireHostHeader: false },
    listener,
  );
  answerUnreadable(server, requestLog);
  server.headersTimeout = HEADERS_MS;
  // A stream of events may take hours: what counts is that something happens.
  server.requestTimeout = 0;
  server.timeout = IDLE_MS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return { url: `http://${host}:${port}`, port, server, stop: (deadlineMs) => stop(server, services, deadlineMs) };
}

function isAppend(target: string | undefined): boolean {
  return target === APPEND_PATH || (target?.startsWith(`${APPEND_PATH}?`) ?? false);
}

async function stop(server: Server, services: SystemServices, deadlineMs: number): Promise<void> {
  services.lifecycle.stop();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const deadline = setTimeout(() => server.closeAllConnections(), deadlineMs);
  // A connection becomes idle when its request ends, and would stay open until its keep-alive runs out.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  await closed;
  clearTimeout(deadline);
  clearInterval(sweep);
}
