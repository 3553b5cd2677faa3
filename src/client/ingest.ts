import { priorityHeader } from './calls.ts';
import { abortedError, IndelibleClientError, problemText } from './errors.ts';
import { lines, textChunks } from './sse.ts';
import type { Transport } from './transport.ts';
import type { IngestFormat, IngestProgress, IngestQuery, IngestResult, Problem } from './types.ts';

export type IngestOptions = IngestQuery & {
  onProgress?: (progress: IngestProgress) => void;
  signal?: AbortSignal;
};

const CONTENT_TYPES: Record<IngestFormat, string> = {
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  parquet: 'application/vnd.apache.parquet',
};

/**
 * Uploads a file and follows the service's progress lines to the result. Sending the same file again stores nothing
 * twice, so a try that broke off may simply be repeated.
 * @throws IndelibleClientError refused, with the problem's `progress`, where a row is bad
 */
export async function ingestFile(transport: Transport, body: Blob, options: IngestOptions): Promise<IngestResult> {
  const { format, name, entityType, idColumn, timestampColumn, action, ack, priority } = options;
  const response = await transport.stream({
    method: 'POST',
    path: '/journal/ingest',
    query: {
      format,
      name,
      entity_type: entityType,
      id_column: idColumn,
      timestamp_column: timestampColumn,
      action,
      ack,
    },
    headers: priorityHeader(priority),
    accept: 'application/x-ndjson',
    body: () => body,
    contentType: format === undefined ? 'application/octet-stream' : CONTENT_TYPES[format],
    signal: options.signal,
    timeoutMs: 0,
  });
  try {
    return await followProgress(response, options);
  } catch (error) {
    if (error instanceof IndelibleClientError) throw error;
    if (options.signal?.aborted) throw abortedError(options.signal);
    throw brokenOff(error);
  }
}

async function followProgress(response: Response, { onProgress }: IngestOptions): Promise<IngestResult> {
  const text = response.body ? lines(withNewline(textChunks(response.body))) : [];
  for await (const line of text) {
    if (line.trim() === '') continue;
    const message = parseLine(line);
    if (message.problem) {
      const status = message.problem.status ?? 500;
      throw new IndelibleClientError('refused', problemText(status, message.problem), {
        status,
        problem: message.problem,
      });
    }
    if (message.result) return message.result;
    if (message.progress) onProgress?.(message.progress);
  }
  throw brokenOff(undefined);
}

function brokenOff(cause: unknown): IndelibleClientError {
  return new IndelibleClientError('protocol', 'the ingest broke off before it was done; run it again to finish it', {
    cause,
  });
}

type Message = { progress?: IngestProgress; result?: IngestResult; problem?: Problem };

function parseLine(line: string): Message {
  try {
    return JSON.parse(line) as Message;
  } catch (cause) {
    throw new IndelibleClientError('protocol', `not a progress line: ${line.slice(0, 80)}`, { cause });
  }
}

/** The last line may come without its end. */
async function* withNewline(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  yield* chunks;
  yield '\n';
}
