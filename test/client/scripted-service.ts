import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What the service does with the next request. A reset comes in two forms: before the events were recorded, and
 * after, so that only the answer is lost.
 */
export type Fault =
  | { kind: 'reset-before' }
  | { kind: 'reset-after' }
  | { kind: 'cut-answer' }
  | { kind: 'status'; status: number; headers?: Record<string, string>; body?: unknown; applied?: boolean }
  | { kind: 'hang' };

type Event = Record<string, unknown> & { event_id: string };

/** A real HTTP server with the append contract of the journal, and faults on demand. */
export class ScriptedService {
  readonly events: Event[] = [];
  readonly requests: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = [];
  /** One for each request to come, in order; then none. */
  readonly faults: Fault[] = [];
  /** Answers of other routes, by `METHOD path` without the query. */
  readonly routes = new Map<string, (request: IncomingMessage, response: ServerResponse, body: string) => void>();
  /** The fault of an event's content, as the journal's door would say it. */
  refuse: (event: Event) => string | undefined = () => undefined;
  /** Whether a refusal says which events it means. */
  pointers = true;
  inFlightMax = 0;
  #inFlight = 0;
  readonly #server: Server;
  /** Also known after it was closed. */
  readonly url: string;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<ScriptedService> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const service = new ScriptedService(server);
    server.on('request', (request, response) => void service.#serve(request, response));
    return service;
  }

  ids(): string[] {
    return this.events.map((event) => event.event_id);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#inFlight += 1;
    this.inFlightMax = Math.max(this.inFlightMax, this.#inFlight);
    response.on('close', () => {
      this.#inFlight -= 1;
    });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const { method = '', url = '', headers } = request;
    this.requests.push({ method, url, headers, body });
    const fault = this.faults.shift();
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'reset-before') {
      request.socket.destroy();
      return;
    }
    if (fault?.kind === 'status' && !fault.applied) {
      sendFault(response, fault);
      return;
    }
    const route = this.routes.get(`${method} ${url.split('?')[0]}`);
    if (route) {
      route(request, response, body);
      return;
    }
    const answer = this.#append(body);
    if (fault?.kind === 'reset-after') request.socket.destroy();
    else if (fault?.kind === 'status') sendFault(response, fault);
    else if (fault?.kind === 'cut-answer') {
      response.writeHead(201, { 'content-type': 'application/json', 'content-length': '10000' });
      response.write('{"count":', () => request.socket.destroy());
    } else sendJson(response, answer.status, answer.body);
  }

  #append(body: string): { status: number; body: unknown } {
    const batch = body
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Event);
    const errors = batch.flatMap((event, i) => {
      const message = this.refuse(event);
      return message === undefined ? [] : [{ pointer: `/${i}/entity_id`, message }];
    });
    if (errors.length > 0) {
      const listed = this.pointers ? { errors: errors.slice(0, 20) } : {};
      return { status: 400, body: { title: 'invalid', status: 400, detail: 'bad events', ...listed } };
    }
    let count = 0;
    const receipts = batch.map((event) => {
      let seq = this.events.findIndex((known) => known.event_id === event.event_id);
      if (seq === -1) {
        seq = this.events.push(event) - 1;
        count += 1;
      }
      return {
        event_id: event.event_id,
        seq,
        event_hash: '00',
        recorded_at: '2026-01-01T00:00:00.000000Z',
        ack: 'durable',
      };
    });
    return { status: 201, body: { count, duplicates: batch.length - count, receipts } };
  }
}

function sendFault(response: ServerResponse, fault: Extract<Fault, { kind: 'status' }>): void {
  const body = fault.body ?? { title: 'scripted', status: fault.status, detail: 'scripted fault' };
  sendJson(response, fault.status, body, fault.headers);
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'content-type': type, ...headers });
  response.end(JSON.stringify(body));
}
