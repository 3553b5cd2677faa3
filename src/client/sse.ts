/** One server-sent event. Only the fields that this client uses. */
export type ServerEvent = { id: string | undefined; event: string; data: string };

/** Text chunks as they come → whole lines; \n, \r\n and \r end a line. An unfinished last line is dropped. */
export async function* lines(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of chunks) {
    rest += chunk;
    // A \r at the end may be the first half of \r\n.
    const complete = rest.endsWith('\r') ? rest.slice(0, -1) : rest;
    const parts = complete.split(/\r\n|\n|\r/);
    rest = (parts.pop() ?? '') + rest.slice(complete.length);
    yield* parts;
  }
}

/** Lines → server-sent events (WHATWG HTML, 9.2). Comments, such as heartbeats, give nothing. */
export async function* serverEvents(source: AsyncIterable<string>): AsyncGenerator<ServerEvent> {
  let id: string | undefined;
  let event = '';
  let data: string[] = [];
  for await (const line of source) {
    if (line === '') {
      if (data.length > 0) yield { id, event: event === '' ? 'message' : event, data: data.join('\n') };
      event = '';
      data = [];
      continue;
    }
    const colon = line.indexOf(':');
    if (colon === 0) continue;
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'id' && !value.includes('\0')) id = value;
    else if (name === 'event') event = value;
    else if (name === 'data') data.push(value);
  }
}

/** Decodes a body as it comes; ends the request when the reader stops early. */
export async function* textChunks(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield decoder.decode(value, { stream: true });
    }
    yield decoder.decode();
  } finally {
    await reader.cancel().catch(() => {});
  }
}
