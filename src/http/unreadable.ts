import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { IndelibleError } from '../../journal/index.ts';
import { EdgeError, type Problem } from './problem.ts';
import type { RequestLog } from './request-log.ts';

/**
 * Problem documents for what the HTTP parser refuses before there is a request: bytes that are no HTTP, lengths that
 * contradict each other, headers without end, an expectation that nobody meets. Node's own answers to them are bare.
 */
export function answerUnreadable(server: Server, requestLog: RequestLog): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // Node's own name for the answer under way; bytes of ours in the middle of it would be taken for a part of it.
    const open = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage;
    if (error.code === 'ECONNRESET' || !socket.writable || open?.headersSent) {
      socket.destroy();
      return;
    }
    const problem = requestLog.problem(unreadable(error.code), requestLog.newId());
    socket.end(wholeAnswer(problem));
  });
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const observed = requestLog.begin(request, request.method ?? '', 'unmatched');
    const error = new EdgeError('expectation-failed', 'the only expectation that is met is 100-continue');
    requestLog.fail(observed, error, request, response);
  });
}

function unreadable(code: string | undefined): Error {
  if (code === 'HPE_HEADER_OVERFLOW') return new EdgeError('headers-too-large', 'the headers are larger than 16 KiB');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new EdgeError('request-timeout', 'the headers took too long to come');
  if (code === 'HPE_INVALID_EOF_STATE') return new IndelibleError('invalid', 'the request broke off before its end');
  return new IndelibleError('invalid', 'the request is not valid HTTP/1.1');
}

function wholeAnswer({ status, body, headers }: Problem): string {
  const text = JSON.stringify(body);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(text)}`,
    `X-Request-Id: ${body.request_id}`,
    'Cache-Control: no-store',
    'Connection: close',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return `${lines.join('\r\n')}\r\n\r\n${text}`;
}
