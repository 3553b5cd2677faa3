import { openAsBlob } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import { IndelibleClientError, type IngestFormat, type IngestResult, type Priority } from '../client/index.ts';
import { type CommonOptions, clientOf, type Io, printJson, withCommonOptions } from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { ProgressBar } from './progress.ts';
import { durationText, groupedNumber } from './text.ts';

type IngestOptions = CommonOptions & {
  format?: IngestFormat;
  name?: string;
  entityType?: string;
  idColumn?: string;
  timestampColumn?: string;
  action?: string;
  ack?: 'durable' | 'committed';
  priority?: Priority;
};

export function addIngest(program: Command, io: Io): void {
  const command = program
    .command('ingest')
    .argument('<file>', 'NDJSON, CSV or Parquet; may be gzipped')
    .summary('take in a file')
    .description(
      'Record every row of a file: as an event, or, with --entity-type and --id-column, as an entity. The ingest itself becomes an event too. Running it again records nothing twice, so a run that broke off is finished by running it again.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ indelible ingest changes.ndjson.gz --workspace hono
  $ indelible ingest customers.csv --workspace crm --entity-type customer --id-column customer_id`,
    );
  withCommonOptions(command)
    .addOption(
      new Option('--format <format>', "default: as the file's name says").choices(['ndjson', 'csv', 'parquet']),
    )
    .option('--name <name>', "name in the ingest's event (default: the file's)")
    .option('--entity-type <type>', 'each row is an entity of this type')
    .option('--id-column <column>', 'column that holds its id')
    .option('--timestamp-column <column>', 'column that holds when it happened')
    .option('--action <verb>', 'action of such rows (default insert)')
    .addOption(
      new Option('--ack <ack>', 'wait until it is durable (default) or committed to the store').choices([
        'durable',
        'committed',
      ]),
    )
    .addOption(
      new Option(
        '--priority <priority>',
        'where the service cannot take everything: low (default) waits first',
      ).choices(['normal', 'low']),
    )
    .action(async (file: string, options: IngestOptions) => ingest(io, file, options));
}

async function ingest(io: Io, file: string, options: IngestOptions): Promise<void> {
  const startedMs = io.nowMs();
  const totalBytes = await fileBytes(file);
  const bar = new ProgressBar(io.stderr, io.nowMs);
  const body = await openAsBlob(file);
  countReads(body, (doneBytes) => bar.show({ phase: 'sending', doneBytes, totalBytes }));
  const { entityType, idColumn, timestampColumn, action, ack, priority } = options;
  const format = options.format ?? formatOfName(file) ?? formatOfName(options.name ?? '');
  if (format === undefined) {
    throw new CliError(EXIT.usage, `the name of ${file} does not say what it is: --format ndjson, csv or parquet`);
  }
  try {
    const result = await clientOf(io, options).ingest(body, {
      format,
      name: options.name ?? basename(file),
      entityType,
      idColumn,
      timestampColumn,
      action,
      ack,
      priority,
      signal: io.signal,
      onProgress: ({ rows, bytes, bytes_total }) =>
        bar.show({ phase: 'recording', doneBytes: bytes, totalBytes: bytes_total, rows }),
    });
    bar.clear();
    if (options.json) printJson(io, result);
    else io.stdout.write(`${resultText(result)} in ${durationText(io.nowMs() - startedMs)}\n`);
  } catch (error) {
    bar.clear();
    throw withProgress(error);
  }
}

async function fileBytes(file: string): Promise<number> {
  const found = await stat(file);
  if (!found.isFile()) throw new CliError(EXIT.failure, `${file} is not a file`);
  return found.size;
}

/** Tells how much of the blob was read; fetch reads it as fast as the service takes it. */
function countReads(blob: Blob, onBytes: (bytes: number) => void): void {
  const stream = blob.stream.bind(blob);
  blob.stream = () => {
    let bytes = 0;
    const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        bytes += chunk.length;
        onBytes(bytes);
        controller.enqueue(chunk);
      },
    });
    return stream().pipeThrough(counter);
  };
}

function formatOfName(file: string): IngestFormat | undefined {
  const name = file.toLowerCase().replace(/\.gz$/, '');
  if (/\.(ndjson|jsonl)$/.test(name)) return 'ndjson';
  if (name.endsWith('.csv')) return 'csv';
  return name.endsWith('.parquet') ? 'parquet' : undefined;
}

function resultText({ rows, count, duplicates, first_seq, last_seq }: IngestResult): string {
  const where =
    first_seq === null || last_seq === null ? '' : ` (seq ${groupedNumber(first_seq)} to ${groupedNumber(last_seq)})`;
  return `${groupedNumber(rows)} rows: ${groupedNumber(count)} recorded${where}, ${groupedNumber(duplicates)} were there already`;
}

type Reached = { events?: number; lines?: number };

/** Adds how far the service came. */
function withProgress(error: unknown): unknown {
  if (!(error instanceof IndelibleClientError)) return error;
  const reached = error.problem?.progress as Reached | undefined;
  if (typeof reached?.lines !== 'number') return error;
  const far = `${groupedNumber(reached.lines)} rows were done before; correct the file and run it again`;
  return new CliError(EXIT.failure, `${error.message} (${far})`);
}
