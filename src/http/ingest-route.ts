import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { z } from '@hono/zod-openapi';
import { EVENT_FIELDS, IndelibleError, invalid } from '../../journal/index.ts';
import { runConvert } from '../../queries/index.ts';
import { appendDrafts } from './append-drafts.ts';
import { decoded } from './body.ts';
import { type IngestResult, type IngestStep, ingest } from './ingest.ts';
import type { IngestFormat, IngestMapping } from './ingest-rows.ts';
import { type Spooled, spool } from './ingest-spool.ts';
import { priorityOf } from './priority.ts';
import { EdgeError } from './problem.ts';
import type { RequestLog } from './request-log.ts';
import { type App, type Asked, addRoute, parseBody } from './route.ts';
import { jsonAnswer, PRIORITY_HEADER, Receipt, textParam } from './schemas.ts';
import type { Services } from './services.ts';
import { goneSignal, sendStream } from './stream-out.ts';
import { workerLimits } from './worker-limits.ts';

/** Each holds a spooled file and, for CSV and Parquet, a worker. */
const INGESTS_MAX = 4;
/** Until the first row; and for an append to take what was read, which a full store may hold up. */
const CONVERT_TIME_MS = 10 * 60_000;
const CONVERT_STALL_MS = 10 * 60_000;

const MAPPING_SHAPE = {
  entity_type: z.string().min(1).max(EVENT_FIELDS.entity_type.charsMax),
  id_column: z.string().min(1).max(256),
  action: z.string().min(1).max(EVENT_FIELDS.action.charsMax).default('insert'),
  timestamp_column: z.string().min(1).max(256).optional(),
};
const MappingSchema = z.strictObject(MAPPING_SHAPE);

const INGEST_QUERY = z.object({
  format: z
    .enum(['ndjson', 'csv', 'parquet'])
    .optional()
    .openapi({ description: 'Where neither Content-Type nor name say it.' }),
  name: textParam('entity_id', "The file's name: the ingest is recorded under it."),
  mapping: z
    .string()
    .max(4096)
    .optional()
    .openapi({ description: 'As JSON: {entity_type, id_column, action?, timestamp_column?}' }),
  entity_type: MAPPING_SHAPE.entity_type.optional(),
  id_column: MAPPING_SHAPE.id_column.optional(),
  action: z.string().min(1).max(EVENT_FIELDS.action.charsMax).optional(),
  timestamp_column: MAPPING_SHAPE.timestamp_column,
  ack: z
    .enum(['durable', 'committed'])
    .default('durable')
    .openapi({ description: 'When to answer: as for POST /journal/events. A file is never only queued.' }),
});
type IngestQuery = z.infer<typeof INGEST_QUERY>;

const IngestAnswer = z
  .object({
    rows: z.int(),
    count: z.int(),
    duplicates: z.int(),
    first_seq: z.int().nullable(),
    last_seq: z.int().nullable(),
    ingest_event: Receipt,
  })
  .openapi('IngestAnswer');

const BINARY = { schema: z.string().openapi({ format: 'binary' }) };

/** Takes in a whole file. */
export function addIngestRoute(app: App, services: Services, requestLog: RequestLog): void {
  let running = 0;
  addRoute(app, services, {
    method: 'post',
    path: '/journal/ingest',
    summary: 'Record the rows of a file',
    description: `NDJSON, CSV or Parquet, also as gzip. Without a mapping each row is an event, its columns named as the event's fields (CSV, Parquet: a cell of old_value, new_value or metadata is JSON where it parses as JSON, else a string; an empty cell is absent; seq, recorded_at and the hashes of an export of ours are passed over). With a mapping (\`mapping\`, or \`entity_type\` and \`id_column\`) each row is a row of an entity and becomes new_value.

Rows without an event_id get one from the file's content and their position: sending a file again records nothing twice. The ingest itself is recorded as an event of the type \`ingest\`. With \`Accept: application/x-ndjson\` the answer is progress lines, then \`{"result": …}\` or \`{"problem": …}\`.

A file is of low priority unless a Priority header says otherwise (u=0 to u=4).`,
    scoped: true,
    query: INGEST_QUERY,
    headers: z.object(PRIORITY_HEADER),
    body: {
      required: true,
      content: { 'application/x-ndjson': BINARY, 'text/csv': BINARY, 'application/vnd.apache.parquet': BINARY },
    },
    responses: { 201: jsonAnswer(IngestAnswer, 'Taken in') },
    async handle(asked) {
      services.admission.admit(priorityOf(asked.c.req.header('Priority'), 'low'));
      if (running >= INGESTS_MAX) throw new IndelibleError('busy', 'too many files at once', { retryAfterS: 5 });
      running += 1;
      try {
        return await takeIn(services, requestLog, asked);
      } finally {
        running -= 1;
      }
    },
  });
}

async function takeIn(services: Services, requestLog: RequestLog, asked: Asked<IngestQuery>): Promise<Response> {
  const { c, principal, workspace, query, requestId } = asked;
  const incoming = c.env.incoming as IncomingMessage;
  const mapping = mappingOf(query);
  const record = services.keys.workspace(workspace);
  if (record !== undefined && record.closed_at !== null) {
    throw new IndelibleError('conflict', 'this workspace is closed to appends');
  }
  const announced = formatOf(query, incoming);
  const signal = goneSignal(c);
  const file = await spool(
    decoded(incoming),
    join(services.journals.tempDir, 'ingest'),
    services.config.ingestBytesMax,
  );
  // The answer may take longer than a connection may be silent.
  incoming.socket.setTimeout(0);
  try {
    const steps = ingest({
      file,
      format: checkedFormat(announced, file),
      mapping,
      name: query.name,
      workspace,
      actor: principal.name,
      source: query.name?.slice(0, EVENT_FIELDS.source.charsMax) ?? 'ingest',
      signal,
      convert: (_file, converted) => convertedRows(services, file, converted, signal),
      ack: query.ack,
      append: (drafts, ack) => appendDrafts(services, { workspace, principal }, drafts, ack),
    });
    if (c.req.header('Accept')?.includes('application/x-ndjson')) {
      const lines = stepLines(steps, (error) => requestLog.problem(error, requestId).body);
      return await sendStream(c, { 'Content-Type': 'application/x-ndjson' }, lines, () => undefined);
    }
    return c.json(await lastResult(steps), 201);
  } finally {
    await file.remove();
  }
}

/** The rows as NDJSON, from a process of its own: the file is of unknown content. */
async function* convertedRows(
  services: Services,
  { path }: Spooled,
  format: 'csv' | 'parquet',
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const limits = workerLimits(services, CONVERT_TIME_MS, CONVERT_STALL_MS);
  const run = await runConvert(services.pool, { path, format, limits, signal });
  for await (const chunk of run.body) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

async function lastResult(steps: AsyncIterable<IngestStep>): Promise<IngestResult> {
  let result: IngestResult | undefined;
  for await (const step of steps) if ('result' in step) result = step.result;
  if (result === undefined) throw new Error('an ingest without a result');
  return result;
}

/** An error after the first line can no longer be a status: it is the last line. */
async function* stepLines(
  steps: AsyncIterable<IngestStep>,
  problemOf: (error: unknown) => object,
): AsyncGenerator<string> {
  try {
    for await (const step of steps) yield `${JSON.stringify(step)}\n`;
  } catch (error) {
    yield `${JSON.stringify({ problem: problemOf(error) })}\n`;
  }
}

function mappingOf(query: IngestQuery): IngestMapping | undefined {
  const { mapping, entity_type, id_column, action, timestamp_column } = query;
  if (mapping !== undefined) {
    let value: unknown;
    try {
      value = JSON.parse(mapping);
    } catch {
      throw invalid([{ pointer: '/mapping', message: 'is not JSON' }]);
    }
    return parseBody(MappingSchema, value);
  }
  const given = { entity_type, id_column, action, timestamp_column };
  if (Object.values(given).every((value) => value === undefined)) return undefined;
  return parseBody(MappingSchema, Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)));
}

const MEDIA_TYPES: Record<string, IngestFormat> = {
  'application/x-ndjson': 'ndjson',
  'application/ndjson': 'ndjson',
  'application/jsonl': 'ndjson',
  'text/csv': 'csv',
  'application/vnd.apache.parquet': 'parquet',
};
const ENDINGS: Record<string, IngestFormat> = { ndjson: 'ndjson', jsonl: 'ndjson', csv: 'csv', parquet: 'parquet' };

function formatOf(query: IngestQuery, request: IncomingMessage): IngestFormat {
  if (query.format !== undefined) return query.format;
  const media = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  const ending = /\.(\w+?)(?:\.gz)?$/.exec(query.name ?? '')?.[1]?.toLowerCase() ?? '';
  const format = MEDIA_TYPES[media] ?? ENDINGS[ending];
  if (format !== undefined) return format;
  throw new EdgeError(
    'unsupported-media-type',
    'say what the file is: ?format=ndjson, csv or parquet, or its Content-Type',
    {
      'Accept-Post': Object.keys(MEDIA_TYPES).join(', '),
    },
  );
}

function checkedFormat(format: IngestFormat, file: Spooled): IngestFormat {
  const isParquet = file.head.subarray(0, 4).toString('latin1') === 'PAR1';
  if (isParquet === (format === 'parquet')) return format;
  const found = isParquet ? 'is a Parquet file' : 'is not a Parquet file';
  throw invalid([{ pointer: '/format', message: `${found}: say so by ?format= or Content-Type` }]);
}
