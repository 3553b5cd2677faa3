import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What happens to one request. `…-applied`: the server carries it out, and its answer is lost; the others never reach
 * it. truncated and corrupted are about the answer's body; slow is no fault, only a trial.
 */
export type ProxyFault =
  | 'reset'
  | 'reset-applied'
  | 'silent'
  | 'silent-applied'
  | '503'
  | '503-applied'
  | '409'
  | 'slow'
  | 'truncated'
  | 'corrupted';

export type ProxiedRequest = { method: string; url: string };

/** An HTTP proxy before a real S3 server, which spoils requests as it is told to. */
export class FaultyProxy {
  readonly requests: ProxiedRequest[] = [];
  /** Asked at every request; undefined lets it through. */
  decide: (request: ProxiedRequest) => ProxyFault | undefined = () => undefined;
  readonly #server: Server;
  readonly #targetPort: number;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((incoming, answer) => void this.#serve(incoming, answer));
  }

  static async start(targetPort: number): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const seen = { method: incoming.method ?? '', url: incoming.url ?? '' };
    this.requests.push(seen);
    const fault = this.decide(seen);
    const body = await bodyOf(incoming).catch(() => undefined);
    if (body === undefined) return;
    if (fault === 'reset') incoming.socket.resetAndDestroy();
    else if (fault === '503') answerError(answer, 503, 'SlowDown');
    else if (fault === '409') answerError(answer, 409, 'ConditionalRequestConflict');
    else if (fault !== 'silent') this.#forward(incoming, body, answer, fault);
  }

  #forward(incoming: IncomingMessage, body: Buffer, answer: ServerResponse, fault: ProxyFault | undefined): void {
    const { method, url, headers } = incoming;
    const forwarded = request({ port: this.#targetPort, host: '127.0.0.1', method, path: url, headers });
    forwarded.once('error', () => incoming.socket.resetAndDestroy());
    forwarded.once('response', (response) => {
      bodyOf(response).then(
        (bytes) => {
          if (fault === 'silent-applied') return;
          if (fault === 'reset-applied') incoming.socket.resetAndDestroy();
          else if (fault === '503-applied') answerError(answer, 503, 'InternalError');
          else send(answer, response, bytes, fault);
        },
        () => incoming.socket.resetAndDestroy(),
      );
    });
    forwarded.end(body);
  }
}

function send(answer: ServerResponse, from: IncomingMessage, bytes: Buffer, fault: ProxyFault | undefined): void {
  answer.writeHead(from.statusCode ?? 500, from.headers);
  if (fault === 'truncated' && bytes.length > 0) {
    answer.write(bytes.subarray(0, bytes.length / 2), () => answer.socket?.destroy());
  } else if (fault === 'corrupted' && bytes.length > 0) {
    const spoiled = Buffer.from(bytes);
    spoiled.writeUInt8((spoiled.readUInt8(0) + 1) % 256, 0);
    answer.end(spoiled);
  } else if (fault === 'slow') {
    drip(answer, bytes);
  } else {
    answer.end(bytes);
  }
}

/** In many small pieces, each in a turn of its own. */
function drip(answer: ServerResponse, bytes: Buffer): void {
  const pieceBytes = Math.max(1, Math.ceil(bytes.length / 20));
  if (bytes.length === 0) answer.end();
  else answer.write(bytes.subarray(0, pieceBytes), () => setImmediate(drip, answer, bytes.subarray(pieceBytes)));
}

function answerError(answer: ServerResponse, status: number, code: string): void {
  answer.writeHead(status, { 'Content-Type': 'application/xml' });
  answer.end(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>injected</Message></Error>`);
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
