import { createReadStream } from 'node:fs';
import {
  type Ack,
  type AppendResult,
  derivedId,
  type DraftEvent,
  IndelibleError,
  EVENT_FIELDS,
  type Receipt,
  readEvents,
} from '../../journal/index.ts';
import { addProgress } from './append.ts';
import { giveIds } from './idempotency.ts';
import { eventLine, type RowRules } from './ingest-rows.ts';
import type { Spooled } from './ingest-spool.ts';
import { type LineChunk, lineChunks, rebased } from './ndjson.ts';
import { PartialError, type Progress } from './problem.ts';

type RecordedAck = Exclude<Ack, 'queued'>;

export type IngestJob = RowRules & {
  file: Spooled;
  /** The file's name as the caller says. */
  name: string | undefined;
  workspace: string;
  /** Rows of a CSV or Parquet file as NDJSON. */
  convert(file: Spooled, format: 'csv' | 'parquet'): AsyncIterable<Buffer>;
  append(drafts: DraftEvent[], ack: RecordedAck): Promise<AppendResult>;
  /** What the end of the ingest waits for: events are committed in their order, so all of it is what its last one is. */
  ack: RecordedAck;
  signal: AbortSignal;
};

export type IngestResult = {
  rows: number;
  count: number;
  duplicates: number;
  first_seq: number | null;
  last_seq: number | null;
  ingest_event: Receipt;
};

export type IngestStep = { progress: { rows: number; bytes: number; bytes_total: number } } | { result: IngestResult };

/**
 * Appends the rows of a file, 10,000 at a time, then records the ingest itself as an event. A row without an event_id
 * gets one made of the file's digest, the mapping and its position: running it again records nothing twice.
 * @throws PartialError for a bad row, naming it, once a part is recorded; the same file sent again then finishes it.
 */
export async function* ingest(job: IngestJob): AsyncGenerator<IngestStep> {
  const progress: Progress = { events: 0, duplicates: 0, lines: 0, first_seq: null, last_seq: null };
  let rows = 0;
  let bytes = 0;
  try {
    for await (const chunk of lineChunks(rowsOf(job))) {
      if (job.signal.aborted) throw new IndelibleError('invalid', 'the request broke off before its end');
      if (chunk.filled > 0) {
        const result = await appendChunk(chunk, rows, job);
        addProgress(progress, result);
        rows += result.count + result.duplicates;
      }
      progress.lines += chunk.lines;
      bytes += chunk.bytes;
      // Converted rows have another size than the file: their share of it is not known.
      const share = job.format === 'ndjson' ? bytes : 0;
      yield { progress: { rows, bytes: Math.min(share, job.file.bytes), bytes_total: job.file.bytes } };
    }
    const { events, duplicates, first_seq, last_seq } = progress;
    const ingest_event = await recordIngest(job, rows);
    yield { result: { rows, count: events, duplicates, first_seq, last_seq, ingest_event } };
  } catch (error) {
    throw progress.lines === 0 ? error : new PartialError(error, progress);
  }
}

function rowsOf(job: IngestJob): AsyncIterable<Buffer> {
  if (job.format === 'ndjson') return createReadStream(job.file.path, { highWaterMark: 256 * 1024 });
  return job.convert(job.file, job.format);
}

async function appendChunk(chunk: LineChunk, firstRow: number, job: IngestJob): Promise<AppendResult> {
  const mapping = job.mapping === undefined ? '' : JSON.stringify(job.mapping);
  try {
    const drafts = readEvents(eventLines(chunk, job), 'ndjson', job.workspace);
    giveIds(drafts, firstRow, (row) => derivedId('ingest-row', job.file.sha256, mapping, row));
    return await job.append(drafts, 'durable');
  } catch (error) {
    throw rebased(error, chunk.firstLine);
  }
}

function eventLines(chunk: LineChunk, job: IngestJob): string {
  if (job.mapping === undefined && job.format === 'ndjson') return chunk.text;
  const lines = chunk.text.split('\n').map((line) => line.trim());
  return lines.map((line, index) => (line === '' ? '' : eventLine(line, index, job))).join('\n');
}

/** The event that says who took in what: one for a file's content, name and mapping. */
async function recordIngest(job: IngestJob, rows: number): Promise<Receipt> {
  const { name, file, format, mapping } = job;
  const said = JSON.stringify({ name, sha256: file.sha256, bytes: file.bytes, rows, format, mapping });
  const entityId = (name ?? file.sha256).slice(0, EVENT_FIELDS.entity_id.charsMax);
  const draft: DraftEvent = {
    event_id: derivedId('ingest', job.workspace, entityId, said, job.actor),
    occurred_at: null,
    entity_type: 'ingest',
    entity_id: entityId,
    field: '*',
    action: 'ingest',
    old_value: null,
    new_value: said,
    actor: job.actor,
    actor_type: 'key',
    source: 'indelible',
    correlation_id: null,
    metadata: null,
  };
  const receipt = (await job.append([draft], job.ack)).receipts[0];
  if (receipt === undefined) throw new Error('an append without a receipt');
  return receipt;
}
