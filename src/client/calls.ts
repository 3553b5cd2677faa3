import { IndelibleClientError } from './errors.ts';
import type { ReadOptions } from './options.ts';
import type { Call } from './transport.ts';
import type { Priority, SqlFormat, SqlParam } from './types.ts';

const SQL_ACCEPT: Record<SqlFormat, string> = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  arrow: 'application/vnd.apache.arrow.stream',
};

export function sqlCall(
  sql: string,
  params: readonly SqlParam[],
  format: SqlFormat,
  { signal, after }: ReadOptions,
): Call {
  const body = JSON.stringify(params.length > 0 ? { sql, params } : { sql });
  return {
    method: 'POST',
    path: '/journal/query',
    query: { after },
    accept: SQL_ACCEPT[format],
    body: () => body,
    contentType: 'application/json',
    signal,
    // The service has its own limit, and says so when it is reached.
    timeoutMs: 0,
  };
}

/** A GET with what every read takes. */
export function readCall(path: string, { signal, after }: ReadOptions, query: Call['query'] = {}): Call {
  return { method: 'GET', path, query: { ...query, after }, signal };
}

/** As the Priority header of RFC 9218 says it. */
export function priorityHeader(priority: Priority | undefined): Record<string, string> {
  return priority === undefined ? {} : { priority: priority === 'low' ? 'u=5' : 'u=3' };
}

export function jsonBody(value: unknown): Pick<Call, 'body' | 'contentType'> {
  const text = JSON.stringify(value);
  return { body: () => text, contentType: 'application/json' };
}

/** A line of NDJSON. @throws IndelibleClientError refused */
export function jsonLine(value: unknown, noun: string): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new IndelibleClientError('refused', `${noun} is not JSON: ${why}`, { cause });
  }
}

export function linesBody(lines: readonly string[]): Pick<Call, 'body' | 'contentType'> {
  const body = `${lines.join('\n')}\n`;
  return { body: () => body, contentType: 'application/x-ndjson' };
}

export function bodyOf(response: Response): ReadableStream<Uint8Array> {
  if (!response.body) throw new IndelibleClientError('protocol', 'the answer has no body');
  return response.body;
}

/** All pages of a list, one after the other. */
export async function* pages<Item>(
  load: (page: { cursor?: string }) => Promise<{ events: Item[]; next_cursor: string | null }>,
): AsyncGenerator<Item> {
  let page: { cursor?: string } = {};
  for (;;) {
    const { events, next_cursor } = await load(page);
    yield* events;
    if (next_cursor === null || next_cursor === undefined) return;
    page = { cursor: next_cursor };
  }
}

export function entityPath(entityId: string): string {
  return `/journal/entity/${segment(entityId)}`;
}

/** One segment of a path. */
export function segment(id: string): string {
  if (id === '' || id === '.' || id === '..') {
    // URLs resolve dots away, also percent-encoded ones, so the request would go to another route.
    throw new IndelibleClientError(
      'refused',
      `${JSON.stringify(id)} cannot stand in a path: ask for recent events of this entity_id`,
    );
  }
  if (!id.isWellFormed()) throw new IndelibleClientError('refused', 'the id is not valid Unicode: no event has it');
  return encodeURIComponent(id);
}
